//! File descriptors of the process that guests hold: their sockets, and the files and directories that they have open.
//!
//! A process has so many, and a server without any accepts no connection. They are counted where guests get them
//! (`wasi/sockets.rs`, `wasi/filesystem.rs`): for each app, and for all guests of an engine together. Guests that hold none pay
//! for none of this.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often it is looked for files that guests of any app have closed, at most: that takes as long as there are files.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// As many files are opened before it is looked for the first time which of them were closed.
const FILES_UNSWEPT_MIN: usize = 64;

/// What all guests of an engine hold.
#[derive(Debug)]
pub(crate) struct AllDescriptors {
    held: AtomicUsize,
    max: usize,
    apps: Mutex<Apps>,
}

#[derive(Debug, Default)]
struct Apps {
    all: Vec<Weak<OfApp>>,
    swept: Option<Instant>,
}

/// What the guests of one app hold, all its instances together. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Descriptors(Arc<OfApp>);

#[derive(Debug)]
struct OfApp {
    /// Components that name the same app share it.
    app: Option<Arc<str>>,
    held: AtomicUsize,
    max: usize,
    reached: AtomicU64,
    files: Mutex<Files>,
    of_all: Arc<AllDescriptors>,
}

/// Those of what is held that are files. Their descriptors are the library's, and close when the last stream or call that uses them
/// has ended: that is looked up here, once it is asked for room.
#[derive(Debug, Default)]
struct Files {
    opened: Vec<Weak<File>>,
    /// With so many it is looked which of them were closed, so that those do not pile up.
    sweep_at: usize,
}

/// The right to hold one descriptor, until it is dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(Arc<OfApp>);

/// There is no descriptor for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Its app holds as many as it may.
    OfApp,
    /// All guests together do.
    OfAll,
}

/// What a guest is told where the interface has room for words.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfApp => "too many open files and sockets: the app holds as many as its limit `descriptors` allows",
            Self::OfAll => "too many open files and sockets: all apps together hold as many as the server can spare",
        })
    }
}

impl AllDescriptors {
    pub fn new(max: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            max,
            apps: Mutex::default(),
        }
    }

    /// Counts what the guests of `app` hold, up to `max`: together with others that were asked for with the same. Without a name,
    /// alone.
    pub fn of(self: &Arc<Self>, app: Option<&Arc<str>>, max: usize) -> Descriptors {
        let mut apps = self.apps();
        apps.all.retain(|known| known.strong_count() > 0);
        let mut known = apps.all.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| known.app.is_some() && known.app.as_ref() == app && known.max == max) {
            return Descriptors(known);
        }
        let new = Arc::new(OfApp {
            app: app.cloned(),
            held: AtomicUsize::new(0),
            max,
            reached: AtomicU64::new(0),
            files: Mutex::default(),
            of_all: self.clone(),
        });
        apps.all.push(Arc::downgrade(&new));
        Descriptors(new)
    }

    fn apps(&self) -> MutexGuard<'_, Apps> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops counting files that were closed, of whatever app.
    fn sweep(&self) {
        let apps: Vec<_> = {
            let mut apps = self.apps();
            if apps.swept.is_some_and(|swept| swept.elapsed() < SWEEP_INTERVAL) {
                return;
            }
            apps.swept = Some(Instant::now());
            apps.all.iter().filter_map(Weak::upgrade).collect()
        };
        for app in apps {
            app.sweep(&mut app.files());
        }
    }
}

impl Descriptors {
    /// The right to one more, if there is any.
    pub fn take(&self) -> Result<Descriptor, Shortage> {
        let app = &self.0;
        let taken = app.take();
        if taken.is_err() {
            app.reached.fetch_add(1, Ordering::Relaxed);
        }
        taken.map(|()| Descriptor(app.clone()))
    }

    /// For one that is held already, whatever the limit.
    pub fn take_anyway(&self) -> Descriptor {
        self.0.held.fetch_add(1, Ordering::Relaxed);
        self.0.of_all.held.fetch_add(1, Ordering::Relaxed);
        Descriptor(self.0.clone())
    }

    /// How often a guest was refused one since this was last asked.
    pub fn take_reached(&self) -> u64 {
        self.0.reached.swap(0, Ordering::Relaxed)
    }
}

impl Descriptor {
    /// It is `file`'s: counted until that is closed, which may be long after the guest has dropped its handle.
    pub fn belongs_to(self, file: &Arc<File>) {
        let app = &self.0;
        // Counted on, as one of the files.
        app.held.fetch_add(1, Ordering::Relaxed);
        app.of_all.held.fetch_add(1, Ordering::Relaxed);
        let mut files = app.files();
        if files.opened.len() >= files.sweep_at.max(FILES_UNSWEPT_MIN) {
            app.sweep(&mut files);
            files.sweep_at = files.opened.len() * 2;
        }
        files.opened.push(Arc::downgrade(file));
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}

impl OfApp {
    fn take(&self) -> Result<(), Shortage> {
        if !add_one(&self.held, self.max) {
            self.sweep(&mut self.files());
            if !add_one(&self.held, self.max) {
                return Err(Shortage::OfApp);
            }
        }
        let all = &self.of_all;
        if !add_one(&all.held, all.max) {
            all.sweep();
            if !add_one(&all.held, all.max) {
                self.held.fetch_sub(1, Ordering::Relaxed);
                return Err(Shortage::OfAll);
            }
        }
        Ok(())
    }

    fn give_back(&self, descriptors: usize) {
        self.held.fetch_sub(descriptors, Ordering::Relaxed);
        self.of_all.held.fetch_sub(descriptors, Ordering::Relaxed);
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops counting those of `files`, its own, that were closed.
    fn sweep(&self, files: &mut Files) {
        let before = files.opened.len();
        files.opened.retain(|file| file.strong_count() > 0);
        self.give_back(before - files.opened.len());
    }
}

impl Drop for OfApp {
    /// With its last instance its files have closed.
    fn drop(&mut self) {
        let files = self.files().opened.len();
        self.give_back(files);
    }
}

fn add_one(count: &AtomicUsize, max: usize) -> bool {
    let more = |held| (held < max).then_some(held + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// What one instance holds.
///
/// Sockets are counted from their making to the end of what uses their descriptor: the guest's handle, or the streams that outlive it.
/// Where the library does not say when that is, they are counted for longer: one whose connection has failed until its handle is
/// dropped, one that has listened until the instance ends, since the stream of its connections outlives the handle unseen.
#[derive(Debug)]
pub(crate) struct InstanceDescriptors {
    pub app: Descriptors,
    /// By the number of the guest's handle.
    sockets: HashMap<u32, Arc<Descriptor>>,
    /// Connections that listeners have given the guest, and whose handles are not known: of a stream nobody says which went over it.
    accepted: Vec<Descriptor>,
    /// Listeners, and for each the connection that it has accepted and the guest has not taken.
    listening: Vec<(Arc<Descriptor>, Descriptor)>,
}

impl InstanceDescriptors {
    pub fn new(app: &Descriptors) -> Self {
        Self {
            app: app.clone(),
            sockets: HashMap::new(),
            accepted: Vec::new(),
            listening: Vec::new(),
        }
    }

    /// The handle `number` is that of a new socket.
    pub fn keep(&mut self, number: u32, descriptor: Descriptor) {
        self.sockets.insert(number, Arc::new(descriptor));
    }

    /// A connection was accepted whose handle nobody says.
    pub fn accept(&mut self) {
        self.accepted.push(self.app.take_anyway());
    }

    /// How many those are.
    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Those beyond the first so many were none.
    pub fn accepted_only(&mut self, connections: usize) {
        self.accepted.truncate(connections);
    }

    /// What is counted for the socket behind the handle `number`, for whoever uses it longer than the handle is there.
    pub fn of(&mut self, number: u32) -> Option<Arc<Descriptor>> {
        if let Some(known) = self.sockets.get(&number) {
            return Some(known.clone());
        }
        // A handle that was not made here is that of a connection, and they are all alike.
        let descriptor = Arc::new(self.accepted.pop()?);
        self.sockets.insert(number, descriptor.clone());
        Some(descriptor)
    }

    /// The socket behind the handle `number` listens, and may accept one connection ahead of the guest.
    pub fn listens(&mut self, number: u32, ahead: Descriptor) {
        if let Some(listener) = self.of(number) {
            self.listening.push((listener, ahead));
        }
    }

    /// The handle `number` of a socket is gone.
    pub fn dropped(&mut self, number: u32) {
        if self.sockets.remove(&number).is_none() {
            self.accepted.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(File::open(env!("CARGO_MANIFEST_DIR")).unwrap())
    }

    #[test]
    fn an_app_has_so_many_and_gets_them_back() {
        let all = Arc::new(AllDescriptors::new(10));
        let app = all.of(None, 2);
        let held = [app.take().unwrap(), app.take().unwrap()];
        assert_eq!(app.take().unwrap_err(), Shortage::OfApp);
        assert_eq!((app.take_reached(), app.take_reached()), (1, 0));
        drop(held);
        assert!(app.take().is_ok());
        assert_eq!(all.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_apps_share_what_the_server_can_spare() {
        let all = Arc::new(AllDescriptors::new(3));
        let (greedy, modest) = (all.of(None, 10), all.of(None, 10));
        let held: Vec<_> = (0..3).map(|_| greedy.take().unwrap()).collect();
        assert_eq!(modest.take().unwrap_err(), Shortage::OfAll);
        assert_eq!((greedy.take_reached(), modest.take_reached()), (0, 1));
        drop(held);
        // What was refused is not counted as held.
        let held: Vec<_> = (0..3).map(|_| modest.take().unwrap()).collect();
        assert_eq!(held.len(), 3);
    }

    #[test]
    fn components_of_one_app_share_its_limit() {
        let all = Arc::new(AllDescriptors::new(10));
        let shop: Arc<str> = "shop".into();
        let (front, back) = (all.of(Some(&shop), 1), all.of(Some(&shop), 1));
        let _held = front.take().unwrap();
        assert_eq!(back.take().unwrap_err(), Shortage::OfApp);
        // Another version with another limit, another app, and those that are alone, count for themselves.
        let others = [
            all.of(Some(&shop), 2),
            all.of(Some(&"blog".into()), 1),
            all.of(None, 1),
            all.of(None, 1),
        ];
        for other in &others {
            assert!(other.take().is_ok());
        }
    }

    #[test]
    fn a_file_counts_until_nobody_has_it_open() {
        let all = Arc::new(AllDescriptors::new(10));
        let app = all.of(None, 1);
        let opened = file();
        app.take().unwrap().belongs_to(&opened);
        let used_by_a_stream = opened.clone();
        drop(opened);
        assert_eq!(app.take().unwrap_err(), Shortage::OfApp);
        drop(used_by_a_stream);
        assert!(app.take().is_ok());
    }

    #[test]
    fn files_that_one_app_has_closed_are_there_for_others() {
        let all = Arc::new(AllDescriptors::new(1));
        let (one, other) = (all.of(None, 10), all.of(None, 10));
        one.take().unwrap().belongs_to(&file());
        assert!(other.take().is_ok());
        one.take().unwrap().belongs_to(&file());
        drop(one);
        assert!(other.take().is_ok());
    }

    #[test]
    fn closed_files_do_not_pile_up() {
        let all = Arc::new(AllDescriptors::new(usize::MAX));
        let app = all.of(None, usize::MAX);
        for _ in 0..10 * FILES_UNSWEPT_MIN {
            app.take().unwrap().belongs_to(&file());
        }
        assert!(app.0.held.load(Ordering::Relaxed) <= 2 * FILES_UNSWEPT_MIN);
        assert_eq!(app.0.files().opened.len(), app.0.held.load(Ordering::Relaxed));
    }

    #[test]
    fn a_socket_counts_as_long_as_its_handle_or_a_stream_of_it_is_there() {
        let all = Arc::new(AllDescriptors::new(10));
        let app = all.of(None, 10);
        let held = || app.0.held.load(Ordering::Relaxed);
        let mut instance = InstanceDescriptors::new(&app);
        instance.keep(1, app.take().unwrap());
        let stream = instance.of(1);
        instance.dropped(1);
        assert_eq!(held(), 1);
        drop(stream);
        assert_eq!(held(), 0);

        // Three connections, of whose handles two are dropped, one of them after its streams were taken.
        for _ in 0..3 {
            instance.accept();
        }
        let stream = instance.of(7);
        instance.dropped(7);
        instance.dropped(8);
        assert_eq!((held(), instance.accepted()), (2, 1));
        drop(stream);
        assert_eq!(held(), 1);

        instance.keep(2, app.take().unwrap());
        instance.listens(2, app.take().unwrap());
        instance.dropped(2);
        assert_eq!(held(), 3);
        drop(instance);
        assert_eq!(held(), 0);
    }
}

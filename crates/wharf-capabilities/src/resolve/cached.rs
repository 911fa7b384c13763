//! Answers of a resolver, kept for a while: one for each name, shared by all who ask for it.
//!
//! A grant is never decided from here: whoever connects asks `allow.rs` about each address, kept or not.

use std::collections::HashMap;
use std::future::Ready;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Either, Shared, WeakShared};
use wharf_host::capability::{BoxFuture, LookupError};

use super::Resolve;

/// How long addresses are kept. The system's resolver does not hand on how long they are valid; most names that move
/// by themselves (load balancers, failing over) are published for 30 to 60 seconds.
const ADDRESSES_VALID: Duration = Duration::from_secs(30);

/// How long it is kept that there are none. A crowd of requests then costs one lookup, and a name that was just made is
/// found almost at once.
const FAILURE_VALID: Duration = Duration::from_secs(2);

/// How many names are kept; past it what is no longer valid goes, then the oldest. A kilobyte each at most.
const NAMES_MAX: usize = 1024;

type Answer = Result<Vec<IpAddr>, LookupError>;
type Asking = Shared<BoxFuture<Answer>>;

/// Asks another resolver, and remembers what it said.
pub struct CachedResolver {
    shared: Arc<Cache>,
}

struct Cache {
    inner: Arc<dyn Resolve>,
    names: Mutex<HashMap<String, Entry>>,
}

enum Entry {
    /// Somebody asks. Held weakly: when all who wait have left, so has the question.
    Asked(WeakShared<BoxFuture<Answer>>),
    Known {
        answer: Answer,
        until: Instant,
    },
}

impl CachedResolver {
    /// Remembers what `inner` says: addresses for 30 seconds, failures for 2.
    pub fn new(inner: Arc<dyn Resolve>) -> Self {
        let names = Mutex::default();
        Self {
            shared: Arc::new(Cache { inner, names }),
        }
    }
}

impl Resolve for CachedResolver {
    fn resolve(&self, name: &str) -> BoxFuture<Answer> {
        match self.shared.look(name, Instant::now()) {
            Either::Left(known) => Box::pin(known),
            Either::Right(asking) => Box::pin(asking),
        }
    }

    fn forget(&self, name: &str) {
        self.shared.lock().remove(name);
        self.shared.inner.forget(name);
    }
}

impl Cache {
    /// What is known about `name`, or the one question that is asked.
    fn look(self: &Arc<Self>, name: &str, now: Instant) -> Either<Ready<Answer>, Asking> {
        let mut names = self.lock();
        match names.get(name) {
            Some(Entry::Known { answer, until }) if *until > now => {
                return Either::Left(std::future::ready(answer.clone()));
            }
            Some(Entry::Asked(asking)) => {
                if let Some(asking) = asking.upgrade() {
                    return Either::Right(asking);
                }
            }
            _ => {}
        }
        let (cache, asked, answer) = (self.clone(), name.to_owned(), self.inner.resolve(name));
        let asking: BoxFuture<Answer> = Box::pin(async move {
            let answer = answer.await;
            // From when it was asked: an answer that took long is older than it looks.
            cache.keep(asked, answer.clone(), now);
            answer
        });
        let asking = asking.shared();
        if let Some(weak) = asking.downgrade() {
            make_room(&mut names, now);
            names.insert(name.to_owned(), Entry::Asked(weak));
        }
        Either::Right(asking)
    }

    fn keep(&self, name: String, answer: Answer, asked: Instant) {
        let valid = if answer.is_ok() { ADDRESSES_VALID } else { FAILURE_VALID };
        let until = asked + valid;
        let mut names = self.lock();
        if !names.contains_key(&name) {
            make_room(&mut names, asked);
        }
        names.insert(name, Entry::Known { answer, until });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Each change is complete before anything can panic.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to it that one more name fits.
fn make_room(names: &mut HashMap<String, Entry>, now: Instant) {
    if names.len() < NAMES_MAX {
        return;
    }
    names.retain(|_, entry| match entry {
        Entry::Asked(asking) => asking.upgrade().is_some(),
        Entry::Known { until, .. } => *until > now,
    });
    if names.len() < NAMES_MAX {
        return;
    }
    let known = names.iter().filter_map(|(name, entry)| match entry {
        Entry::Known { until, .. } => Some((*until, name)),
        Entry::Asked(_) => None,
    });
    // Where all are being asked, those who ask keep theirs, and the map forgets one.
    let oldest = known.min().map(|(_, name)| name.clone());
    if let Some(name) = oldest.or_else(|| names.keys().next().cloned()) {
        names.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers with a new address each time it is asked, or not at all.
    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
    }

    impl Resolve for Counting {
        fn resolve(&self, name: &str) -> BoxFuture<Answer> {
            let nth = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = match name {
                "missing.test" => Err(LookupError::NameUnresolvable),
                "silent.test" => return Box::pin(std::future::pending()),
                _ => Ok(vec![IpAddr::from([10, 0, (nth >> 8) as u8, nth as u8])]),
            };
            Box::pin(async move {
                tokio::task::yield_now().await;
                answer
            })
        }
    }

    fn cached() -> (Arc<Counting>, CachedResolver) {
        let counting = Arc::new(Counting::default());
        (counting.clone(), CachedResolver::new(counting))
    }

    async fn at(resolver: &CachedResolver, name: &str, now: Instant) -> Answer {
        match resolver.shared.look(name, now) {
            Either::Left(known) => known.await,
            Either::Right(asking) => asking.await,
        }
    }

    #[tokio::test]
    async fn answers_are_kept_for_their_time() {
        for (name, valid) in [("a.test", ADDRESSES_VALID), ("missing.test", FAILURE_VALID)] {
            let (counting, resolver) = cached();
            let start = Instant::now();
            let first = at(&resolver, name, start).await;
            let just_before = start + valid - Duration::from_millis(1);
            assert_eq!(at(&resolver, name, just_before).await, first, "{name}");
            assert_eq!(counting.asked.load(Ordering::SeqCst), 1, "{name}");
            let _ = at(&resolver, name, start + valid).await;
            assert_eq!(counting.asked.load(Ordering::SeqCst), 2, "{name}");
        }
    }

    #[tokio::test]
    async fn a_crowd_asks_once() {
        let (counting, resolver) = cached();
        let answers = futures_util::future::join_all((0..100).map(|_| resolver.resolve("a.test"))).await;
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer.is_ok()));
        assert_eq!(counting.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_asked_again() {
        let (counting, resolver) = cached();
        let first = resolver.resolve("a.test").await;
        resolver.forget("a.test");
        assert_ne!(resolver.resolve("a.test").await, first);
        assert_eq!(counting.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_question_ends_with_those_who_ask() {
        let (counting, resolver) = cached();
        for asked in 1..=3 {
            let asking = [resolver.resolve("silent.test"), resolver.resolve("silent.test")];
            assert_eq!(counting.asked.load(Ordering::SeqCst), asked);
            drop(asking);
        }
    }

    #[tokio::test]
    async fn names_are_bounded() {
        let (counting, resolver) = cached();
        let start = Instant::now();
        for nth in 0..NAMES_MAX {
            let asked = start + Duration::from_millis(nth as u64);
            let _ = at(&resolver, &format!("{nth}.test"), asked).await;
        }
        let later = start + Duration::from_secs(5);
        let _ = at(&resolver, "one-more.test", later).await;
        assert_eq!(resolver.shared.lock().len(), NAMES_MAX);
        let asked = counting.asked.load(Ordering::SeqCst);
        let _ = at(&resolver, "1.test", later).await;
        assert_eq!(counting.asked.load(Ordering::SeqCst), asked);
        // The oldest had to go.
        let _ = at(&resolver, "0.test", later).await;
        assert_eq!(counting.asked.load(Ordering::SeqCst), asked + 1);
        // Questions that nobody waits for any more do not stay.
        for nth in 0..2 * NAMES_MAX {
            drop(resolver.resolve(&format!("{nth}.again.test")));
        }
        assert!(resolver.shared.lock().len() <= NAMES_MAX);
    }
}

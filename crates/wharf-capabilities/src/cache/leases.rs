//! Whose turn it is to make an entry that is missing, and who waits for it.
//!
//! A key has a pending turn while somebody makes its entry. Nothing here knows the entries themselves. Turns are those of this
//! process: servers that share a backend each have their own.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Failure;

/// All turns of one cache. Cheap to clone.
#[derive(Clone)]
pub struct Leases(Arc<Shared>);

struct Shared {
    turns: Mutex<HashMap<Arc<str>, Turn>>,
    next: AtomicU64,
    waiting: AtomicUsize,
    options: LeaseOptions,
}

/// What leases may use.
#[derive(Clone, Copy, Debug)]
pub struct LeaseOptions {
    /// How long one may be held before somebody who waits gets another.
    pub lease_time: Duration,
    /// How many entries may be in the making at a time.
    pub leases_max: usize,
    /// How many calls may wait for them, all together.
    pub waiting_max: usize,
}

/// An entry in the making.
struct Turn {
    holder: u64,
    until: Instant,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    id: u64,
    sender: oneshot::Sender<Handed>,
}

/// The right to make an entry. Dropping it passes the turn on.
pub struct Lease {
    leases: Leases,
    key: Arc<str>,
    /// `None` where others have leases for the same key, and nobody waits for this one.
    turn: Option<u64>,
}

/// What somebody who waited is given.
pub enum Handed {
    /// The entry's value.
    Value(Bytes),
    /// The turn to look for the entry, and to make it where it is missing still.
    Lease(Lease),
    /// The entry could not be looked for.
    Failed(Failure),
}

/// What somebody who asks for a turn gets.
pub enum Asked {
    /// The turn.
    Lease(Lease),
    /// A place among those who wait.
    Wait(Waiting),
    /// There are too many: the limit of this name is reached.
    Full(&'static str),
}

impl Leases {
    /// Nobody's turn.
    pub fn new(options: LeaseOptions) -> Self {
        Self(Arc::new(Shared {
            turns: Mutex::default(),
            next: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            options,
        }))
    }

    /// Asks for the turn to make the entry of `key`.
    pub fn ask(&self, key: &str) -> Asked {
        let options = &self.0.options;
        let mut turns = self.lock();
        if let Some(turn) = turns.get_mut(key) {
            if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= options.waiting_max {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                return Asked::Full("waiting");
            }
            let (sender, receiver) = oneshot::channel();
            let id = self.id();
            turn.waiters.push_back(Waiter { id, sender });
            return Asked::Wait(Waiting {
                leases: self.clone(),
                key: key.into(),
                id,
                receiver,
                until: turn.until,
            });
        }
        if turns.len() >= options.leases_max {
            return Asked::Full("leases");
        }
        let key: Arc<str> = key.into();
        let holder = self.id();
        let turn = Turn {
            holder,
            until: Instant::now() + options.lease_time,
            waiters: VecDeque::new(),
        };
        turns.insert(key.clone(), turn);
        Asked::Lease(self.lease(key, holder))
    }

    /// How many entries are in the making, and how many calls wait for them.
    pub fn counts(&self) -> (usize, usize) {
        (self.lock().len(), self.0.waiting.load(Ordering::Relaxed))
    }

    fn lease(&self, key: Arc<str>, holder: u64) -> Lease {
        Lease {
            leases: self.clone(),
            key,
            turn: Some(holder),
        }
    }

    fn id(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Turn>> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the turn to the next who still waits, if `holder` has it.
    fn pass_on(&self, key: &Arc<str>, holder: u64) {
        let mut turns = self.lock();
        let Some(turn) = turns.get_mut(key).filter(|turn| turn.holder == holder) else {
            return;
        };
        while let Some(waiter) = turn.waiters.pop_front() {
            turn.holder = self.id();
            turn.until = Instant::now() + self.0.options.lease_time;
            match waiter.sender.send(Handed::Lease(self.lease(key.clone(), turn.holder))) {
                Ok(()) => return,
                // It has left. Its lease must not pass the turn on by itself: the lock is held here.
                Err(Handed::Lease(mut lease)) => lease.turn = None,
                Err(_) => {}
            }
        }
        turns.remove(key);
    }

    /// Ends the turn, if `holder` has it, and returns those who wait; else those who wait for its successor.
    fn end(&self, key: &str, holder: u64) -> VecDeque<Waiter> {
        let mut turns = self.lock();
        let Some(turn) = turns.get_mut(key) else {
            return VecDeque::new();
        };
        let waiters = std::mem::take(&mut turn.waiters);
        if turn.holder == holder {
            turns.remove(key);
        }
        waiters
    }
}

impl Lease {
    /// The key whose entry is to be made.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The entry is made: all who wait get it.
    pub fn fill(mut self, value: &Bytes) {
        for waiter in self.end() {
            let _ = waiter.sender.send(Handed::Value(value.clone()));
        }
    }

    /// The entry cannot be looked for: all who wait hear why.
    pub fn fail(mut self, failure: &Failure) {
        for waiter in self.end() {
            let _ = waiter.sender.send(Handed::Failed(failure.clone()));
        }
    }

    /// Whether the turn has been given up: then it is not this lease that others wait for.
    pub fn is_alone(&self) -> bool {
        self.turn.is_none()
    }

    /// There will be no entry: all who wait get leases of their own, for which nobody waits.
    pub fn decline(mut self) {
        for waiter in self.end() {
            let lease = Self {
                leases: self.leases.clone(),
                key: self.key.clone(),
                turn: None,
            };
            let _ = waiter.sender.send(Handed::Lease(lease));
        }
    }

    fn end(&mut self) -> VecDeque<Waiter> {
        match self.turn.take() {
            Some(holder) => self.leases.end(&self.key, holder),
            None => VecDeque::new(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(holder) = self.turn.take() {
            self.leases.pass_on(&self.key, holder);
        }
    }
}

/// A place among those who wait. Dropping it leaves.
pub struct Waiting {
    leases: Leases,
    key: Arc<str>,
    id: u64,
    receiver: oneshot::Receiver<Handed>,
    until: Instant,
}

impl Waiting {
    /// What comes first: the value, or the turn, which also comes when its holder keeps it too long.
    pub async fn wait(mut self) -> Handed {
        loop {
            tokio::select! {
                biased;
                handed = &mut self.receiver => {
                    // Nobody drops a sender unused but a turn that ends while all are dropped.
                    return handed.unwrap_or(Handed::Failed(Failure::Unavailable));
                }
                () = sleep_until(self.until) => {
                    if let Some(lease) = self.take_over() {
                        return Handed::Lease(lease);
                    }
                }
            }
        }
    }

    /// Takes the turn from a holder that has kept it too long. Otherwise there is something to wait for still.
    fn take_over(&mut self) -> Option<Lease> {
        let mut turns = self.leases.lock();
        let turn = turns.get_mut(&self.key)?;
        let place = turn.waiters.iter().position(|waiter| waiter.id == self.id)?;
        if turn.until > Instant::now() {
            self.until = turn.until;
            return None;
        }
        turn.waiters.remove(place);
        turn.holder = self.leases.id();
        turn.until = Instant::now() + self.leases.0.options.lease_time;
        Some(self.leases.lease(self.key.clone(), turn.holder))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leases.0.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut turns = self.leases.lock();
        if let Some(turn) = turns.get_mut(&self.key) {
            turn.waiters.retain(|waiter| waiter.id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LeaseOptions = LeaseOptions {
        lease_time: Duration::from_secs(10),
        leases_max: 2,
        waiting_max: 3,
    };

    fn lease(leases: &Leases, key: &str) -> Lease {
        match leases.ask(key) {
            Asked::Lease(lease) => lease,
            _ => panic!("it is somebody's turn"),
        }
    }

    fn wait(leases: &Leases, key: &str) -> Waiting {
        match leases.ask(key) {
            Asked::Wait(waiting) => waiting,
            _ => panic!("it is nobody's turn"),
        }
    }

    #[tokio::test]
    async fn all_who_wait_get_what_is_filled_in() {
        let leases = Leases::new(OPTIONS);
        let first = lease(&leases, "a");
        let waiting = [wait(&leases, "a"), wait(&leases, "a")];
        first.fill(&Bytes::from_static(b"made"));
        for waiting in waiting {
            assert!(matches!(waiting.wait().await, Handed::Value(value) if value == "made"));
        }
        assert_eq!(leases.counts(), (0, 0));
    }

    #[tokio::test]
    async fn a_dropped_lease_goes_to_the_next_who_is_still_there() {
        let leases = Leases::new(OPTIONS);
        let first = lease(&leases, "a");
        let (gone, second, third) = (wait(&leases, "a"), wait(&leases, "a"), wait(&leases, "a"));
        drop(gone);
        drop(first);
        let Handed::Lease(second) = second.wait().await else {
            panic!("it is the second's turn");
        };
        drop(second);
        assert!(matches!(third.wait().await, Handed::Lease(_)));
        assert_eq!(leases.counts(), (0, 0));
    }

    #[tokio::test]
    async fn who_leaves_with_the_turn_passes_it_on() {
        let leases = Leases::new(OPTIONS);
        let first = lease(&leases, "a");
        let (left, third) = (wait(&leases, "a"), wait(&leases, "a"));
        drop(first);
        // It was given the turn, and never looked.
        drop(left);
        assert!(matches!(third.wait().await, Handed::Lease(_)));
        assert_eq!(leases.counts(), (0, 0));
    }

    #[tokio::test]
    async fn a_declined_turn_holds_nobody_up() {
        let leases = Leases::new(OPTIONS);
        let first = lease(&leases, "a");
        let waiting = [wait(&leases, "a"), wait(&leases, "a")];
        first.decline();
        let mut own = Vec::new();
        for waiting in waiting {
            match waiting.wait().await {
                Handed::Lease(lease) if lease.is_alone() => own.push(lease),
                _ => panic!("each has a lease"),
            }
        }
        let next = lease(&leases, "a");
        drop(own);
        // They had no turn to give up.
        let waiting = wait(&leases, "a");
        next.fill(&Bytes::new());
        assert!(matches!(waiting.wait().await, Handed::Value(_)));
    }

    #[tokio::test]
    async fn a_lease_that_is_held_too_long_is_taken_over() {
        const LEASE_TIME: Duration = Duration::from_millis(200);
        let leases = Leases::new(LeaseOptions {
            lease_time: LEASE_TIME,
            ..OPTIONS
        });
        let slow = lease(&leases, "a");
        let (second, third) = (wait(&leases, "a"), wait(&leases, "a"));
        let begun = Instant::now();
        let Handed::Lease(taken) = second.wait().await else {
            panic!("it is the second's turn");
        };
        assert!(begun.elapsed() >= LEASE_TIME / 2);
        // What the slow one fills in is still good for those who wait, and does not end the other's turn.
        slow.fill(&Bytes::from_static(b"late"));
        assert!(matches!(third.wait().await, Handed::Value(value) if value == "late"));
        assert_eq!(leases.counts(), (1, 0));
        drop(taken);
        assert_eq!(leases.counts(), (0, 0));
    }

    #[tokio::test]
    async fn limits() {
        let leases = Leases::new(OPTIONS);
        let _held = [lease(&leases, "a"), lease(&leases, "b")];
        assert!(matches!(leases.ask("c"), Asked::Full("leases")));
        let _waiting = [wait(&leases, "a"), wait(&leases, "a"), wait(&leases, "b")];
        assert!(matches!(leases.ask("a"), Asked::Full("waiting")));
    }
}

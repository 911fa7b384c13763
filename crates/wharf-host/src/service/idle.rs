//! Instances with nothing to do: which is used next, and when one is given back.
//!
//! The last used is used next, since its memory is still in the processor's caches; the one that has waited longest is the
//! first to go, when its time is over or when somebody else needs its place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::call::Live;
use crate::engine::{Engine, Keeper, TICK};

/// The idle instances of one service.
pub(super) struct Idle {
    engine: Engine,
    instances_max: usize,
    timeout: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// With the tick at which each was last used; the last used at the back.
    instances: VecDeque<(u64, Live)>,
    /// Somebody looks after those whose time is over.
    swept: bool,
}

impl Idle {
    /// Holds `instances_max` instances at most, each for about `timeout`. The engine may ask for their places.
    pub fn new(engine: &Engine, instances_max: usize, timeout: Duration) -> Arc<Self> {
        let idle = Arc::new(Self {
            engine: engine.clone(),
            instances_max,
            timeout,
            kept: Mutex::default(),
        });
        let keeper: Weak<Self> = Arc::downgrade(&idle);
        engine.add_keeper(keeper);
        idle
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept().instances.len()
    }

    /// The last used.
    pub fn take(&self) -> Option<Live> {
        let (_, live) = self.kept().instances.pop_back()?;
        Some(live)
    }

    /// Keeps an instance, or ends it where there are enough.
    pub fn put(self: &Arc<Self>, live: Live) {
        let mut kept = self.kept();
        if kept.instances.len() >= self.instances_max {
            // The caller's instance ends when nobody waits for the lock.
            drop(kept);
            return drop(live);
        }
        kept.instances.push_back((self.engine.ticks(), live));
        let unswept = !std::mem::replace(&mut kept.swept, true);
        drop(kept);
        if unswept {
            tokio::spawn(sweep(Arc::downgrade(self), self.timeout));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out who has waited for too long; or none, when nobody is left to be looked after.
    fn take_old(&self) -> Option<VecDeque<(u64, Live)>> {
        let timeout = u64::try_from(self.timeout.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        let now = self.engine.ticks();
        let mut kept = self.kept();
        if kept.instances.is_empty() {
            kept.swept = false;
            return None;
        }
        let young = |(since, _): &(u64, Live)| since.saturating_add(timeout) > now;
        let old = kept.instances.iter().position(young).unwrap_or(kept.instances.len());
        let young = kept.instances.split_off(old);
        Some(std::mem::replace(&mut kept.instances, young))
    }
}

impl Keeper for Idle {
    fn longest_unused(&self) -> Option<u64> {
        let kept = self.kept();
        kept.instances.front().map(|&(since, _)| since)
    }

    fn give_back(&self) {
        let oldest = self.kept().instances.pop_front();
        drop(oldest);
    }
}

/// Ends instances whose time is over, as long as there are any.
async fn sweep(idle: Weak<Idle>, timeout: Duration) {
    loop {
        tokio::time::sleep((timeout / 4).max(TICK)).await;
        let Some(old) = idle.upgrade().and_then(|idle| idle.take_old()) else {
            return;
        };
        for instance in old {
            drop(instance);
            // Ending a thousand of them takes milliseconds.
            tokio::task::yield_now().await;
        }
    }
}

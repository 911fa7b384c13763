//! Whose turn it is to compute, while there is more to compute than there are processors.
//!
//! A guest computes in the task of its connection, and what waits for a processor is in the scheduler's queue, where nobody
//! can see it, let alone refuse it. In a crowd (`load.rs`) a guest therefore waits here until it is its turn, one for
//! each processor. Turns are given by a task that lets all others go first: so connections are read before guests compute,
//! and whom there is no time for is told at once. Apps take turns with each other, so that one with thousands of requests
//! delays another by a turn or two; and a guest that computes for long goes back to the end of its app's queue with each
//! tick of the engine's clock. Without a crowd none of this costs anything.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

/// How long who comes may have to wait for a turn: what people take for at once. A page's hundred calls that come at the same moment
/// begin within it.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// After so many turns it is known how fast those of an app come.
const TURNS_TOLD: u32 = 8;

/// For how long turns are given before connections are read again. Reading many at a time costs a third of what it costs to
/// read one between two turns, when nothing of it is in the processor's caches; and who is refused hears of it soon enough.
const ROUND: Duration = Duration::from_millis(8);

/// The turns of a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Inner>);

struct Inner {
    /// Turns are to be waited for.
    crowded: AtomicBool,
    queues: Mutex<Queues>,
    /// A turn has come back.
    returned: Notify,
}

struct Queues {
    /// Processors that nobody's turn takes.
    free: usize,
    of_app: HashMap<usize, Queue>,
    /// Apps with a queue, in the order in which they are next.
    order: VecDeque<usize>,
    /// Somebody gives turns.
    given: bool,
}

/// Those of one app.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    pace: Pace,
}

/// How fast the turns of an app come, while anybody waits for one.
#[derive(Default)]
struct Pace {
    turns: u32,
    last: Option<Instant>,
    /// The time between two, on the average of some.
    between: Duration,
}

struct Waiting {
    since: Instant,
    turn: oneshot::Sender<Turn>,
}

/// A turn, until it is dropped.
struct Turn(Option<Turns>);

/// There is no time for another request of this app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTime;

impl Turns {
    /// As many at a time as there are `processors`.
    pub fn new(processors: usize) -> Self {
        Self(Arc::new(Inner {
            crowded: AtomicBool::new(false),
            queues: Mutex::new(Queues {
                free: processors.max(1),
                of_app: HashMap::new(),
                order: VecDeque::new(),
                given: false,
            }),
            returned: Notify::new(),
        }))
    }

    /// Says whether turns are to be waited for.
    pub fn set_crowded(&self, crowded: bool) {
        self.0.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Whether anybody waits.
    pub fn is_any_waiting(&self) -> bool {
        !self.queues().order.is_empty()
    }

    /// Lets `work` compute for the app with the key `app` when it is its turn. `wants_turn` is set by `work` when it has used up
    /// a turn and wants another.
    ///
    /// # Errors
    /// When there is no time for it.
    pub fn drive<'a, F: Future>(
        &'a self,
        app: usize,
        wants_turn: &'a AtomicBool,
        work: Pin<&'a mut F>,
    ) -> Result<Driven<'a, F>, NoTime> {
        let waits = match self.is_crowded() {
            true => Waits::For(self.join(app, true)?),
            false => Waits::Nothing,
        };
        Ok(Driven {
            turns: self,
            app,
            wants_turn,
            waits,
            work,
        })
    }

    fn is_crowded(&self) -> bool {
        self.0.crowded.load(Ordering::Relaxed)
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place at the end of the app's queue.
    fn join(&self, app: usize, is_new: bool) -> Result<oneshot::Receiver<Turn>, NoTime> {
        let (mut queues, now) = (self.queues(), Instant::now());
        if is_new && queues.is_late(app, now) {
            return Err(NoTime);
        }
        let (turn, comes) = oneshot::channel();
        queues.push(app, turn, now);
        if !std::mem::replace(&mut queues.given, true) {
            tokio::spawn(self.clone().give());
        }
        Ok(comes)
    }

    /// Gives turns as long as anybody waits for one.
    async fn give(self) {
        loop {
            // Whoever has something to read goes first: Tokio looks for events before it comes back here.
            tokio::task::yield_now().await;
            let begins = Instant::now();
            while begins.elapsed() < ROUND {
                if !self.give_free() {
                    return;
                }
                self.0.returned.notified().await;
            }
        }
    }

    /// Gives the turns that are free; whether there is more to do once one comes back.
    fn give_free(&self) -> bool {
        let mut queues = self.queues();
        while queues.free > 0 {
            let Some(next) = queues.next(Instant::now()) else {
                queues.given = false;
                return false;
            };
            match next.turn.send(Turn(Some(self.clone()))) {
                Ok(()) => queues.free -= 1,
                // Nobody waits for it any more.
                Err(mut turn) => turn.0 = None,
            }
        }
        true
    }
}

impl Queues {
    fn push(&mut self, app: usize, turn: oneshot::Sender<Turn>, now: Instant) {
        let waiting = &mut self.of_app.entry(app).or_default().waiting;
        if waiting.is_empty() {
            self.order.push_back(app);
        }
        waiting.push_back(Waiting { since: now, turn });
    }

    /// Whether the app's newcomers wait for longer than anybody may: by how fast its turns come, or by how long its first has waited
    /// for one. That alone would be told too late: by the time that the first has waited for so long, three times as many have
    /// come as can be served in it.
    fn is_late(&mut self, app: usize, now: Instant) -> bool {
        let Some(Queue { waiting, pace }) = self.of_app.get_mut(&app) else {
            return false;
        };
        // The last one stays, so that the app keeps its place in the order.
        while waiting.len() > 1 && waiting.front().is_some_and(|first| first.turn.is_closed()) {
            waiting.pop_front();
        }
        let first = waiting.front().map(|first| now.saturating_duration_since(first.since));
        first.is_some_and(|waited| waited > WAIT_MAX) || pace.time_for(waiting.len()) > Some(WAIT_MAX)
    }

    /// Who is next: the first of the app whose turn it is.
    fn next(&mut self, now: Instant) -> Option<Waiting> {
        let app = self.order.pop_front()?;
        let queue = self.of_app.get_mut(&app)?;
        let next = queue.waiting.pop_front();
        queue.pace.given(now);
        match queue.waiting.is_empty() {
            true => drop(self.of_app.remove(&app)),
            false => self.order.push_back(app),
        }
        next
    }
}

impl Pace {
    /// A turn is given now.
    fn given(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let since = now.saturating_duration_since(last);
            self.between = match self.turns {
                1 => since,
                _ => self.between - self.between / TURNS_TOLD + since / TURNS_TOLD,
            };
        }
        self.turns = self.turns.saturating_add(1);
    }

    /// How long so many take that wait, once that can be told.
    fn time_for(&self, waiting: usize) -> Option<Duration> {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        (self.turns > TURNS_TOLD).then(|| self.between.saturating_mul(waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        turns.queues().free += 1;
        turns.0.returned.notify_one();
    }
}

/// What a request waits for before it computes.
enum Waits {
    /// Nothing: there is no crowd, or it computes what an event outside has left it to do.
    Nothing,
    For(oneshot::Receiver<Turn>),
    Has {
        /// Given back when the work has been polled.
        _turn: Turn,
    },
}

/// Work that takes turns.
pub(crate) struct Driven<'a, F> {
    turns: &'a Turns,
    app: usize,
    wants_turn: &'a AtomicBool,
    waits: Waits,
    work: Pin<&'a mut F>,
}

impl<F: Future> Future for Driven<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            if let Waits::For(turn) = &mut self.waits {
                // Whoever would give it is never gone before; if so, there is nothing to wait for.
                let turn = ready!(Pin::new(turn).poll(cx));
                self.waits = turn.map_or(Waits::Nothing, |turn| Waits::Has { _turn: turn });
            }
            let polled = self.work.as_mut().poll(cx);
            self.waits = Waits::Nothing;
            if polled.is_ready() || !self.wants_turn.swap(false, Ordering::Relaxed) || !self.turns.is_crowded() {
                return polled;
            }
            // It was let in: it is not refused in the middle.
            match self.turns.join(self.app, false) {
                Ok(turn) => self.waits = Waits::For(turn),
                Err(NoTime) => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// What comes of work for an app.
    async fn driven<T>(turns: &Turns, app: usize, work: impl Future<Output = T>) -> Result<T, NoTime> {
        Ok(turns.drive(app, &NEVER, std::pin::pin!(work))?.await)
    }

    /// Turns in a crowd, and the one of one processor.
    async fn crowded() -> (Turns, Turn) {
        let turns = Turns::new(1);
        turns.set_crowded(true);
        let turn = turns.join(0, true).unwrap().await.unwrap();
        (turns, turn)
    }

    #[track_caller]
    fn check_nobody_waits(turns: &Turns) {
        let queues = turns.queues();
        assert_eq!((queues.free, queues.given), (1, false));
    }

    /// Until whoever gives turns has nothing left to do.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn without_a_crowd_nobody_waits() {
        let (turns, _turn) = crowded().await;
        turns.set_crowded(false);
        assert_eq!(driven(&turns, 1, async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn apps_take_turns() {
        let (turns, first) = crowded().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (nth, app) in [1, 1, 1, 2].into_iter().enumerate() {
            let (turns, order) = (turns.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                driven(&turns, app, async { order.lock().unwrap().push((app, nth)) }).await
            }));
            settle().await;
        }
        assert!(turns.is_any_waiting());
        drop(first);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
        assert_eq!(*order.lock().unwrap(), [(1, 0), (2, 3), (1, 1), (1, 2)]);
        settle().await;
        check_nobody_waits(&turns);
    }

    /// What reads comes before what computes, so that it is known how many there are.
    #[tokio::test]
    async fn all_that_is_ready_queues_up_before_the_first_turn() {
        let turns = Turns::new(1);
        turns.set_crowded(true);
        let queued = Arc::new(AtomicBool::new(false));
        let mut waiting = Vec::new();
        for nth in 0..10 {
            let (turns, queued) = (turns.clone(), queued.clone());
            waiting.push(tokio::spawn(async move {
                if nth == 9 {
                    queued.store(true, Ordering::Relaxed);
                }
                driven(&turns, 1, async { queued.load(Ordering::Relaxed) }).await
            }));
        }
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(true));
        }
    }

    #[tokio::test]
    async fn newcomers_are_refused_once_the_first_has_waited_too_long() {
        let (turns, first) = crowded().await;
        let waits = turns.join(1, true).ok();
        assert!(turns.join(1, true).is_ok(), "there is time");
        tokio::time::sleep(WAIT_MAX + Duration::from_millis(50)).await;
        assert_eq!(driven(&turns, 1, async {}).await, Err(NoTime));
        assert!(turns.join(1, false).is_ok(), "who was let in is not refused");
        assert!(turns.join(2, true).is_ok(), "another app has a queue of its own");
        drop((first, waits));
        settle().await;
        assert_eq!(turns.queues().free, 1, "nobody waits any more");
        assert_eq!(driven(&turns, 1, async {}).await, Ok(()));
    }

    /// Who would wait for too long is refused before anybody has, once it is known how fast turns come.
    #[test]
    fn newcomers_are_refused_who_would_wait_too_long() {
        #[track_caller]
        fn check(waiting: usize, turns: u32, is_late: bool) {
            let (each, mut now) = (Duration::from_millis(5), Instant::now());
            let queues = Turns::new(1);
            let mut queues = queues.queues();
            let (senders, _receivers): (Vec<_>, Vec<_>) = (0..waiting).map(|_| oneshot::channel()).unzip();
            for turn in senders {
                queues.push(1, turn, now);
            }
            for _ in 0..turns {
                now += each;
                assert!(queues.next(now).is_some_and(|next| !next.turn.is_closed()));
            }
            assert_eq!(queues.is_late(1, now), is_late, "{waiting} waiting, {turns} turns");
            assert!(!queues.is_late(2, now), "another app has a queue of its own");
        }
        // 200 ms are 40 turns.
        check(9 + 40, 9, false);
        check(9 + 41, 9, true);
        check(8 + 41, 8, false);
        check(9 + 1000, 9, true);
        check(1000, 1, false);
    }

    /// A turn that was given and never taken is not lost.
    #[tokio::test]
    async fn who_leaves_with_a_turn_gives_it_back() {
        let (turns, first) = crowded().await;
        let (left, second) = (turns.join(1, true), turns.join(1, true));
        drop((left, first));
        settle().await;
        assert_eq!(turns.queues().free, 0);
        drop(second);
        settle().await;
        check_nobody_waits(&turns);
    }

    #[tokio::test]
    async fn who_waits_for_something_else_holds_no_turn() {
        let (turns, first) = crowded().await;
        drop(first);
        let (end, ends) = oneshot::channel::<()>();
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { driven(&turns, 1, ends).await.is_ok() }
        });
        settle().await;
        assert_eq!(turns.queues().free, 1);
        drop(end);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn who_computes_for_long_goes_to_the_end() {
        let (turns, first) = crowded().await;
        let wants_turn = AtomicBool::new(false);
        let order = Mutex::new(Vec::new());
        let mut left = 3;
        let mut long = std::pin::pin!(std::future::poll_fn(|cx| {
            order.lock().unwrap().push("long");
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            wants_turn.store(true, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let long = turns.drive(1, &wants_turn, long.as_mut()).ok().unwrap();
        let short = driven(&turns, 1, async { order.lock().unwrap().push("short") });
        let start = async {
            settle().await;
            drop(first);
        };
        let (long, short, ()) = tokio::join!(long, short, start);
        assert_eq!((long, short), ((), Ok(())));
        assert_eq!(*order.lock().unwrap(), ["long", "short", "long", "long"]);
    }
}

//! Makes versions of apps, several at a time, each in a thread of its own, so that none waits for another's compiler.
//!
//! One that takes much longer than the others is left to go on by itself: whoever asked is told so, and asks again once it is
//! there ([`Workshop::has_news`]). What becomes of versions is up to [`super::Deployment`].

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wharf_app::app as plan;
use wharf_app::section::Sections;

use super::inputs::Inputs;
use super::{Assemble, Fault, assembled};
use crate::app::App;

/// How long all others wait for what is still being made once nothing else has ended. A Go program of 10 MiB compiles in a part of
/// it on one processor; a Python interpreter of 30 MiB takes longer where there are few.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A version of an app that is to be made.
pub(super) struct Order {
    pub plan: plan::App,
    /// What the version was made from that serves now and is the same but for its files.
    pub serving: Option<blake3::Hash>,
    /// What the version was made from that failed the last time and is the same but for its files, and why.
    pub failed: Option<(blake3::Hash, Fault)>,
}

/// What came of an order.
pub(super) enum Made {
    /// The version that serves is this one.
    Same,
    /// A new one.
    New { app: App, inputs: blake3::Hash },
    /// Nothing; `inputs` is what it would have been made from, if that could be read.
    Failed { fault: Fault, inputs: Option<blake3::Hash> },
    /// Nothing yet.
    UnderWay,
}

/// Whether somebody still wants what is being made. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// Nobody will ask for it: who makes it may stop.
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a thread and those who wait for it share.
#[derive(Default)]
struct Job {
    wanted: Wanted,
    /// What it is made from, once that is read.
    inputs: OnceLock<blake3::Hash>,
}

struct Late {
    serial: u64,
    plan: plan::App,
    job: Arc<Job>,
    /// What came of it, once it is there.
    made: Option<Made>,
}

/// One that is being made by this call of [`Workshop::make`].
struct Current {
    nth: usize,
    name: String,
    plan: plan::App,
    begun: Instant,
    job: Arc<Job>,
    is_late: bool,
}

type Finished = (u64, Made);

pub(super) struct Workshop {
    assemble: Arc<dyn Assemble>,
    sections: Sections,
    /// Threads that are waited for; as many again may go on by themselves.
    at_once: usize,
    patience: Duration,
    /// Threads there are.
    running: usize,
    serials: u64,
    finished: (mpsc::Sender<Finished>, mpsc::Receiver<Finished>),
    /// Those that nobody waits for any more, by their app's name.
    late: BTreeMap<String, Late>,
}

impl Workshop {
    pub fn new(assemble: Arc<dyn Assemble>, sections: Sections) -> Self {
        Self {
            assemble,
            sections,
            // Compilers use one processor for most of their time, and those that serve go before them.
            at_once: thread::available_parallelism().map_or(1, usize::from),
            patience: PATIENCE,
            running: 0,
            serials: 0,
            finished: mpsc::channel(),
            late: BTreeMap::new(),
        }
    }

    #[cfg(test)]
    pub fn with_patience(mut self, patience: Duration, at_once: usize) -> Self {
        (self.patience, self.at_once) = (patience, at_once);
        self
    }

    /// Whether something has ended that was [`Made::UnderWay`].
    pub fn has_news(&mut self) -> bool {
        while let Ok((serial, made)) = self.finished.1.try_recv() {
            self.running -= 1;
            self.late_ended(serial, made);
        }
        self.late.values().any(|late| late.made.is_some())
    }

    /// Makes all of `orders`, of apps with different names, and says what came of each. Where something `can_serve` already,
    /// nobody has to wait for those that take long; else it is waited until one of them is there.
    pub fn make(&mut self, orders: Vec<Order>, mut can_serve: bool) -> Vec<Made> {
        self.forget_others(&orders);
        let mut made: Vec<Made> = orders.iter().map(|_| Made::UnderWay).collect();
        let mut waiting: VecDeque<(usize, Order)> = orders.into_iter().enumerate().collect();
        let mut current: BTreeMap<u64, Current> = BTreeMap::new();
        let mut last_end = Instant::now();
        loop {
            self.begin(&mut waiting, &mut current);
            let is_waited_for = current.values().any(|current| !current.is_late);
            if waiting.is_empty() && !is_waited_for && (can_serve || current.is_empty()) {
                break;
            }
            let left = self.patience.saturating_sub(last_end.elapsed());
            if let Ok((serial, result)) = self.finished.1.recv_timeout(left) {
                self.running -= 1;
                match current.remove(&serial) {
                    Some(ended) => {
                        last_end = Instant::now();
                        let result = self.or_of_late(&ended.name, result);
                        can_serve |= matches!(result, Made::New { .. } | Made::Same);
                        made[ended.nth] = result;
                    }
                    None => self.late_ended(serial, result),
                }
                continue;
            }
            last_end = Instant::now();
            // Somebody would be held up by them.
            if can_serve || !waiting.is_empty() {
                let overdue = current.values_mut();
                let overdue = overdue.filter(|current| current.begun.elapsed() >= self.patience);
                overdue.for_each(|current| current.is_late = true);
            }
        }
        for (serial, Current { name, plan, job, .. }) in current {
            // One that has not found out in all this time whether it makes something else than an older one is not needed beside it.
            let older = self.late.get(&name);
            if older.is_some_and(|older| !older.job.wanted.is_over()) {
                job.wanted.end();
                continue;
            }
            let late = Late {
                serial,
                plan,
                job,
                made: None,
            };
            self.late.insert(name, late);
        }
        made
    }

    /// Begins as many as there is room for.
    fn begin(&mut self, waiting: &mut VecDeque<(usize, Order)>, current: &mut BTreeMap<u64, Current>) {
        loop {
            let waited_for = current.values().filter(|current| !current.is_late).count();
            if waited_for >= self.at_once || self.running >= 2 * self.at_once {
                return;
            }
            let Some((nth, order)) = waiting.pop_front() else {
                return;
            };
            self.serials += 1;
            self.running += 1;
            let job = Arc::new(Job::default());
            let begun = Current {
                nth,
                name: order.plan.name.clone(),
                plan: order.plan.clone(),
                begun: Instant::now(),
                job: job.clone(),
                is_late: false,
            };
            current.insert(self.serials, begun);
            self.start(order, job);
        }
    }

    fn start(&self, order: Order, job: Arc<Job>) {
        let (assemble, sections) = (self.assemble.clone(), self.sections.clone());
        let (serial, finished) = (self.serials, self.finished.0.clone());
        let before = self.late.get(&order.plan.name).map(|late| late.job.clone());
        let runtime = tokio::runtime::Handle::try_current().ok();
        let work = move || {
            let _runtime = runtime.as_ref().map(tokio::runtime::Handle::enter);
            let work = || work(order, &sections, &*assemble, &job, before.as_deref());
            let made = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Made::Failed {
                fault: Fault::of_app(format!("it could not be made: {}", panicked(&*panic))),
                inputs: job.inputs.get().copied(),
            });
            // Nobody listens once the server has ended.
            let _ = finished.send((serial, made));
        };
        if let Err(error) = thread::Builder::new().name("wharf-make".into()).spawn(work) {
            let fault = Fault::of_app(format!("no thread can be had to make it in: {error}"));
            let _ = self.finished.0.send((serial, Made::Failed { fault, inputs: None }));
        }
    }

    /// Ends what nobody wants any more: it is of an app that is gone, or that says something else by now.
    fn forget_others(&mut self, orders: &[Order]) {
        self.late.retain(|_, late| {
            let is_wanted = orders.iter().any(|order| order.plan == late.plan);
            if !is_wanted {
                late.job.wanted.end();
            }
            is_wanted
        });
    }

    /// What came of an order; of what nobody waited for, where that was made from the same.
    fn or_of_late(&mut self, name: &str, result: Made) -> Made {
        if let Made::UnderWay = result {
            let there = self.late.get_mut(name).and_then(|late| late.made.take());
            let Some(there) = there else {
                return Made::UnderWay;
            };
            self.late.remove(name);
            return there;
        }
        if let Some(late) = self.late.remove(name) {
            late.job.wanted.end();
        }
        result
    }

    fn late_ended(&mut self, serial: u64, made: Made) {
        if let Some(late) = self.late.values_mut().find(|late| late.serial == serial) {
            late.made = Some(made);
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.late.values().for_each(|late| late.job.wanted.end());
    }
}

/// Makes one version. `before` is an older job for the same app that goes on by itself.
fn work(order: Order, sections: &Sections, assemble: &dyn Assemble, job: &Job, before: Option<&Job>) -> Made {
    let inputs = match Inputs::read(&order.plan, sections) {
        Ok(inputs) => inputs,
        Err(fault) => return Made::Failed { fault, inputs: None },
    };
    let hash = *job.inputs.get_or_init(|| inputs.hash());
    if order.serving == Some(hash) {
        return Made::Same;
    }
    if let Some((_, fault)) = order.failed.filter(|(failed, _)| *failed == hash) {
        return Made::Failed {
            fault,
            inputs: Some(hash),
        };
    }
    if let Some(before) = before {
        if before.inputs.get() == Some(&hash) {
            return Made::UnderWay;
        }
        before.wanted.end();
    }
    match assembled(&order.plan, &inputs, assemble, &job.wanted) {
        Ok(app) => Made::New { app, inputs: hash },
        Err(fault) => Made::Failed {
            fault,
            inputs: Some(hash),
        },
    }
}

/// What somebody said who panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    let said = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("something broke, which does not say what")
}

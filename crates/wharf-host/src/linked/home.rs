//! The one instance of a linked component, and the task that it lives in.
//!
//! Calls reach it through a mailbox, as requests reach a shared service's. The task is made when the first call comes, and
//! again when one comes after a trap; it ends once nobody can call any more.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Accessor, Func, Instance, InstancePre, ResourceType, Val};
use wharf_app::compose::DROP;

use super::fault::Fault;
use super::handles::{Crossings, Keeper, Side};
use super::types::Plan;
use crate::capability::Sample;
use crate::component::Component;
use crate::running::Running;
use crate::service::Failure;
use crate::state::{Blueprint, Capabilities, InstanceState};

/// Where a linked component lives.
pub(super) struct Home {
    name: Arc<str>,
    instance: InstancePre<InstanceState>,
    blueprint: Blueprint,
    worker: Mutex<Option<Arc<Worker>>>,
    /// The functions of its exported interfaces, in the order of their places.
    functions: Vec<Function>,
    calls: AtomicU64,
    starts: AtomicU64,
    traps: AtomicU64,
    resources: Arc<AtomicUsize>,
}

struct Function {
    interface: String,
    name: String,
    ty: ComponentFunc,
}

/// A function that is exported.
pub(super) struct Export {
    /// Its place among all of them.
    pub place: usize,
    pub ty: ComponentFunc,
}

/// The functions of the interfaces that are meant.
pub(super) struct Exports<'a>(&'a [Function]);

impl Exports<'_> {
    pub fn find(&self, interface: &str, name: &str) -> Option<Export> {
        let is_it = |function: &Function| function.interface == interface && function.name == name;
        let place = self.0.iter().position(is_it)?;
        Some(Export {
            place,
            ty: self.0[place].ty.clone(),
        })
    }
}

/// What a call comes back with: a value, if its function has one, and what crosses with it.
pub(super) type Answer = Result<(Option<Val>, Crossings), Fault>;

struct Worker {
    mailbox: mpsc::UnboundedSender<Job>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    ended: AtomicBool,
    reason: Mutex<Option<Arc<str>>>,
}

enum Job {
    Call {
        plan: Arc<Plan>,
        params: (Vec<Val>, Crossings),
        answer: oneshot::Sender<Answer>,
    },
    Drop(u32),
}

impl Home {
    pub fn new(
        name: &str,
        component: &Component,
        instance: InstancePre<InstanceState>,
        blueprint: Blueprint,
    ) -> Arc<Self> {
        let functions = functions(component);
        Arc::new(Self {
            name: name.into(),
            instance,
            blueprint,
            worker: Mutex::default(),
            functions,
            calls: AtomicU64::new(0),
            starts: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            resources: Arc::default(),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is admitted with itself.
    pub fn capabilities(&self) -> &Capabilities {
        &self.blueprint.capabilities
    }

    pub fn exports(&self) -> Exports<'_> {
        Exports(&self.functions)
    }

    /// What it has done and holds.
    pub fn samples(&self) -> Vec<Sample> {
        let sample = |name, help, is_counter, value| Sample {
            name,
            help,
            is_counter,
            labels: vec![("component", self.name().to_string())],
            value,
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        vec![
            sample("calls", "Calls of a linked component", true, count(&self.calls)),
            sample(
                "starts",
                "Instances made of a linked component",
                true,
                count(&self.starts),
            ),
            sample(
                "failures",
                "Instances of a linked component that ended in a failure",
                true,
                count(&self.traps),
            ),
            sample(
                "resources",
                "Resources of a linked component that callers hold",
                false,
                self.resources.load(Ordering::Relaxed) as f64,
            ),
        ]
    }

    /// What the function returns, if it returns anything. Whoever drops this leaves the call to go on unheard.
    pub async fn call(self: &Arc<Self>, plan: &Arc<Plan>, params: (Vec<Val>, Crossings)) -> Answer {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let worker = self.worker();
        let (answer, answered) = oneshot::channel();
        let job = Job::Call {
            plan: plan.clone(),
            params,
            answer,
        };
        let ended = || Fault::Ended {
            component: self.name.clone(),
            reason: worker.state.reason(),
        };
        worker.mailbox.send(job).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Nobody holds it any more.
    pub fn drop_resource(&self, number: u32) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended needs no dropping.
        if let Some(worker) = &*worker {
            let _ = worker.mailbox.send(Job::Drop(number));
        }
    }

    /// The live instance's task, or a new one.
    fn worker(self: &Arc<Self>) -> Arc<Worker> {
        let mut current = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let live = current
            .as_ref()
            .filter(|worker| !worker.state.ended.load(Ordering::Acquire));
        if let Some(worker) = live {
            return worker.clone();
        }
        let (mailbox, jobs) = mpsc::unbounded_channel();
        let state = Arc::new(State::default());
        let worker = Arc::new(Worker {
            mailbox,
            state: state.clone(),
        });
        let before = current.replace(worker.clone());
        drop(current);
        // With it go calls that nobody has taken, and with these their resources, by way of the lock.
        drop(before);
        self.starts.fetch_add(1, Ordering::Relaxed);
        let keeper = Keeper::new(self.name.clone(), Arc::downgrade(self), self.resources.clone());
        let living = Living {
            name: self.name.clone(),
            instance: self.instance.clone(),
            blueprint: self.blueprint.clone(),
            functions: self
                .functions
                .iter()
                .map(|function| (function.interface.clone(), function.name.clone()))
                .collect(),
            keeper: Arc::new(keeper),
            resources: self.resources.clone(),
        };
        // Holds no `Home`: that of which there is none left takes the mailbox with it, and so ends this.
        let home = Arc::downgrade(self);
        tokio::spawn(async move { living.live(jobs, &state, &home).await });
        worker
    }
}

impl State {
    fn reason(&self) -> Arc<str> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reason.unwrap_or_else(|| "it was stopped".into())
    }

    fn end(&self, reason: Option<Arc<str>>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        self.ended.store(true, Ordering::Release);
    }
}

/// The functions of all interfaces that a component exports.
fn functions(component: &Component) -> Vec<Function> {
    let engine = component.engine().wasmtime();
    let ty = component.wasmtime().component_type();
    let mut functions = Vec::new();
    for (interface, export) in ty.exports(engine) {
        let ComponentItem::ComponentInstance(items) = export.ty else {
            continue;
        };
        for (name, item) in items.exports(engine) {
            if let ComponentItem::ComponentFunc(ty) = item.ty {
                functions.push(Function {
                    interface: interface.to_owned(),
                    name: name.to_owned(),
                    ty,
                });
            }
        }
    }
    functions
}

/// An instance's life.
struct Living {
    name: Arc<str>,
    instance: InstancePre<InstanceState>,
    blueprint: Blueprint,
    functions: Vec<(String, String)>,
    keeper: Arc<Keeper>,
    resources: Arc<AtomicUsize>,
}

impl Living {
    /// Takes calls until there can be none any more.
    async fn live(self, mut jobs: mpsc::UnboundedReceiver<Job>, state: &State, home: &Weak<Home>) {
        let busy = Arc::new(AtomicU64::new(0));
        let engine = self.blueprint.engine.clone();
        let unanswered = Unanswered::default();
        let work = self.serve(busy.clone(), &mut jobs, &unanswered);
        let failure = match Running::new(engine, busy, work).await {
            Ok(()) => None,
            Err(failure) => {
                tracing::warn!(component = &*self.name, %failure, "a linked component's instance ended");
                Some(failure.in_short().into())
            }
        };
        self.resources.store(0, Ordering::Relaxed);
        if let (Some(_), Some(home)) = (&failure, home.upgrade()) {
            home.traps.fetch_add(1, Ordering::Relaxed);
        }
        // Before those who wait learn that their call is gone: what they call next is for the next instance.
        state.end(failure);
        drop((jobs, unanswered));
    }

    async fn serve(
        &self,
        busy: Arc<AtomicU64>,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        unanswered: &Unanswered,
    ) -> Result<(), Failure> {
        let slots = self.blueprint.engine.acquire(self.blueprint.slots).await;
        let _slots = slots.ok_or(Failure::NoResponse)?;
        let mut store = self.blueprint.store(busy).map_err(Failure::Instantiate)?;
        let instance = self.instance.instantiate_async(&mut store).await;
        let instance = instance.map_err(Failure::Instantiate)?;
        let exports = Exported {
            functions: self.find(&mut store, instance),
            drops: drops(&mut store, instance),
        };
        let desk = Desk {
            name: &self.name,
            exports: &exports,
            keeper: &self.keeper,
            unanswered,
        };
        let result = take_jobs(&mut store, &desk, jobs).await;
        let refused = store.data().refused();
        result.map_err(|error| Failure::of(error, refused))
    }

    fn find(&self, store: &mut Store<InstanceState>, instance: Instance) -> Vec<Option<Func>> {
        let functions = self.functions.iter().map(|(interface, name)| {
            let interface = instance.get_export_index(&mut *store, None, interface)?;
            let function = instance.get_export_index(&mut *store, Some(&interface), name)?;
            instance.get_func(&mut *store, function)
        });
        functions.collect()
    }
}

async fn take_jobs(
    store: &mut Store<InstanceState>,
    desk: &Desk<'_>,
    jobs: &mut mpsc::UnboundedReceiver<Job>,
) -> wasmtime::Result<()> {
    let work = async |accessor: &Accessor<InstanceState>| {
        let mut calls = FuturesUnordered::new();
        poll_fn(|cx| {
            loop {
                match calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => continue,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                match jobs.poll_recv(cx) {
                    Poll::Ready(Some(job)) => calls.push(desk.take(accessor, job)),
                    // Nobody can call any more, and what was called for others is done.
                    Poll::Ready(None) if calls.is_empty() => {
                        return accessor.poll_no_interesting_tasks(cx).map(|()| Ok(()));
                    }
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    };
    store.run_concurrent(work).await?
}

/// The calls that an instance has left without an answer.
type Unanswered = Mutex<Vec<oneshot::Sender<Answer>>>;

/// Who waits for an answer. Is kept when the call is dropped, until it is known why.
struct Waiting<'a> {
    answer: Option<oneshot::Sender<Answer>>,
    unanswered: &'a Unanswered,
}

impl Waiting<'_> {
    /// Whether anybody hears it or not.
    fn answer(mut self, answer: Answer) {
        if let Some(waiting) = self.answer.take() {
            let _ = waiting.send(answer);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.extend(self.answer.take());
    }
}

/// The functions of an instance.
struct Exported {
    /// By their places.
    functions: Vec<Option<Func>>,
    /// What drops a resource, by its type.
    drops: Vec<(ResourceType, Func)>,
}

/// The functions that drop resources: the engine itself cannot while calls are under way.
fn drops(store: &mut Store<InstanceState>, instance: Instance) -> Vec<(ResourceType, Func)> {
    let functions = (0..).map_while(|nth| instance.get_func(&mut *store, format!("{DROP}{nth}")));
    let functions: Vec<_> = functions.collect();
    let typed = functions.into_iter().filter_map(|function| {
        let ty = function.ty(&*store);
        match ty.params().next() {
            Some((_, Type::Own(ty))) => Some((ty, function)),
            _ => None,
        }
    });
    typed.collect()
}

/// Where calls are taken, inside the instance's store.
struct Desk<'a> {
    name: &'a Arc<str>,
    exports: &'a Exported,
    keeper: &'a Arc<Keeper>,
    unanswered: &'a Unanswered,
}

impl Desk<'_> {
    async fn take(&self, accessor: &Accessor<InstanceState>, job: Job) -> wasmtime::Result<()> {
        match job {
            Job::Call { plan, params, answer } => {
                let waiting = Waiting {
                    answer: Some(answer),
                    unanswered: self.unanswered,
                };
                waiting.answer(self.call(accessor, &plan, params).await?);
                Ok(())
            }
            Job::Drop(number) => self.drop_one(accessor, number).await,
        }
    }

    async fn call(
        &self,
        accessor: &Accessor<InstanceState>,
        plan: &Plan,
        (mut params, mut crossings): (Vec<Val>, Crossings),
    ) -> wasmtime::Result<Answer> {
        let Some(function) = self.exports.functions.get(plan.place).copied().flatten() else {
            return Err(wasmtime::format_err!("an export of {} is gone", self.name));
        };
        let side = Side::Home(self.keeper.clone());
        if !side.admits(&crossings) {
            let component = self.name.clone();
            return Ok(Err(Fault::Stale { component }));
        }
        for (passing, value) in plan.params().iter().zip(&mut params) {
            if let Some(shape) = &passing.handles {
                accessor.with(|store| side.arrive(store, shape, value, &mut crossings))?;
            }
        }
        let mut results = vec![Val::Bool(false); usize::from(plan.result().is_some())];
        function.call_concurrent(accessor, &params, &mut results).await?;
        let mut result = results.pop();
        let mut crossings = Crossings::new();
        let shape = plan.result().and_then(|passing| passing.handles.as_ref());
        if let (Some(value), Some(shape)) = (&mut result, shape) {
            accessor.with(|store| side.leave(store, shape, value, &mut crossings))?;
        }
        Ok(Ok((result, crossings)))
    }

    async fn drop_one(&self, accessor: &Accessor<InstanceState>, number: u32) -> wasmtime::Result<()> {
        let Some(resource) = self.keeper.take(number) else {
            return Ok(());
        };
        let drops = &mut self.exports.drops.iter();
        match drops.find(|(ty, _)| *ty == resource.ty()) {
            Some((_, drop)) => {
                drop.call_concurrent(accessor, &[Val::Resource(resource)], &mut [])
                    .await
            }
            None => Err(wasmtime::format_err!("{} was not prepared to be linked", self.name)),
        }
    }
}

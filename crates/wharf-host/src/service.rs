//! A component that answers HTTP requests, and which of its instances answers which.
//!
//! Three ways, chosen per app ([`Isolation`]). `request` and `serial` give a request an instance of its own while it
//! lasts: the guest runs inside the future that waits for its answer, so that dropping the future (the client left, a
//! deadline passed) ends exactly this guest's work, and a trap touches nothing else. `shared` is in
//! `service/shared.rs`. How a single call is made is in `service/call.rs`.

mod call;
mod failure;
mod idle;
mod queue;
mod shared;
mod socket;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::component::Component;
use crate::engine::{At, Engine, Keeper as _, TICK};
use crate::http::Payload;
use crate::http::body::Owner;
use crate::limits::Limits;
use crate::link::LinkError;
use crate::running::{Progress, Running};
use crate::state::{Blueprint, Capabilities};
use crate::wasi::Environment;
use crate::websocket::Decision;
use call::{Handler, Head, Live};
use idle::Idle;
use queue::Queue;

pub use failure::Failure;

/// How many requests meet in one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A fresh instance for each request.
    Request,
    /// One request at a time; an instance is used again, a bounded number of times.
    Serial,
    /// Requests run side by side in one instance.
    Shared,
}

/// How a [`Service`] is set up.
#[derive(Clone)]
pub struct ServiceOptions {
    /// How many requests meet in one instance; `None` means `serial` for WASI 0.3 and `request` for 0.2.
    pub isolation: Option<Isolation>,
    /// What its guests see of their surroundings.
    pub environment: Environment,
    /// What its guests may use.
    pub limits: Limits,
    /// Under `serial`: how many requests an instance answers before it is replaced, so that what leaks in a guest is
    /// given back.
    pub reuse_max: u32,
    /// Under `serial`: how many instances are kept while they have nothing to do.
    pub idle_max: usize,
    /// Under `serial`: for about how long an instance is kept that has nothing to do.
    pub idle_timeout: Duration,
    /// How many requests are worked on at a time; others wait ([`Limits::queue_timeout`], [`Limits::queue_length_max`]).
    /// Under `request` and `serial`, where each has an instance, this is also how many instances there may be.
    pub requests_max: usize,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            isolation: None,
            environment: Environment::default(),
            limits: Limits::default(),
            // A guest that leaks 10 KiB a request stays below 100 MiB.
            reuse_max: 10_000,
            // As many as there may be at a time: they are given up as soon as somebody needs their places.
            idle_max: 1000,
            // Longer than the pauses of a service that is in use; a crowd's instances are gone soon after it.
            idle_timeout: Duration::from_secs(10),
            // Parked requests cost some kilobytes each; those of guests that wait as the component model means them to
            // hold no stack.
            requests_max: 10_000,
        }
    }
}

/// What a [`Service`] holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceUsage {
    /// Requests that wait for an instance.
    pub waiting: usize,
    /// Instances that have nothing to do.
    pub idle: usize,
}

/// A component that answers HTTP requests (`wasi:http/handler` of 0.3, or 0.2's `incoming-handler`). Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    blueprint: Blueprint,
    handler: Arc<Handler>,
    isolation: Isolation,
    reuse_max: u32,
    idle: Arc<Idle>,
    /// Requests that wait for an instance, and what tells them that one came back.
    queue: Queue,
    returned: Notify,
    /// Room for requests at work.
    places: Arc<Semaphore>,
    /// Room among these for requests whose content is still to come.
    uploads: Arc<Semaphore>,
    full: Full,
    shared: shared::Shared,
    /// Instances at work in tasks of their own, and what ends them.
    tasks: TaskTracker,
    aborted: CancellationToken,
}

/// Room for a request whose content is still to come, until this is dropped.
#[derive(Debug)]
pub struct UploadRoom {
    _permit: OwnedSemaphorePermit,
}

/// How many of so many requests may wait for content of theirs. Whoever is slow to send some holds an instance for nothing; a quarter is
/// left to those who are not.
fn uploads_of(requests: usize) -> usize {
    requests - requests / 4
}

/// How often a request had to wait since there was no room.
#[derive(Default)]
struct Full {
    /// In this service.
    places: AtomicU64,
    /// In the engine's pool.
    slots: AtomicU64,
}

impl Service {
    /// Links `component` with `capabilities`; nothing is instantiated yet.
    ///
    /// # Errors
    /// When it exports no HTTP handler, imports something that is not there, or asks for `shared` with WASI 0.2, whose
    /// functions hold the whole instance while they wait.
    pub fn new(component: &Component, capabilities: Capabilities, options: ServiceOptions) -> Result<Self, LinkError> {
        let handler = Handler::link(component, &capabilities)?;
        let isolation = options.isolation.unwrap_or(match handler {
            Handler::V3(_) => Isolation::Serial,
            Handler::V2(_) => Isolation::Request,
        });
        if matches!((&handler, isolation), (Handler::V2(_), Isolation::Shared)) {
            return Err(LinkError::World {
                name: component.name().into(),
                wanted: "a component for WASI 0.2 cannot be shared by requests: its calls hold the whole instance \
                         while they wait; use `--isolation request` or `--isolation serial`"
                    .into(),
            });
        }
        let blueprint = Blueprint::new(component, capabilities, options.environment, options.limits)?;
        let places = options.requests_max.clamp(1, Semaphore::MAX_PERMITS);
        let room = match isolation {
            Isolation::Shared => places,
            Isolation::Request | Isolation::Serial => {
                places.min((blueprint.engine.instances_max() / blueprint.slots.max(1)) as usize)
            }
        };
        let queue = Queue::new(blueprint.limits.queue_length_max, blueprint.limits.queue_timeout);
        let idle = Idle::new(&blueprint.engine, options.idle_max, options.idle_timeout);
        Ok(Self(Arc::new(Inner {
            name: component.name().into(),
            blueprint,
            handler: Arc::new(handler),
            isolation,
            reuse_max: options.reuse_max.max(1),
            idle,
            queue,
            returned: Notify::new(),
            places: Arc::new(Semaphore::new(places)),
            uploads: Arc::new(Semaphore::new(uploads_of(room))),
            full: Full::default(),
            shared: shared::Shared::default(),
            tasks: TaskTracker::new(),
            aborted: CancellationToken::new(),
        })))
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether this is a clone of `other`.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many requests meet in one instance.
    pub fn isolation(&self) -> Isolation {
        self.0.isolation
    }

    /// The engine that its instances run on.
    pub fn engine(&self) -> &Engine {
        &self.0.blueprint.engine
    }

    /// What it holds at this moment.
    pub fn usage(&self) -> ServiceUsage {
        ServiceUsage {
            waiting: self.0.queue.len(),
            idle: self.0.idle.len(),
        }
    }

    /// Room for a request whose content is still to come, if there is any now: three quarters of what there is for requests.
    pub fn try_upload_room(&self) -> Option<UploadRoom> {
        let permit = self.0.uploads.clone().try_acquire_owned().ok()?;
        Some(UploadRoom { _permit: permit })
    }

    /// The same, as soon as there is some: waited for in the queue, as long as that and `deadline` allow.
    ///
    /// # Errors
    /// When there is none in time, or the queue is full.
    pub async fn upload_room(&self, deadline: Deadline) -> Result<UploadRoom, Failure> {
        self.0.full.places.fetch_add(1, Ordering::Relaxed);
        let permit = self.queue(deadline, self.0.uploads.clone().acquire_owned()).await?;
        // It is never closed.
        let permit = permit.map_err(|_| Failure::NoResponse)?;
        Ok(UploadRoom { _permit: permit })
    }

    /// What its instances are admitted with.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.blueprint.capabilities
    }

    /// How often each limit of its own, and of its capabilities, was reached since this was last asked, by its name in
    /// manifests. Those that lead to a [`Failure`] are not among them.
    pub fn take_reached(&self) -> Vec<(&'static str, u64)> {
        let blueprint = &self.0.blueprint;
        let ended = blueprint.background_ended.swap(0, Ordering::Relaxed);
        let capabilities = blueprint.capabilities.iter();
        let reached = capabilities.flat_map(|capability| capability.take_reached());
        let of_sockets = blueprint.sockets_reached.take();
        let full = &self.0.full;
        let own = [
            ("background-time", ended),
            ("requests", full.places.swap(0, Ordering::Relaxed)),
            ("instances", full.slots.swap(0, Ordering::Relaxed)),
            ("descriptors", blueprint.descriptors.take_reached()),
        ];
        reached.chain(own).chain(of_sockets).collect()
    }

    /// Answers one request.
    ///
    /// The response's head is there when this returns; its body streams. Dropping the future, or the body before its
    /// end, ends the work as far as the isolation allows. The request's URI has an authority.
    ///
    /// # Errors
    /// When the guest failed, or could not be given an instance.
    pub fn handle<B: Into<Payload>>(
        &self,
        request: http::Request<B>,
    ) -> impl Future<Output = Result<http::Response<Payload>, Failure>> + use<'_, B> {
        self.answer(Box::new(request.map(Into::into)), self.deadline(), None)
    }

    /// As [`Service::handle`] does, until `deadline`. The future sets `wants_turn` whenever it returns while its guest wants to go
    /// on computing, having had a turn of one [`TICK`]; a caller with other work may let it wait.
    ///
    /// # Errors
    /// As [`Service::handle`].
    pub fn handle_by_turns<'a, B: Into<Payload>>(
        &'a self,
        request: http::Request<B>,
        deadline: Deadline,
        wants_turn: &'a AtomicBool,
    ) -> impl Future<Output = Result<http::Response<Payload>, Failure>> + use<'a, B> {
        self.answer(Box::new(request.map(Into::into)), deadline, Some(wants_turn))
    }

    /// When the head of the response has to be there of a request that arrives now ([`Limits::response_timeout`]).
    pub fn deadline(&self) -> Deadline {
        let limit = self.limits().response_timeout;
        Deadline {
            due: self.engine().clock().after(limit),
            limit,
        }
    }

    /// The time until `deadline`, or none any more.
    pub fn time_left(&self, deadline: Deadline) -> Option<Duration> {
        deadline.left(self.engine())
    }

    /// The request is boxed: it passes through futures within futures, and each would have room for it twice.
    async fn answer(
        &self,
        request: Box<http::Request<Payload>>,
        deadline: Deadline,
        wants_turn: Option<&AtomicBool>,
    ) -> call::Answer {
        if deadline.left(self.engine()).is_none() {
            return Err(deadline.passed());
        }
        match self.0.isolation {
            Isolation::Shared => self.shared(request, deadline).await,
            Isolation::Serial | Isolation::Request => self.exclusive(request, deadline, wants_turn).await,
        }
    }

    /// Waits until no guest is at work any more. New requests may still come.
    pub async fn finished(&self) {
        self.0.tasks.close();
        self.0.shared.stop();
        self.0.tasks.wait().await;
    }

    /// Ends what guests still do in tasks of their own: shared instances, responses under way, work after them.
    pub fn abort(&self) {
        self.0.aborted.cancel();
    }

    /// In an instance of the request's own while it lasts.
    async fn exclusive(
        &self,
        request: Box<http::Request<Payload>>,
        deadline: Deadline,
        wants_turn: Option<&AtomicBool>,
    ) -> call::Answer {
        let head = Head::default();
        let live = self.instance(deadline).await?;
        let busy = live.busy.clone();
        let work = call::serve(live, self.0.clone(), request, head.clone());
        let running = Running::new(self.engine().clone(), busy, work);
        Exchange {
            service: self,
            running: Some(running),
            head,
            deadline,
            over: None,
            wants_turn,
        }
        .await
    }

    /// Whether it takes WebSockets: [`Service::accept_by_turns`].
    pub fn takes_websockets(&self) -> bool {
        self.0.handler.has_sockets()
    }

    /// Asks about the handshake of a WebSocket until `deadline`, by turns as [`Service::handle_by_turns`] does. The guest has an instance as the
    /// isolation says, for as long as it works for the socket.
    ///
    /// Dropping the future ends the work as far as the isolation allows; dropping the [`crate::websocket::Socket`] ends the
    /// connection. The request's URI has an authority.
    ///
    /// # Errors
    /// When the guest failed, or could not be given an instance.
    pub async fn accept_by_turns(
        &self,
        request: http::Request<()>,
        deadline: Deadline,
        wants_turn: &AtomicBool,
    ) -> Result<Decision, Failure> {
        if self.0.isolation == Isolation::Shared {
            return self.accept_shared(request, deadline).await;
        }
        let head = Head::default();
        let live = self.instance(deadline).await?;
        let busy = live.busy.clone();
        let work = call::accept(live, self.0.clone(), request, head.clone());
        Exchange {
            service: self,
            running: Some(Running::new(self.engine().clone(), busy, work)),
            head,
            deadline,
            over: None,
            wants_turn: Some(wants_turn),
        }
        .await
    }

    /// An instance to itself: one that has nothing to do, or a store for a new one, which is made as part of the call and
    /// under its deadline. Where there is no place for another, whatever comes first: a place, or an instance of this
    /// service's that is done.
    async fn instance(&self, deadline: Deadline) -> Result<Live, Failure> {
        if let Some(live) = self.take_idle() {
            return Ok(live);
        }
        let full = match self.0.places.clone().try_acquire_owned() {
            Ok(place) => match self.engine().slots().try_acquire_many_owned(self.0.blueprint.slots) {
                Ok(slot) => return self.fresh(place, slot),
                Err(_) => &self.0.full.slots,
            },
            Err(_) => &self.0.full.places,
        };
        full.fetch_add(1, Ordering::Relaxed);
        let instance = async {
            let mut room = pin!(self.room());
            loop {
                let mut returned = pin!(self.0.returned.notified());
                // Before looking: an instance that comes back between the two is not missed.
                returned.as_mut().enable();
                if let Some(live) = self.take_idle() {
                    return Ok(live);
                }
                tokio::select! {
                    Some((place, slot)) = room.as_mut() => return self.fresh(place, slot),
                    () = returned => {}
                }
            }
        };
        // Boxed: a request that need not wait is moved about without room for that.
        Box::pin(self.queue(deadline, instance)).await?
    }

    /// Waits in the queue for `what`, for as long as that and the request's deadline allow.
    async fn queue<T>(&self, deadline: Deadline, what: impl Future<Output = T>) -> Result<T, Failure> {
        let waits = self.0.queue.join(self.engine().ticks())?;
        let left = deadline.left(self.engine()).ok_or_else(|| deadline.passed())?;
        match tokio::time::timeout(waits.patience.min(left), what).await {
            Ok(done) => Ok(done),
            Err(_) if left < waits.patience => Err(deadline.passed()),
            Err(_) => Err(Failure::Busy { waited: waits.patience }),
        }
    }

    /// Room for one more request in this service, and then for its instance in the engine's pool.
    async fn room(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let place = self.0.places.clone().acquire_owned().await.ok()?;
        let slot = self.engine().acquire(self.0.blueprint.slots).await?;
        Some((place, slot))
    }

    fn fresh(&self, place: OwnedSemaphorePermit, slot: OwnedSemaphorePermit) -> Result<Live, Failure> {
        Live::new(&self.0.blueprint, place, slot).map_err(Failure::Instantiate)
    }

    fn limits(&self) -> &Limits {
        &self.0.blueprint.limits
    }

    fn take_idle(&self) -> Option<Live> {
        if self.0.isolation != Isolation::Serial {
            return None;
        }
        self.0.idle.take()
    }

    /// Keeps an instance whose request is over, if it may be used again and nobody else waits for its place.
    fn keep(&self, mut live: Live) {
        live.uses += 1;
        if self.0.isolation != Isolation::Serial || live.uses >= self.0.reuse_max {
            return;
        }
        if self.engine().waiting().is_any() && !self.0.queue.is_any() {
            return;
        }
        live.busy.store(0, Ordering::Relaxed);
        self.0.idle.put(live);
        // Looked at again, now that whoever comes later finds the instance.
        if self.0.queue.is_any() {
            self.0.returned.notify_one();
        } else if self.engine().waiting().is_any() {
            self.0.idle.give_back();
        }
    }
}

/// When a request must have the head of its response, counted from its arrival on the engine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    due: u64,
    limit: Duration,
}

impl Deadline {
    /// The time left, or none any more.
    fn left(self, engine: &Engine) -> Option<Duration> {
        let ticks = self.due.checked_sub(engine.ticks()).filter(|&ticks| ticks > 0)?;
        Some(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }

    fn passed(self) -> Failure {
        Failure::ResponseTimeout { limit: self.limit }
    }
}

/// What a guest that has an instance to itself answers with while it may go on working.
trait Answered: Send + Unpin + 'static {
    /// Says that a guest failed after this, which it had begun.
    const BEGUN: &'static str;

    /// It goes on in this task.
    fn set_owner(&mut self, task: tokio::task::AbortHandle);

    /// The client is owed it even if the guest has failed by now.
    fn is_whole(&self) -> bool;
}

impl Answered for http::Response<Payload> {
    const BEGUN: &'static str = "guest failed after its response had begun";

    fn set_owner(&mut self, task: tokio::task::AbortHandle) {
        self.body_mut().set_owner(Owner::Task(task));
    }

    fn is_whole(&self) -> bool {
        self.body().failed().is_none()
    }
}

/// One request in an instance of its own, until its head is there.
struct Exchange<'a, T> {
    service: &'a Service,
    running: Option<Running<'static, call::Finished>>,
    head: Head<T>,
    deadline: Deadline,
    over: Option<At<'a>>,
    wants_turn: Option<&'a AtomicBool>,
}

impl<T: Answered> Future for Exchange<'_, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(running) = self.running.as_mut() else {
            return Poll::Pending;
        };
        match running.progress(cx) {
            Progress::Finished(finished) => {
                self.running = None;
                Poll::Ready(self.finished(finished))
            }
            Progress::Parked | Progress::Yielded if self.head.is_answered() => Poll::Ready(self.detach()),
            // A busy guest is polled again soon; a timer would not fire earlier.
            Progress::Yielded => {
                if let Some(wants_turn) = self.wants_turn {
                    wants_turn.store(true, Ordering::Relaxed);
                }
                self.check_deadline()
            }
            Progress::Parked => self.wait(cx),
        }
    }
}

impl<T: Answered> Exchange<'_, T> {
    /// The guest did all its work in one go.
    fn finished(&mut self, (live, result): call::Finished) -> Result<T, Failure> {
        let answer = self.head.take();
        match result {
            Ok(()) => {
                self.service.keep(live);
                answer.unwrap_or(Err(Failure::NoResponse))
            }
            Err(error) => {
                let failure = Failure::of(error, live.refused());
                drop(live);
                match answer {
                    // The guest failed after it had answered in full: the client is owed the answer.
                    Some(Ok(response)) if response.is_whole() => {
                        tracing::warn!(component = self.service.name(), %failure, "guest failed after its response");
                        Ok(response)
                    }
                    Some(Err(failure)) => Err(failure),
                    Some(Ok(_)) | None => Err(failure),
                }
            }
        }
    }

    /// The head is there and the guest is not done: it goes on in a task of its own.
    fn detach(&mut self) -> Result<T, Failure> {
        let (Some(running), Some(answer)) = (self.running.take(), self.head.take()) else {
            return Err(Failure::NoResponse);
        };
        let service = self.service.clone();
        let task = self.service.0.tasks.spawn(async move {
            let aborted = service.0.aborted.clone();
            let Some((live, result)) = aborted.run_until_cancelled(running).await else {
                return;
            };
            match result {
                Ok(()) => service.keep(live),
                Err(error) => {
                    let failure = Failure::of(error, live.refused());
                    tracing::warn!(component = service.name(), %failure, "{}", T::BEGUN);
                }
            }
        });
        answer.map(|mut response| {
            response.set_owner(task.abort_handle());
            response
        })
    }

    fn check_deadline(&self) -> Poll<Result<T, Failure>> {
        match self.deadline.left(self.service.engine()) {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(self.deadline.passed())),
        }
    }

    /// The guest waits, and the clock has to be asked to say when that takes too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let (deadline, clock) = (self.deadline, self.service.engine().clock());
        let over = self.over.get_or_insert_with(|| clock.at(deadline.due));
        Pin::new(over).poll(cx).map(|()| Err(deadline.passed()))
    }
}

//! Requests side by side in one instance.
//!
//! The instance lives in a task of its own; requests reach it through a mailbox. Wasmtime cannot yet cancel one task of
//! a store, so when a client leaves, its body streams and outgoing calls are closed and its guest task is left to find
//! out; and when the guest traps, the instance ends with every request in it. Of those, the ones that nobody could tell
//! were ever sent (safe methods, RFC 9110 section 9.2.1, without a body) are answered once more by an instance of their own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use wasmtime::Store;
use wasmtime::component::Accessor;

use super::call::{Answer, Handler, Instance3};
use super::failure::{BackgroundTimeout, Failure};
use super::socket;
use super::{Deadline, Service};
use crate::http::Payload;
use crate::http::bindings::Service as Service3;
use crate::http::body::Owner;
use crate::http::callers::{Caller, Gone, Place};
use crate::http::host::Request;
use crate::running::Running;
use crate::state::{Blueprint, InstanceState};
use crate::websocket::Decision;

/// The one instance that requests share, made when the first comes.
#[derive(Default)]
pub(super) struct Shared {
    worker: Mutex<Option<Arc<Worker>>>,
}

/// The way to the instance. Its task ends once nobody holds this any more.
struct Worker {
    mailbox: mpsc::UnboundedSender<Job>,
    state: Arc<State>,
}

struct State {
    ended: AtomicBool,
    /// A token for each answer that somebody waits for, or reads.
    wanted: TaskTracker,
    reason: Mutex<Arc<str>>,
}

enum Job {
    Request {
        request: Box<Request>,
        answer: oneshot::Sender<Answer>,
        place: Place,
    },
    Handshake {
        request: Box<http::Request<()>>,
        decision: oneshot::Sender<Result<Decision, Failure>>,
        place: Place,
    },
}

impl Shared {
    /// Lets the instance end once it has answered what it has taken.
    pub(super) fn stop(&self) {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Service {
    pub(super) async fn shared(&self, request: Box<http::Request<Payload>>, deadline: Deadline) -> Answer {
        let place = self.place_among_requests(deadline).await?;
        let is_replayable = is_replayable(&request);
        let request = Box::new(Request::received(*request));
        let again = is_replayable.then(|| Box::new(request.without_body()));
        let worker = self.worker();
        let place = self.occupy(place, &worker);
        let (answer, answered) = oneshot::channel();
        if worker.mailbox.send(Job::Request { request, answer, place }).is_ok() {
            let answered = tokio::select! {
                biased;
                answered = answered => answered,
                () = self.engine().clock().at(deadline.due) => return Err(deadline.passed()),
            };
            if let Ok(answer) = answered {
                return answer;
            }
        }
        match again.map(|request| request.into_http()) {
            // Its place among the requests is free again: it went with the instance.
            Some(Ok(request)) => Box::pin(self.exclusive(Box::new(request), deadline, None)).await,
            Some(Err(_)) | None => Err(Failure::SharedInstanceEnded {
                reason: worker.state.reason(),
            }),
        }
    }

    /// A handshake. Its socket takes a place among the requests as long as it lives.
    pub(super) async fn accept_shared(
        &self,
        request: http::Request<()>,
        deadline: Deadline,
    ) -> Result<Decision, Failure> {
        let place = self.place_among_requests(deadline).await?;
        let worker = self.worker();
        let place = self.occupy(place, &worker);
        let (decision, decided) = oneshot::channel();
        let job = Job::Handshake {
            request: Box::new(request),
            decision,
            place,
        };
        if worker.mailbox.send(job).is_ok() {
            let decided = tokio::select! {
                biased;
                decided = decided => decided,
                () = self.engine().clock().at(deadline.due) => return Err(deadline.passed()),
            };
            if let Ok(decision) = decided {
                return decision;
            }
        }
        Err(Failure::SharedInstanceEnded {
            reason: worker.state.reason(),
        })
    }

    async fn place_among_requests(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.0.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        self.0.full.places.fetch_add(1, Ordering::Relaxed);
        let place = Box::pin(self.queue(deadline, self.0.places.clone().acquire_owned())).await?;
        // It is never closed.
        place.map_err(|_| Failure::NoResponse)
    }

    fn occupy(&self, permit: OwnedSemaphorePermit, worker: &Worker) -> Place {
        Place::new(permit, worker.state.wanted.token(), self.limits().background_timeout)
    }

    /// The live instance's task, or a new one.
    fn worker(&self) -> Arc<Worker> {
        let mut current = self.0.shared.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = current
            .as_ref()
            .filter(|worker| !worker.state.ended.load(Ordering::Acquire))
        {
            return worker.clone();
        }
        let (mailbox, jobs) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            ended: AtomicBool::new(false),
            wanted: TaskTracker::new(),
            reason: Mutex::new("".into()),
        });
        let worker = Arc::new(Worker {
            mailbox,
            state: state.clone(),
        });
        *current = Some(worker.clone());
        let run = run(self.0.blueprint.clone(), self.0.handler.clone(), state, jobs);
        let aborted = self.0.aborted.clone();
        self.0.tasks.spawn(async move {
            aborted.run_until_cancelled(run).await;
        });
        worker
    }
}

impl State {
    fn reason(&self) -> Arc<str> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason.into();
        self.ended.store(true, Ordering::Release);
    }
}

/// Whether sending it twice cannot do harm.
fn is_replayable(request: &http::Request<Payload>) -> bool {
    request.method().is_safe() && http_body::Body::is_end_stream(request.body())
}

async fn run(blueprint: Blueprint, handler: Arc<Handler>, state: Arc<State>, jobs: mpsc::UnboundedReceiver<Job>) {
    let busy = Arc::new(AtomicU64::new(0));
    let engine = blueprint.engine.clone();
    let work = serve(blueprint, handler, busy.clone(), jobs, state.clone());
    let reason = match Running::new(engine, busy, work).await {
        Ok(()) => "it was stopped".to_owned(),
        Err(failure) => {
            tracing::warn!(%failure, "shared instance ended");
            failure.to_string()
        }
    };
    state.end(reason);
}

async fn serve(
    blueprint: Blueprint,
    handler: Arc<Handler>,
    busy: Arc<AtomicU64>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    state: Arc<State>,
) -> Result<(), Failure> {
    let _slot = blueprint
        .engine
        .acquire(blueprint.slots)
        .await
        .ok_or(Failure::NoResponse)?;
    let mut store = blueprint.store(busy.clone()).map_err(Failure::Instantiate)?;
    let Handler::V3(handler) = &*handler else {
        return Err(Failure::NoResponse);
    };
    let instance = handler.instantiate(&mut store).await.map_err(Failure::Instantiate)?;
    let crowd = Crowd {
        instance: &instance,
        busy: &busy,
        blueprint: &blueprint,
        wanted: &state.wanted,
    };
    let result = crowd.take_jobs(&mut store, &mut jobs).await;
    // From here on the mailbox takes no more; what is in it finds its answer channel closed.
    state.ended.store(true, Ordering::Release);
    result.map_err(|error| Failure::of(error, store.data().refused()))
}

/// The requests of an instance.
struct Crowd<'a> {
    instance: &'a Instance3,
    busy: &'a Arc<AtomicU64>,
    blueprint: &'a Blueprint,
    wanted: &'a TaskTracker,
}

impl Crowd<'_> {
    /// Takes requests as long as the guest's own backpressure allows, until the service is gone, and goes on until the guest has no
    /// work left. What it does for nobody has as much time as work after a response has elsewhere: a client that leaves ends no
    /// task here, and must not keep the server from ending, or an old version in memory.
    async fn take_jobs(
        &self,
        store: &mut Store<InstanceState>,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
    ) -> wasmtime::Result<()> {
        let handle = *self.instance.http.wasi_http_handler().func_handle().func();
        let work = async |accessor: &Accessor<InstanceState>| {
            let mut calls = FuturesUnordered::new();
            let mut late = pin!(self.late());
            poll_fn(|cx| {
                loop {
                    match calls.poll_next_unpin(cx) {
                        Poll::Ready(Some(Ok(()))) => continue,
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) | Poll::Pending => {}
                    }
                    if accessor.poll_ready_for_concurrent_call(handle, cx).is_pending() {
                        return Poll::Pending;
                    }
                    match jobs.poll_recv(cx) {
                        Poll::Ready(Some(job)) => calls.push(self.take(accessor, job)),
                        Poll::Ready(None) if calls.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready() => {
                            return Poll::Ready(Ok(()));
                        }
                        Poll::Ready(None) => return late.as_mut().poll(cx).map(|late| Err(late.into())),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
            .await
        };
        store.run_concurrent(work).await?
    }

    /// Ready once nobody has waited for an answer for as long as work may go on for nobody.
    async fn late(&self) -> BackgroundTimeout {
        self.wanted.close();
        self.wanted.wait().await;
        let limit = self.blueprint.limits.background_timeout;
        tokio::time::sleep(limit).await;
        self.blueprint.background_ended.fetch_add(1, Ordering::Relaxed);
        BackgroundTimeout { limit }
    }

    async fn take(&self, accessor: &Accessor<InstanceState>, job: Job) -> wasmtime::Result<()> {
        match job {
            Job::Request { request, answer, place } => {
                self::answer(accessor, &self.instance.http, request, answer, place).await
            }
            // Boxed: requests are moved about without room for it.
            Job::Handshake {
                request,
                decision,
                place,
            } => {
                let accept = socket::accept_beside_others(accessor, self.instance, self.busy, request, decision, place);
                Box::pin(accept).await
            }
        }
    }
}

/// What comes of a call; `None` once nobody wants it any more, and the call goes on.
pub(super) async fn while_wanted<T, W>(
    mut called: Pin<&mut impl Future<Output = T>>,
    wanted: &mut oneshot::Sender<W>,
) -> Option<T> {
    poll_fn(|cx| match called.as_mut().poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => wanted.poll_closed(cx).map(|()| None),
    })
    .await
}

async fn answer(
    accessor: &Accessor<InstanceState>,
    instance: &Service3,
    mut request: Box<Request>,
    mut sender: oneshot::Sender<Answer>,
    mut place: Place,
) -> wasmtime::Result<()> {
    let handle = instance.wasi_http_handler().func_handle();
    let (body, lender) = std::mem::take(&mut request.body).lend();
    request.body = body;
    let gone = Arc::new(Gone::with_content(lender));
    let call = accessor.with(|mut store| {
        let request = store.get().table.push(*request)?;
        let call = handle.start_call_concurrent(&mut store, (request,))?;
        let task = call.task();
        let callers = store.get().http.callers.get_or_insert_default();
        callers.enter(task, gone.clone());
        Ok::<_, wasmtime::Error>(call)
    })?;
    let mut called = pin!(handle.finish_call_concurrent(accessor, call));
    let answered = match while_wanted(called.as_mut(), &mut sender).await {
        Some(answered) => answered,
        None => {
            // The client left: what the guest still does for it can reach nothing outside any more.
            gone.leave();
            place.is_not_wanted();
            called.await
        }
    };
    let answer = match answered?.0 {
        Ok(response) => {
            let response = accessor.with(|mut store| store.get().table.delete(response))?;
            let mut response = response.into_http();
            response.body_mut().set_owner(Owner::Shared(Caller::new(gone, place)));
            Ok(response)
        }
        Err(error) => Err(Failure::Guest(error)),
    };
    // An unwanted response is dropped here, which closes its body.
    let _ = sender.send(answer);
    Ok(())
}

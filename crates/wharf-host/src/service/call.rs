//! One call of a guest's handler, in an instance that is its own for as long as it lasts.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{Accessor, InstancePre, Resource};
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p2::types::HostIncomingRequest;
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView as _};
use wharf_app::inspect::{Export, World};

use super::Inner;
use super::failure::{BackgroundTimeout, Failure};
use super::socket;
use crate::component::Component;
use crate::http::bindings::{Service as Service3, ServicePre as Service3Pre};
use crate::http::body::{Lender, Settled};
use crate::http::host::{Request, Response};
use crate::http::{Payload, legacy};
use crate::limits::{CpuTimeExceeded, Refused};
use crate::link::{LinkError, link};
use crate::state::{Blueprint, Capabilities, InstanceState};
use crate::websocket::Decision;
use crate::websocket::handler as websocket;

/// A linked component's handler.
pub(super) enum Handler {
    /// `wasi:http/handler` of 0.3.
    V3(Handler3),
    /// `wasi:http/incoming-handler` of 0.2.
    V2(p2::ProxyPre<InstanceState>),
}

/// Of a component of 0.3.
pub(super) struct Handler3 {
    pre: Service3Pre<InstanceState>,
    /// `wharf:websocket/handler`, where it has one.
    sockets: Option<websocket::Handler>,
}

/// An instance of such a component.
pub(super) struct Instance3 {
    pub http: Service3,
    pub sockets: Option<websocket::Handle>,
}

impl Handler3 {
    fn new(pre: InstancePre<InstanceState>, sockets: Option<&Export>) -> wasmtime::Result<Self> {
        let sockets = sockets
            .map(|export| websocket::Handler::find(&pre, export))
            .transpose()?;
        Ok(Self {
            pre: Service3Pre::new(pre)?,
            sockets,
        })
    }

    pub async fn instantiate(&self, store: &mut Store<InstanceState>) -> wasmtime::Result<Instance3> {
        let Some(sockets) = &self.sockets else {
            let http = self.pre.instantiate_async(store).await?;
            return Ok(Instance3 { http, sockets: None });
        };
        let instance = self.pre.instance_pre().instantiate_async(&mut *store).await?;
        Ok(Instance3 {
            http: Service3::new(&mut *store, &instance)?,
            sockets: Some(sockets.of(store, &instance)?),
        })
    }
}

impl Handler {
    /// Whether it takes WebSockets.
    pub fn has_sockets(&self) -> bool {
        matches!(self, Self::V3(Handler3 { sockets: Some(_), .. }))
    }

    /// The 0.3 handler wins where a component has both.
    pub(super) fn link(component: &Component, capabilities: &Capabilities) -> Result<Self, LinkError> {
        let world = |wanted: String| LinkError::World {
            name: component.name().into(),
            wanted,
        };
        let inspection = component.inspection();
        let (v3, v2) = (inspection.fits(World::Service03), inspection.fits(World::Proxy02));
        if inspection.fits(World::Middleware03) {
            return Err(world(
                "it is a middleware, which imports wasi:http/handler@0.3 and passes requests on to it: put it in front of \
                 a service with `--middleware`"
                    .into(),
            ));
        }
        if !v3 && !v2 && inspection.websockets().is_some() {
            return Err(world(
                "it exports wharf:websocket/handler and not wasi:http/handler@0.3: a component that takes WebSockets answers \
                 ordinary requests as well, if only with 404"
                    .into(),
            ));
        }
        if !v3 && !v2 {
            return Err(world(format!(
                "it exports neither wasi:http/handler@0.3 nor wasi:http/incoming-handler@0.2, so it cannot serve HTTP; {}",
                inspection.unserved()
            )));
        }
        let pre = link(component, capabilities)?;
        let handler = match v3 {
            true => Handler3::new(pre, inspection.websockets()).map(Self::V3),
            false => p2::ProxyPre::new(pre).map(Self::V2),
        };
        handler.map_err(|error| world(format!("its HTTP handler does not have the standard's type: {error:#}")))
    }
}

/// A store, and the instance in it once there is one.
pub(super) struct Live {
    store: Store<InstanceState>,
    instance: Option<Instance>,
    /// Ticks the guest ran without waiting.
    pub busy: Arc<AtomicU64>,
    /// Requests it has answered.
    pub uses: u32,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

enum Instance {
    V3(Instance3),
    V2(p2::Proxy),
}

impl Live {
    /// In its `place` among its service's requests and its `slot` of the engine's pool.
    pub(super) fn new(
        blueprint: &Blueprint,
        place: OwnedSemaphorePermit,
        slot: OwnedSemaphorePermit,
    ) -> wasmtime::Result<Self> {
        let busy = Arc::new(AtomicU64::new(0));
        let store = blueprint.store(busy.clone())?;
        Ok(Self {
            store,
            instance: None,
            busy,
            uses: 0,
            _room: (place, slot),
        })
    }

    /// Growth the guest was refused: the likely reason of its failure.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.store.data().refused()
    }

    async fn instantiate(&mut self, handler: &Handler) -> wasmtime::Result<()> {
        if self.instance.is_none() {
            self.instance = Some(match handler {
                Handler::V3(handler) => Instance::V3(handler.instantiate(&mut self.store).await?),
                Handler::V2(pre) => Instance::V2(pre.instantiate_async(&mut self.store).await?),
            });
        }
        Ok(())
    }
}

/// What kept an instance from being made, told from a failure of the guest's own. Its processor time is limited then too.
fn not_instantiated(error: wasmtime::Error) -> wasmtime::Error {
    match error.is::<CpuTimeExceeded>() {
        true => error,
        false => Failure::Instantiate(error).into(),
    }
}

/// Where a call leaves what it is answered with, for whoever polls it: a response's head, or what becomes of a handshake.
pub(super) struct Head<T = http::Response<Payload>>(Arc<Mutex<Option<Result<T, Failure>>>>);

pub(super) type Answer = Result<http::Response<Payload>, Failure>;

impl<T> Default for Head<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Head<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Head<T> {
    pub(super) fn set(&self, answer: Result<T, Failure>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(answer);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn take(&self) -> Option<Result<T, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The instance, and how its call ended. An instance whose call failed is not used again.
pub(super) type Finished = (Live, wasmtime::Result<()>);

/// Answers `request` through `head`, and goes on until the guest has nothing left to do for it.
pub(super) fn serve(
    mut live: Live,
    service: Arc<Inner>,
    request: Box<http::Request<Payload>>,
    head: Head,
) -> impl Future<Output = Finished> + Send {
    async move {
        let result = call(&mut live, &service, request, head).await;
        (live, result)
    }
}

/// The same for a handshake. The guest's work for the socket is part of the call.
pub(super) async fn accept(
    mut live: Live,
    service: Arc<Inner>,
    request: http::Request<()>,
    head: Head<Decision>,
) -> Finished {
    let result = match begin(&mut live, &service).await {
        Ok(()) => match &live.instance {
            Some(Instance::V3(instance)) => {
                let busy = live.busy.clone();
                socket::call(&mut live.store, instance, busy, request, head, &service.blueprint).await
            }
            _ => Err(Failure::NoResponse.into()),
        },
        Err(error) => Err(error),
    };
    (live, result)
}

async fn begin(live: &mut Live, service: &Inner) -> wasmtime::Result<()> {
    // A store that waited in the pool has a deadline in the past, and would yield at once.
    live.store.set_epoch_deadline(1);
    live.busy.store(0, Ordering::Relaxed);
    live.instantiate(&service.handler).await.map_err(not_instantiated)
}

async fn call(
    live: &mut Live,
    service: &Inner,
    mut request: Box<http::Request<Payload>>,
    head: Head,
) -> wasmtime::Result<()> {
    begin(live, service).await?;
    let content = lend(request.body_mut());
    let result = match &live.instance {
        Some(Instance::V3(instance)) => call3(&mut live.store, &instance.http, request, head, &service.blueprint).await,
        Some(Instance::V2(instance)) => call2(&mut live.store, instance, request, head).await,
        None => Err(Failure::NoResponse.into()),
    };
    if let Some(content) = content {
        content.take_back();
    }
    result
}

/// A guest that is used again may have kept the request: its content must not be kept from the connection that brings it. What is
/// all there is of no connection.
fn lend(body: &mut Payload) -> Option<Lender> {
    if body.is_whole() {
        return None;
    }
    let (lent, lender) = std::mem::take(body).lend();
    *body = lent;
    lender
}

async fn call3(
    store: &mut Store<InstanceState>,
    instance: &Service3,
    request: Box<http::Request<Payload>>,
    head: Head,
    blueprint: &Blueprint,
) -> wasmtime::Result<()> {
    let request = store.data_mut().table.push(Request::received(*request))?;
    let handle = instance.wasi_http_handler().func_handle();
    let call = handle.start_call_concurrent(&mut *store, (request,))?;
    let work = async |accessor: &Accessor<InstanceState>| {
        let (answer,) = handle.finish_call_concurrent(accessor, call).await?;
        let response = match answer {
            Ok(response) => accessor.with(|mut store| store.get().table.delete(response))?,
            Err(error) => {
                head.set(Err(Failure::Guest(error)));
                return no_tasks_left(accessor, blueprint).await;
            }
        };
        respond(response, |response| head.set(Ok(response))).await;
        no_tasks_left(accessor, blueprint).await
    };
    store.run_concurrent(work).await?
}

/// Hands a response over, and waits until its guest will write no more to its body.
pub(super) async fn respond(response: Response, hand_over: impl FnOnce(http::Response<Payload>)) {
    let body = response.body.as_guest().map(|body| body.watch());
    hand_over(response.into_http());
    if let Some(body) = body {
        poll_fn(|cx| Settled::poll(&body, cx)).await;
    }
}

/// Waits until the guest has no work left, within limits: a task that never ends must not keep the instance forever.
pub(super) async fn no_tasks_left(accessor: &Accessor<InstanceState>, blueprint: &Blueprint) -> wasmtime::Result<()> {
    if poll_fn(|cx| Poll::Ready(accessor.poll_no_interesting_tasks(cx).is_ready())).await {
        return Ok(());
    }
    let limit = blueprint.limits.background_timeout;
    let idle = poll_fn(|cx| accessor.poll_no_interesting_tasks(cx));
    tokio::time::timeout(limit, idle).await.map_err(|_| {
        blueprint.background_ended.fetch_add(1, Ordering::Relaxed);
        BackgroundTimeout { limit }.into()
    })
}

/// A request as it came, for a guest of 0.2.
fn incoming(
    mut http: WasiHttpCtxView<'_>,
    request: http::Request<Payload>,
) -> wasmtime::Result<Resource<HostIncomingRequest>> {
    // A request that names no scheme is one of `http`, as for 0.3.
    let scheme = match request.uri().scheme_str() {
        Some("https") => p2::http::types::Scheme::Https,
        _ => p2::http::types::Scheme::Http,
    };
    http.new_incoming_request(scheme, request.map(|body| body.map_err(legacy::error).boxed_unsync()))
}

async fn call2(
    store: &mut Store<InstanceState>,
    instance: &p2::Proxy,
    request: Box<http::Request<Payload>>,
    head: Head,
) -> wasmtime::Result<()> {
    let request = incoming(store.data_mut().http(), *request)?;
    let writing = Arc::<legacy::Writing>::default();
    let written = writing.clone();
    let out = store
        .data_mut()
        .http()
        .new_response_outparam_from_callback(move |response| {
            head.set(match response {
                Ok(response) => Ok(response.map(|body| legacy::Outgoing::new(body, written).into())),
                Err(error) => Err(Failure::Guest(legacy::error_code(&error.into()))),
            });
        })?;
    let handle = instance.wasi_http_incoming_handler().func_handle();
    let call = handle.start_call_concurrent(&mut *store, (request, out))?;
    let work = store.run_concurrent(async |accessor| handle.finish_call_concurrent(accessor, call).await);
    let result = work.await.flatten();
    // Said while the store still holds the body open: its reader must not take the store's end for the body's.
    writing.end(result.is_err());
    if result.is_ok() && legacy::has_unfinished_bodies(&mut store.data_mut().table) {
        writing.wait_until_read().await;
    }
    result
}

//! In an instance that several requests share: which client a guest's call is for, and whether it has left.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, GuestTaskId, HasSelf};

use super::body::Lender;
use super::{Body, ErrorCode, Payload, Sending};
use crate::state::InstanceState;

/// The requests that were taken into a shared instance, by the guest task that answers each.
///
/// Nothing tells when a task has ended, so nobody is taken out. Tasks' numbers are used again, which keeps this as small
/// as the most requests there ever were at a time.
#[derive(Default)]
pub(crate) struct Callers(HashMap<GuestTaskId, Arc<Gone>>);

impl Callers {
    pub(crate) fn enter(&mut self, task: GuestTaskId, gone: Arc<Gone>) {
        self.0.insert(task, gone);
    }

    /// The client that a guest works for whose tasks are `stack`, the youngest first. Only the last is a request's own;
    /// the others' numbers may have been those of other requests before.
    fn of(&self, stack: impl Iterator<Item = GuestTaskId>) -> Option<Arc<Gone>> {
        self.0.get(&stack.last()?).cloned()
    }
}

/// What a request has of a shared instance: a place in it, and as long as somebody waits for its answer a word in when it may end.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    wanted: Option<TaskTrackerToken>,
    /// For how long after its answer has ended the guest may go on reading what the client sends.
    reads_on: Duration,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, wanted: TaskTrackerToken, reads_on: Duration) -> Self {
        Self {
            _permit: permit,
            wanted: Some(wanted),
            reads_on,
        }
    }

    /// The client has left; the guest may be at work for it all the same.
    pub(crate) fn is_not_wanted(&mut self) {
        self.wanted = None;
    }
}

/// What a response's body holds of the request it answers in a shared instance.
#[derive(Debug)]
pub(crate) struct Caller {
    gone: Arc<Gone>,
    /// A request is in the instance as long as its response has not ended.
    place: Place,
}

impl Caller {
    pub(crate) fn new(gone: Arc<Gone>, place: Place) -> Self {
        Self { gone, place }
    }

    pub(super) fn leave(&self) {
        self.gone.leave();
    }
}

impl Drop for Caller {
    /// The response has ended. A guest that keeps content which it does not read would hold what the client may send on its
    /// connection, for as long as the instance lives.
    fn drop(&mut self) {
        let holds_content = self.gone.content.as_ref().is_some_and(Lender::is_lent);
        // Without a runtime nothing comes of the connection any more.
        if let (true, Ok(runtime)) = (holds_content, Handle::try_current()) {
            let (gone, reads_on) = (self.gone.clone(), self.place.reads_on);
            runtime.spawn(async move {
                tokio::time::sleep(reads_on).await;
                gone.take_content_back();
            });
        }
    }
}

/// The client that a guest makes a call for, in an instance that several share.
#[derive(Clone, Debug)]
pub struct ServedClient(Arc<Gone>);

impl ServedClient {
    /// Asked when the call begins, before anything is waited for. `None` where an instance has one request at a time, and a client
    /// that leaves ends the call as well; and where the guest calls for nobody.
    ///
    /// # Errors
    /// When the engine does not know its own tasks.
    pub fn of(store: &Accessor<InstanceState>) -> wasmtime::Result<Option<Self>> {
        Ok(store.with(|mut store| caller(&mut store))?.map(Self))
    }

    /// Waits until it has left: nobody wants what the call was for.
    pub async fn left(&self) {
        self.0.wait().await;
    }
}

/// Says when a client has left.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    left: AtomicBool,
    told: tokio::sync::Notify,
    /// The content of its request, where there is any.
    content: Option<Lender>,
}

impl Gone {
    /// With the content of the client's request, which goes with it.
    pub(crate) fn with_content(content: Option<Lender>) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.told.notify_waiters();
        self.take_content_back();
    }

    fn take_content_back(&self) {
        if let Some(content) = &self.content {
            content.take_back();
        }
    }

    /// Ready once the client has left.
    async fn wait(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        loop {
            told.as_mut().enable();
            if self.left.load(Ordering::Acquire) {
                return;
            }
            told.as_mut().await;
            told.set(self.told.notified());
        }
    }
}

/// In a shared instance: the client that the guest makes this call for.
pub(super) fn caller(
    store: &mut Access<'_, InstanceState, HasSelf<InstanceState>>,
) -> wasmtime::Result<Option<Arc<Gone>>> {
    if store.get().http.callers.is_none() {
        return Ok(None);
    }
    let stack: Vec<_> = store.as_context_mut().async_call_stack()?.collect();
    Ok(store
        .get()
        .http
        .callers
        .as_ref()
        .and_then(|callers| callers.of(stack.into_iter())))
}

/// Sends until the client it is for has left; then the exchange with the origin is closed.
pub(super) async fn send_for(caller: &Arc<Gone>, sending: Sending) -> Result<http::Response<Body>, ErrorCode> {
    let response = tokio::select! {
        response = sending => response?,
        () = caller.wait() => return Err(ErrorCode::ConnectionTerminated),
    };
    let caller = caller.clone();
    let gone = Box::pin(async move { caller.wait().await });
    Ok(response.map(|body| http_body_util::BodyExt::boxed_unsync(Attended { body, gone })))
}

/// A body that ends in an error once the client it is for has left.
struct Attended {
    body: Body,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Attended {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            self.body = http_body_util::BodyExt::boxed_unsync(Payload::default());
            return Poll::Ready(Some(Err(ErrorCode::ConnectionTerminated)));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! One call of a guest's handler for WebSockets, and its work for the socket after it.
//!
//! The call lasts as long as the guest has something to do for the socket. Once the connection is over it has
//! [`crate::Limits::background_timeout`] left, where the instance is its own; in a shared instance its streams have ended, and
//! it is left to find out.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;

use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, StreamReader};
use wasmtime::{AsContextMut, Store};

use super::Answered;
use super::call::{Head, Instance3, no_tasks_left, respond};
use super::failure::{BackgroundTimeout, Failure};
use crate::http::body::Owner;
use crate::http::callers::{Caller, Gone, Place};
use crate::http::host::Request;
use crate::state::{Blueprint, InstanceState};
use crate::websocket::handler::{self, Params};
use crate::websocket::link::{Call, CloseSaid, Closed, Incoming, Link, Written};
use crate::websocket::{Accepted, Decision, Socket};

impl Answered for Decision {
    const BEGUN: &'static str = "guest failed with its WebSocket open";

    fn set_owner(&mut self, task: tokio::task::AbortHandle) {
        match self {
            // It ends with its connection, and hears of that.
            Self::Accepted(_) => {}
            Self::Refused(response) => response.set_owner(task),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            // The handshake is not answered yet: better a status than a connection that closes at once.
            Self::Accepted(_) => false,
            Self::Refused(response) => response.is_whole(),
        }
    }
}

/// What a guest is called with.
fn params(
    mut store: impl AsContextMut<Data = InstanceState>,
    request: http::Request<()>,
    link: &Arc<Link>,
) -> wasmtime::Result<Params> {
    let request = request.map(|()| crate::http::Payload::default());
    let request = store
        .as_context_mut()
        .data_mut()
        .table
        .push(Request::received(request))?;
    let incoming = StreamReader::new(&mut store, Incoming(link.clone()))?;
    let closed = FutureReader::new(&mut store, Closed(link.clone()))?;
    Ok((request, incoming, closed))
}

/// Connects what a guest has accepted with.
fn accepted(
    mut store: impl AsContextMut<Data = InstanceState>,
    accepted: handler::Accepted,
    link: &Arc<Link>,
) -> wasmtime::Result<Decision> {
    let headers = store.as_context_mut().data_mut().table.delete(accepted.headers)?;
    accepted.outgoing.pipe(&mut store, Written(link.clone()))?;
    accepted.close.pipe(&mut store, CloseSaid(link.clone()))?;
    Ok(Decision::Accepted(Accepted {
        subprotocol: accepted.subprotocol,
        headers: headers.into_map(),
        socket: Socket::new(link.clone()),
    }))
}

/// In an instance of its own.
pub(super) async fn call(
    store: &mut Store<InstanceState>,
    instance: &Instance3,
    busy: Arc<AtomicU64>,
    request: http::Request<()>,
    head: Head<Decision>,
    blueprint: &Blueprint,
) -> wasmtime::Result<()> {
    let Some(handle) = &instance.sockets else {
        return Err(Failure::NoResponse.into());
    };
    let link = Link::new(store.data().http.ledger.clone(), busy);
    // Ends while the store still holds the streams open: their reader must not take the store's end for theirs.
    let guest = Call(link.clone());
    let params = params(&mut *store, request, &link)?;
    let call = handle.start_call_concurrent(&mut *store, params)?;
    let work = async |accessor: &Accessor<InstanceState>| {
        let (answer,) = handle.finish_call_concurrent(accessor, call).await?;
        match answer {
            Ok(answer) => {
                let decision = accessor.with(|mut store| accepted(&mut store, answer, &link))?;
                head.set(Ok(decision));
                attend(accessor, &link, blueprint).await
            }
            Err(response) => {
                let response = accessor.with(|mut store| store.get().table.delete(response))?;
                respond(response, |response| head.set(Ok(Decision::Refused(response)))).await;
                no_tasks_left(accessor, blueprint).await
            }
        }
    };
    store.run_concurrent(work).await??;
    guest.done();
    Ok(())
}

/// Until the guest has no work left. Its time is limited once the connection is over.
async fn attend(accessor: &Accessor<InstanceState>, link: &Link, blueprint: &Blueprint) -> wasmtime::Result<()> {
    let limit = blueprint.limits.background_timeout;
    let over = async {
        poll_fn(|cx| link.poll_left(cx)).await;
        tokio::time::sleep(limit).await;
    };
    let mut over = pin!(over);
    poll_fn(|cx| {
        if accessor.poll_no_interesting_tasks(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        over.as_mut().poll(cx).map(|()| Err(BackgroundTimeout { limit }.into()))
    })
    .await
}

/// In an instance that others share. Lasts as long as the connection.
pub(super) async fn accept_beside_others(
    accessor: &Accessor<InstanceState>,
    instance: &Instance3,
    busy: &Arc<AtomicU64>,
    request: Box<http::Request<()>>,
    mut sender: oneshot::Sender<Result<Decision, Failure>>,
    mut place: Place,
) -> wasmtime::Result<()> {
    let Some(handle) = &instance.sockets else {
        return Err(Failure::NoResponse.into());
    };
    let (link, call, gone) = accessor.with(|mut store| {
        let link = Link::new(store.get().http.ledger.clone(), busy.clone());
        let params = params(&mut store, *request, &link)?;
        let call = handle.start_call_concurrent(&mut store, params)?;
        let task = call.task();
        let callers = store.get().http.callers.get_or_insert_default();
        let gone = Arc::<Gone>::default();
        callers.enter(task, gone.clone());
        Ok::<_, wasmtime::Error>((link, call, gone))
    })?;
    // Dropped with the instance.
    let guest = Call(link.clone());
    let mut called = pin!(handle.finish_call_concurrent(accessor, call));
    let answered = match super::shared::while_wanted(called.as_mut(), &mut sender).await {
        Some(answered) => answered,
        None => {
            // The client left.
            link.leave();
            gone.leave();
            place.is_not_wanted();
            called.await
        }
    };
    match answered?.0 {
        Ok(answer) => {
            let decision = accessor.with(|mut store| accepted(&mut store, answer, &link))?;
            // An unwanted socket is dropped here, which ends it.
            let _ = sender.send(Ok(decision));
            poll_fn(|cx| link.poll_left(cx)).await;
            gone.leave();
            guest.done();
        }
        Err(response) => {
            let response = accessor.with(|mut store| store.get().table.delete(response))?;
            let mut response = response.into_http();
            response.body_mut().set_owner(Owner::Shared(Caller::new(gone, place)));
            let _ = sender.send(Ok(Decision::Refused(response)));
        }
    }
    Ok(())
}

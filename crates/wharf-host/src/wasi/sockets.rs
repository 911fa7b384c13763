//! What Wharf does itself of `wasi:sockets`: it counts the sockets that a guest holds.
//!
//! Each function here asks for the right to one more descriptor, where the guest is about to have one, and has Wasmtime do the rest.
//! Refusals are errors that the guest may handle: `new-socket-limit` of 0.2, and `other` with a text in 0.3, which has no code for
//! it. A connection that a listener would take past the limit is reset.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{
    Access, Accessor, FutureConsumer, FutureReader, Linker, LinkerInstance, Resource, ResourceType, Source,
    StreamReader,
};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi::p2::bindings::sockets as v2;
use wasmtime_wasi::p2::{TcpSocket as TcpSocket2, UdpSocket as UdpSocket2};
use wasmtime_wasi::p3::bindings::sockets::types as v3;
use wasmtime_wasi::p3::bindings::sockets::types::{HostTcpSocketWithStore as _, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView as _};

use crate::descriptors::{Descriptor, Shortage};
use crate::state::InstanceState;

/// The interfaces under the names that Wasmtime gives them: only there do our functions replace its own.
const TYPES: &str = "wasi:sockets/types@0.3.0";
const TCP: &str = "wasi:sockets/tcp@0.2.12";
const UDP: &str = "wasi:sockets/udp@0.2.12";
const TCP_CREATE: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const UDP_CREATE: &str = "wasi:sockets/udp-create-socket@0.2.12";

type Store<'a> = StoreContextMut<'a, InstanceState>;

type Answer<T, E> = wasmtime::Result<(Result<T, E>,)>;

/// How one direction of a connection has ended.
type Outcome = Result<(), v3::ErrorCode>;

/// Replaces some functions of the interface that is linked already.
pub(super) fn link_v3(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let types = &mut linker.instance(TYPES)?;
    types.func_wrap("[static]tcp-socket.create", create_tcp)?;
    types.func_wrap_async("[static]udp-socket.create", |store, params| {
        Box::new(create_udp(store, params))
    })?;
    types.func_wrap_async("[method]tcp-socket.listen", |store, params| {
        Box::new(listen(store, params))
    })?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |accessor, (socket, remote): (Resource<_>, _)| Box::pin(connect(accessor, socket, remote)),
    )?;
    types.func_wrap("[method]tcp-socket.send", send)?;
    types.func_wrap("[method]tcp-socket.receive", receive)?;
    counted::<TcpSocket>(types, "tcp-socket")?;
    counted::<UdpSocket>(types, "udp-socket")
}

/// The same of the interfaces of 0.2.
pub(super) fn link_v2(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker
        .instance(TCP_CREATE)?
        .func_wrap("create-tcp-socket", create_tcp2)?;
    linker
        .instance(UDP_CREATE)?
        .func_wrap_async("create-udp-socket", |store, params| {
            Box::new(create_udp2(store, params))
        })?;
    let tcp = &mut linker.instance(TCP)?;
    tcp.func_wrap_async("[method]tcp-socket.start-listen", |store, params| {
        Box::new(start_listen2(store, params))
    })?;
    tcp.func_wrap("[method]tcp-socket.accept", accept2)?;
    counted::<TcpSocket2>(tcp, "tcp-socket")?;
    counted::<UdpSocket2>(&mut linker.instance(UDP)?, "udp-socket")
}

/// A resource of sockets, which are counted until they are dropped.
fn counted<T: Send + 'static>(instance: &mut LinkerInstance<'_, InstanceState>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |mut store, number| {
        let state = store.data_mut();
        state.table.delete(Resource::<T>::new_own(number))?;
        state.descriptors.dropped(number);
        Ok(())
    })
}

fn create_tcp(mut store: Store<'_>, (family,): (v3::IpAddressFamily,)) -> Answer<Resource<TcpSocket>, v3::ErrorCode> {
    let state = store.data_mut();
    let descriptor = match state.descriptors.app.take() {
        Ok(descriptor) => descriptor,
        Err(shortage) => return Ok((Err(other(shortage)),)),
    };
    let made = v3::HostTcpSocket::create(&mut state.sockets(), family);
    made_of(state, made, descriptor)
}

async fn create_udp(
    mut store: Store<'_>,
    (family,): (v3::IpAddressFamily,),
) -> Answer<Resource<UdpSocket>, v3::ErrorCode> {
    let state = store.data_mut();
    let descriptor = match state.descriptors.app.take() {
        Ok(descriptor) => descriptor,
        Err(shortage) => return Ok((Err(other(shortage)),)),
    };
    let made = v3::HostUdpSocket::create(&mut state.sockets(), family).await;
    made_of(state, made, descriptor)
}

fn create_tcp2(
    mut store: Store<'_>,
    (family,): (v2::network::IpAddressFamily,),
) -> Answer<Resource<TcpSocket2>, v2::network::ErrorCode> {
    let state = store.data_mut();
    let Ok(descriptor) = state.descriptors.app.take() else {
        return Ok((Err(v2::network::ErrorCode::NewSocketLimit),));
    };
    let made = v2::tcp_create_socket::Host::create_tcp_socket(&mut state.sockets(), family);
    made_of(state, made, descriptor)
}

async fn create_udp2(
    mut store: Store<'_>,
    (family,): (v2::network::IpAddressFamily,),
) -> Answer<Resource<UdpSocket2>, v2::network::ErrorCode> {
    let state = store.data_mut();
    let Ok(descriptor) = state.descriptors.app.take() else {
        return Ok((Err(v2::network::ErrorCode::NewSocketLimit),));
    };
    let made = v2::udp_create_socket::Host::create_udp_socket(&mut state.sockets(), family).await;
    made_of(state, made, descriptor)
}

/// What a guest gets of a socket that was or was not made.
fn made_of<T: 'static, E>(
    state: &mut InstanceState,
    made: Result<Resource<T>, TrappableError<E>>,
    descriptor: Descriptor,
) -> Answer<Resource<T>, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    if let Ok(socket) = &made {
        state.descriptors.keep(socket.rep(), descriptor);
    }
    answer(made)
}

/// What Wasmtime's own functions answer, as the guest gets it.
fn answer<T, E>(result: Result<T, TrappableError<E>>) -> Answer<T, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

fn other(shortage: Shortage) -> v3::ErrorCode {
    v3::ErrorCode::Other(Some(shortage.to_string()))
}

async fn listen(
    mut store: Store<'_>,
    (listener,): (Resource<TcpSocket>,),
) -> Answer<StreamReader<Resource<TcpSocket>>, v3::ErrorCode> {
    let number = listener.rep();
    let ahead = match store.data_mut().descriptors.app.take() {
        Ok(ahead) => ahead,
        Err(shortage) => return Ok((Err(other(shortage)),)),
    };
    // What looks at the table before there is any connection is no connection.
    let accepted = store.data_mut().descriptors.accepted();
    let access = Access::<_, WasiSockets>::new(store.as_context_mut(), accepting);
    let connections = WasiSockets::listen(access, listener).await;
    let descriptors = &mut store.data_mut().descriptors;
    descriptors.accepted_only(accepted);
    if connections.is_ok() {
        descriptors.listens(number, ahead);
    }
    answer(connections)
}

/// The way from the store to the table that listeners put connections into. They ask for it once for each.
fn accepting(state: &mut InstanceState) -> WasiSocketsCtxView<'_> {
    state.descriptors.accept();
    state.sockets()
}

/// Lets the store go on with what is ready before it connects: streams that the guest has dropped are still counted until then, and a
/// guest whose peers are near may never wait for anything else.
async fn connect(
    accessor: &Accessor<InstanceState>,
    socket: Resource<TcpSocket>,
    remote: v3::IpSocketAddress,
) -> Answer<(), v3::ErrorCode> {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    let accessor = accessor.with_getter::<WasiSockets>(InstanceState::sockets);
    answer(WasiSockets::connect(&accessor, socket, remote).await)
}

fn send(
    mut store: Store<'_>,
    (socket, data): (Resource<TcpSocket>, StreamReader<u8>),
) -> wasmtime::Result<(FutureReader<Outcome>,)> {
    let descriptor = store.data_mut().descriptors.of(socket.rep());
    let access = Access::<_, WasiSockets>::new(store.as_context_mut(), InstanceState::sockets);
    let end = WasiSockets::send(access, socket, data)?;
    Ok((until_ended(store, end, descriptor)?,))
}

type Received = (StreamReader<u8>, FutureReader<Outcome>);

fn receive(mut store: Store<'_>, (socket,): (Resource<TcpSocket>,)) -> wasmtime::Result<(Received,)> {
    let descriptor = store.data_mut().descriptors.of(socket.rep());
    let access = Access::<_, WasiSockets>::new(store.as_context_mut(), InstanceState::sockets);
    let (data, end) = WasiSockets::receive(access, socket)?;
    Ok(((data, until_ended(store, end, descriptor)?),))
}

/// Counts the socket until one of its directions has ended, which is when `end` is told and Wasmtime lets go of it; the guest may have
/// dropped its handle by then. It is told to the store, which hears of it the next time that the guest waits for something.
fn until_ended(
    mut store: Store<'_>,
    end: FutureReader<Outcome>,
    descriptor: Option<Arc<Descriptor>>,
) -> wasmtime::Result<FutureReader<Outcome>> {
    let (sender, told) = oneshot::channel();
    let ending = Ending {
        sender: Some(sender),
        descriptor,
    };
    end.pipe(&mut store, ending)?;
    // A stream that is dropped ends well.
    FutureReader::new(
        &mut store,
        async move { wasmtime::error::Ok(told.await.unwrap_or(Ok(()))) },
    )
}

struct Ending {
    sender: Option<oneshot::Sender<Outcome>>,
    descriptor: Option<Arc<Descriptor>>,
}

impl FutureConsumer<InstanceState> for Ending {
    type Item = Outcome;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: Store<'_>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut outcome = None;
        source.read(store, &mut outcome)?;
        self.descriptor = None;
        if let (Some(sender), Some(outcome)) = (self.sender.take(), outcome) {
            // The guest may not want to know.
            let _ = sender.send(outcome);
        }
        Poll::Ready(Ok(()))
    }
}

async fn start_listen2(
    mut store: Store<'_>,
    (listener,): (Resource<TcpSocket2>,),
) -> Answer<(), v2::network::ErrorCode> {
    let number = listener.rep();
    let state = store.data_mut();
    let Ok(ahead) = state.descriptors.app.take() else {
        return Ok((Err(v2::network::ErrorCode::NewSocketLimit),));
    };
    let started = v2::tcp::HostTcpSocket::start_listen(&mut state.sockets(), listener).await;
    if started.is_ok() {
        state.descriptors.listens(number, ahead);
    }
    answer(started)
}

type Connection2 = (
    Resource<TcpSocket2>,
    Resource<wasmtime_wasi::p2::DynInputStream>,
    Resource<wasmtime_wasi::p2::DynOutputStream>,
);

/// The streams of 0.2 are dropped before their socket, so that it counts with its handle.
fn accept2(mut store: Store<'_>, (listener,): (Resource<TcpSocket2>,)) -> Answer<Connection2, v2::network::ErrorCode> {
    let state = store.data_mut();
    let accepted = v2::tcp::HostTcpSocket::accept(&mut state.sockets(), listener);
    if let Ok((socket, ..)) = &accepted {
        let descriptor = state.descriptors.app.take_anyway();
        state.descriptors.keep(socket.rep(), descriptor);
    }
    answer(accepted)
}

//! `wasi:sockets/ip-name-lookup` of both versions, answered by the [`Network`] an instance was admitted with.

use std::net::IpAddr;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{Accessor, HasSelf, Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network as network2;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use super::bindings::v2::wasi::sockets::ip_name_lookup as v2;
use super::bindings::v3::wasi::sockets::ip_name_lookup as v3;
use crate::capability::{BoxFuture, LookupError};
use crate::state::InstanceState;

type Addresses = Result<Vec<IpAddr>, LookupError>;

pub(super) fn link_v3(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    v3::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)
}

pub(super) fn link_v2(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    v2::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)
}

/// Looks `name` up as far as `state` was granted a network.
fn look_up(state: &InstanceState, name: String) -> BoxFuture<Addresses> {
    match &state.network {
        Some(network) => network.resolve(name),
        None => Box::pin(async { Err(LookupError::AccessDenied) }),
    }
}

impl v3::Host for InstanceState {}

impl v3::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn resolve_addresses(
        accessor: &Accessor<InstanceState, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, v3::ErrorCode>> {
        let answer = accessor.with(|mut store| look_up(store.get(), name));
        Ok(match answer.await {
            Ok(addresses) => Ok(addresses.into_iter().map(address3).collect()),
            Err(error) => Err(match error {
                LookupError::AccessDenied => v3::ErrorCode::AccessDenied,
                LookupError::InvalidArgument => v3::ErrorCode::InvalidArgument,
                LookupError::NameUnresolvable => v3::ErrorCode::NameUnresolvable,
                LookupError::TemporaryResolverFailure => v3::ErrorCode::TemporaryResolverFailure,
                LookupError::PermanentResolverFailure => v3::ErrorCode::PermanentResolverFailure,
            }),
        })
    }
}

fn address3(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
    }
}

/// The 0.2 resource `resolve-address-stream`: first the question, then its answers one by one.
pub struct Answers(State);

enum State {
    Asking(BoxFuture<Addresses>),
    Known(Result<std::vec::IntoIter<IpAddr>, LookupError>),
}

impl Answers {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Result<std::vec::IntoIter<IpAddr>, LookupError>> {
        if let State::Asking(answer) = &mut self.0 {
            match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => self.0 = State::Known(answer.map(Vec::into_iter)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match &mut self.0 {
            State::Known(answer) => Poll::Ready(answer),
            State::Asking(_) => Poll::Pending,
        }
    }
}

#[async_trait]
impl Pollable for Answers {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(drop)).await;
    }
}

impl v2::Host for InstanceState {
    fn resolve_addresses(
        &mut self,
        network: Resource<network2::Network>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Answers>, network2::ErrorCode>> {
        self.table.get(&network)?;
        let mut answers = Answers(State::Asking(look_up(self, name)));
        // A refusal is known at once; the interface wants it here rather than at the first answer.
        if let Poll::Ready(Err(error)) = answers.poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(Err(code2(error)));
        }
        Ok(Ok(self.table.push(answers)?))
    }
}

impl v2::HostResolveAddressStream for InstanceState {
    fn resolve_next_address(
        &mut self,
        answers: Resource<Answers>,
    ) -> wasmtime::Result<Result<Option<network2::IpAddress>, network2::ErrorCode>> {
        let answers = self.table.get_mut(&answers)?;
        Ok(match answers.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(network2::ErrorCode::WouldBlock),
            Poll::Ready(Err(error)) => Err(code2(error)),
            Poll::Ready(Ok(addresses)) => Ok(addresses.next().map(address2)),
        })
    }

    fn subscribe(&mut self, answers: Resource<Answers>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, answers)
    }

    fn drop(&mut self, answers: Resource<Answers>) -> wasmtime::Result<()> {
        self.table.delete(answers)?;
        Ok(())
    }
}

fn code2(error: &LookupError) -> network2::ErrorCode {
    match error {
        LookupError::AccessDenied => network2::ErrorCode::AccessDenied,
        LookupError::InvalidArgument => network2::ErrorCode::InvalidArgument,
        LookupError::NameUnresolvable => network2::ErrorCode::NameUnresolvable,
        LookupError::TemporaryResolverFailure => network2::ErrorCode::TemporaryResolverFailure,
        LookupError::PermanentResolverFailure => network2::ErrorCode::PermanentResolverFailure,
    }
}

fn address2(address: IpAddr) -> network2::IpAddress {
    match address {
        IpAddr::V4(address) => network2::IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => network2::IpAddress::Ipv6(address.segments().into()),
    }
}

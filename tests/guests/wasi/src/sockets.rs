//! TCP with the test as the peer, and many connections at once.

use crate::report::Report;
use crate::text::kebab;
use crate::wasi::cli::{environment::get_arguments, stdin, stdout};
use crate::wasi::clocks::monotonic_clock;
use crate::wasi::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use crate::wit_stream;
use futures_util::future::{Either, join_all, select};
use futures_util::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use wit_bindgen::StreamReader;

/// Bytes per write.
const CHUNK_BYTES: usize = 64 * 1024;

pub fn address(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: v4.port(),
            address: v4.ip().octets().into(),
        }),
        SocketAddr::V6(v6) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: v6.port(),
            flow_info: v6.flowinfo(),
            address: v6.ip().segments().into(),
            scope_id: v6.scope_id(),
        }),
    }
}

pub fn address_text(address: IpSocketAddress) -> String {
    match address {
        IpSocketAddress::Ipv4(v4) => SocketAddr::new(ip_text(IpAddress::Ipv4(v4.address)), v4.port),
        IpSocketAddress::Ipv6(v6) => SocketAddr::new(ip_text(IpAddress::Ipv6(v6.address)), v6.port),
    }
    .to_string()
}

pub fn ip_text(ip: IpAddress) -> IpAddr {
    match ip {
        IpAddress::Ipv4(octets) => IpAddr::from(<[u8; 4]>::from(octets)),
        IpAddress::Ipv6(segments) => IpAddr::from(<[u16; 8]>::from(segments)),
    }
}

/// The address in the first argument.
fn argument_address() -> IpSocketAddress {
    address(get_arguments()[1].parse().unwrap())
}

fn socket_for(address: &IpSocketAddress) -> TcpSocket {
    let family = match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    };
    TcpSocket::create(family).unwrap()
}

async fn connected() -> TcpSocket {
    let peer = argument_address();
    let socket = socket_for(&peer);
    socket.connect(peer).await.unwrap();
    socket
}

/// A listener and where it listens.
fn listening(address: IpSocketAddress) -> (TcpSocket, StreamReader<TcpSocket>) {
    let socket = socket_for(&address);
    socket.bind(address).unwrap();
    let connections = socket.listen().unwrap();
    (socket, connections)
}

/// Sends back what each of its connections sends, all of them at once, until standard input ends.
pub async fn echo() -> Result<(), ()> {
    let (listener, mut connections) = listening(argument_address());
    let mut report = Report::on_stdout();
    let own = listener.get_local_address().unwrap();
    report.line(format!("listening {}", address_text(own))).await;

    let serve = pin!(async {
        let mut open = FuturesUnordered::new();
        loop {
            let accepted = {
                let next = pin!(connections.next());
                match select(next, open.next()).await {
                    Either::Left((accepted, _)) => Some(accepted.expect("the listener ended")),
                    // Nothing open yet, or one of them ended.
                    Either::Right((Some(()), _)) => None,
                    Either::Right((None, next)) => Some(next.await.expect("the listener ended")),
                }
            };
            if let Some(connection) = accepted {
                open.push(send_back(connection));
            }
        }
    });
    let (input, _) = stdin::read_via_stream();
    let end = pin!(input.collect());
    match select(serve, end).await {
        Either::Left(((), _)) => unreachable!("the loop has no end"),
        Either::Right(_) => report.close().await,
    }
}

/// The received stream is the sent one: the guest touches no byte. A connection may break without taking the rest along.
async fn send_back(connection: TcpSocket) {
    let (data, received) = connection.receive();
    let sent = connection.send(data);
    let _ = join!(sent.into_future(), received.into_future());
}

/// Joins standard input and output to a connection; tells on standard error how each direction ended.
pub async fn pipe() -> Result<(), ()> {
    let mut report = Report::on_stderr();
    let socket = connected().await;
    let (input, _) = stdin::read_via_stream();
    let (data, received) = socket.receive();
    let sent = socket.send(input);
    let written = stdout::write_via_stream(data);
    let (sent, received, written) = join!(sent.into_future(), received.into_future(), written.into_future());
    report.line(format!("sent {}", end(sent))).await;
    report.line(format!("received {}", end(received))).await;
    report.line(format!("written {}", end(written))).await;
    report.close().await
}

fn end(result: Result<(), impl core::fmt::Debug>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(code) => format!("err {}", kebab(code)),
    }
}

/// Sends MEBIBYTES to a peer that may not read, and says ten times a second how many bytes were taken so far.
pub async fn flood() -> Result<(), ()> {
    let bytes = get_arguments()[2].parse::<u64>().unwrap() << 20;
    let socket = connected().await;
    let mut report = Report::on_stdout();
    let taken = Cell::new(0u64);

    let sending = pin!(async {
        let (mut output, data) = wit_stream::new();
        let sent = socket.send(data);
        while taken.get() < bytes {
            let unsent = output.write_all(vec![b'x'; CHUNK_BYTES]).await;
            assert!(unsent.is_empty(), "the peer closed after {}", taken.get());
            taken.set(taken.get() + CHUNK_BYTES as u64);
        }
        drop(output);
        end(sent.await)
    });
    let ended = {
        let counting = pin!(async {
            loop {
                monotonic_clock::wait_for(100_000_000).await;
                report.line(format!("taken {}", taken.get())).await;
            }
        });
        match select(sending, counting).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), _)) => unreachable!("the loop has no end"),
        }
    };
    report.line(format!("sent {} {ended}", taken.get())).await;
    report.close().await
}

/// Opens COUNT connections to itself, and only when all are open sends one number through each and back.
pub async fn many() -> Result<(), ()> {
    let count: usize = get_arguments()[2].parse().unwrap();
    let (listener, mut connections) = listening(argument_address());
    let server = listener.get_local_address().unwrap();
    let mut report = Report::on_stdout();

    let serve = async {
        let mut open = Vec::new();
        while open.len() < count {
            open.push(connections.next().await.expect("the listener ended"));
        }
        let at_once = open.len();
        join_all(open.into_iter().map(send_back)).await;
        at_once
    };
    let call = join_all((0..count).map(|number| async move {
        let socket = socket_for(&server);
        socket.connect(server).await.unwrap();
        let (mut output, data) = wit_stream::new();
        let sent = socket.send(data);
        output.write_all(number.to_string().into_bytes()).await;
        drop(output);
        sent.await.unwrap();
        let (answer, received) = socket.receive();
        let answer = answer.collect().await;
        received.await.unwrap();
        usize::from(answer == number.to_string().into_bytes())
    }));
    let (at_once, answered) = join!(serve, call);
    report.line(format!("open {at_once}")).await;
    report
        .line(format!("answered {}", answered.iter().sum::<usize>()))
        .await;
    report.close().await
}

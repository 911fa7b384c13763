//! Holds sockets and open files, over WASI 0.2. `steps` is a list of `KIND:NUMBER` with commas between; each is answered with a line
//! `KIND HELD`, and the error where it got fewer than it wanted. `drop` lets go of all that the instance holds.

use std::any::Any;
use std::cell::RefCell;

use guests_v0_2::{parameter, respond_text};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

guests_v0_2::proxy!(handle);

type Held = Box<dyn Any>;

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
    static LISTENER: RefCell<Option<TcpSocket>> = const { RefCell::new(None) };
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let mut report = String::new();
    for step in parameter(&request, "steps").unwrap_or_default().split(',') {
        let (kind, number) = step.split_once(':').unwrap_or((step, "1"));
        let wanted = number.parse().expect("a number");
        report += &match kind {
            "drop" => {
                HELD.take();
                LISTENER.take();
                "dropped\n".to_owned()
            }
            "listen" => match listen() {
                Ok(()) => "listens\n".to_owned(),
                Err(error) => format!("listens not {error:?}\n"),
            },
            _ => hold(kind, wanted),
        };
    }
    respond_text(out, &report);
}

fn hold(kind: &str, wanted: usize) -> String {
    for held in 0..wanted {
        match one(kind) {
            Ok(one) => HELD.with_borrow_mut(|all| all.push(one)),
            Err(error) => return format!("{kind} {held} {error}\n"),
        }
    }
    format!("{kind} {wanted}\n")
}

fn one(kind: &str) -> Result<Held, String> {
    Ok(match kind {
        "tcp" => Box::new(tcp().map_err(said)?),
        "udp" => Box::new(create_udp_socket(IpAddressFamily::Ipv4).map_err(said)?),
        "accepted" => Box::new(accepted().map_err(said)?),
        "file" => Box::new(open()?),
        // The handle is dropped, and the file stays open.
        "file-stream" => Box::new(open()?.read_via_stream(0).map_err(said)?),
        kind => panic!("{kind}"),
    })
}

fn tcp() -> Result<TcpSocket, ErrorCode> {
    create_tcp_socket(IpAddressFamily::Ipv4)
}

fn listen() -> Result<(), ErrorCode> {
    let socket = tcp()?;
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: 0,
        address: (127, 0, 0, 1),
    });
    socket.start_bind(&instance_network(), any)?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()?;
    LISTENER.set(Some(socket));
    Ok(())
}

/// Both ends of a connection of the guest with itself. Streams are dropped before their socket.
fn accepted() -> Result<Held, ErrorCode> {
    LISTENER.with_borrow(|listener| {
        let listener = listener.as_ref().expect("a listener");
        let client = tcp()?;
        client.start_connect(&instance_network(), listener.local_address()?)?;
        let client_streams = when_ready(&client, TcpSocket::finish_connect)?;
        let (server, input, output) = when_ready(listener, TcpSocket::accept)?;
        Ok(Box::new((client_streams, client, (input, output), server)) as Held)
    })
}

fn when_ready<T>(socket: &TcpSocket, call: impl Fn(&TcpSocket) -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match call(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result,
        }
    }
}

fn open() -> Result<Descriptor, String> {
    let (preopen, _) = get_directories().remove(0);
    preopen
        .open_at(PathFlags::empty(), "a-file", OpenFlags::empty(), DescriptorFlags::READ)
        .map_err(said)
}

fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

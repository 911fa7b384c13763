//! Holds sockets and open files. `steps` is a list of `KIND:NUMBER` with commas between; each is answered with a line `KIND HELD`, and
//! the error where it got fewer than it wanted. `drop` lets go of all that the instance holds. `peer` is whom it connects with.

use std::any::Any;
use std::cell::RefCell;
use std::net::SocketAddr;

use guests_http::{Query, sleep_ms, text};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket};
use wasip3::wit_bindgen::StreamReader;
use wasip3::wit_stream;

guests_http::service!(handle);

type Held = Box<dyn Any>;

type Listener = (TcpSocket, StreamReader<TcpSocket>);

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let peer = query.text("peer").map(address);
    let mut report = String::new();
    for step in query.text("steps").unwrap_or_default().split(',') {
        let (kind, number) = step.split_once(':').unwrap_or((step, "1"));
        let wanted = number.parse().expect("a number");
        report += &match kind {
            "drop" => {
                HELD.take();
                LISTENER.take();
                // The host learns that streams were dropped when it is waited for.
                sleep_ms(1).await;
                "dropped\n".to_owned()
            }
            "listen" => match listen() {
                Ok(port) => format!("listens {port}\n"),
                Err(error) => format!("listens not {error}\n"),
            },
            _ => hold(kind, wanted, peer).await,
        };
    }
    sleep_ms(query.number("hold").unwrap_or(0)).await;
    Ok(text(report))
}

async fn hold(kind: &str, wanted: usize, peer: Option<IpSocketAddress>) -> String {
    for held in 0..wanted {
        match one(kind, peer).await {
            Ok(one) => HELD.with_borrow_mut(|all| all.push(one)),
            Err(error) => return format!("{kind} {held} {error}\n"),
        }
    }
    format!("{kind} {wanted}\n")
}

async fn one(kind: &str, peer: Option<IpSocketAddress>) -> Result<Held, String> {
    Ok(match kind {
        "tcp" => Box::new(tcp()?),
        "udp" => Box::new(UdpSocket::create(IpAddressFamily::Ipv4).map_err(said)?),
        "connected" => Box::new(connected(peer).await?),
        // The handle is dropped, and the connection goes on.
        "streams" => {
            let socket = connected(peer).await?;
            let (writer, data) = wit_stream::new::<u8>();
            Box::new((socket.receive(), socket.send(data), writer))
        }
        "received" => Box::new(connected(peer).await?.receive()),
        // One that the guest has with itself: what it accepts it holds by its streams.
        "accepted" => {
            let client = connected(Some(local()?)).await?;
            Box::new((client, accept().await.receive()))
        }
        // From outside.
        "taken" => Box::new(accept().await),
        "closed" => {
            let socket = connected(peer).await?;
            let (writer, data) = wit_stream::new::<u8>();
            let (_, _, _) = (socket.receive(), socket.send(data), writer);
            Box::new(())
        }
        "file" => Box::new(open(OpenFlags::empty(), "a-file").await?),
        "directory" => Box::new(open(OpenFlags::DIRECTORY, "a-folder").await?),
        "file-stream" => {
            let file = open(OpenFlags::empty(), "a-file").await?;
            Box::new(file.read_via_stream(0))
        }
        // Of more entries than are read at once.
        "listing" => {
            let (mut entries, ended) = preopen().read_directory();
            match entries.next().await {
                Some(_) => Box::new((entries, ended)),
                None => return Err(said(ended.await.expect_err("there are entries"))),
            }
        }
        kind => panic!("{kind}"),
    })
}

fn tcp() -> Result<TcpSocket, String> {
    TcpSocket::create(IpAddressFamily::Ipv4).map_err(said)
}

async fn connected(peer: Option<IpSocketAddress>) -> Result<TcpSocket, String> {
    let socket = tcp()?;
    socket.connect(peer.expect("a peer")).await.map_err(said)?;
    Ok(socket)
}

/// Listens, and says on which port.
fn listen() -> Result<u16, String> {
    let socket = tcp()?;
    socket.bind(address("127.0.0.1:0")).map_err(said)?;
    let connections = socket.listen().map_err(said)?;
    let own = socket.get_local_address().map_err(said)?;
    LISTENER.set(Some((socket, connections)));
    match own {
        IpSocketAddress::Ipv4(own) => Ok(own.port),
        IpSocketAddress::Ipv6(_) => panic!("it is bound to another"),
    }
}

fn local() -> Result<IpSocketAddress, String> {
    LISTENER.with_borrow(|listener| {
        let (socket, _) = listener.as_ref().expect("a listener");
        socket.get_local_address().map_err(said)
    })
}

async fn accept() -> TcpSocket {
    let (socket, mut connections) = LISTENER.take().expect("a listener");
    let accepted = connections.next().await.expect("a connection");
    LISTENER.set(Some((socket, connections)));
    accepted
}

fn preopen() -> Descriptor {
    get_directories().remove(0).0
}

async fn open(open_flags: OpenFlags, path: &str) -> Result<Descriptor, String> {
    preopen()
        .open_at(PathFlags::empty(), path.to_owned(), open_flags, DescriptorFlags::READ)
        .await
        .map_err(said)
}

fn address(text: &str) -> IpSocketAddress {
    match text.parse().expect("an address") {
        SocketAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: address.port(),
            address: address.ip().octets().into(),
        }),
        SocketAddr::V6(_) => panic!("{text}"),
    }
}

fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

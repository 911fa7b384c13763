//! Does everything at once that takes time: calls `url`, waits on a timer and then writes the file `done`, and reads a byte
//! from the socket at `peer` and then calls `url` again. Whoever is on the other side can make each wait for another.

use std::net::SocketAddr;

use futures::future::join3;
use guests_http::{Query, get, sleep_ms, text};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let url = query.text("url").expect("a parameter");
    let peer = query.text("peer").expect("a parameter");
    let later = async { (byte_from(peer).await, get(url).await) };
    let (first, (), (byte, second)) = join3(get(url), write_later(), later).await;
    Ok(text(format!("{} {byte:?} {}", first?.0, second?.0)))
}

async fn write_later() {
    sleep_ms(100).await;
    let directories = get_directories();
    let (directory, _) = directories.first().expect("a folder is granted");
    let name = "done".to_owned();
    directory
        .open_at(PathFlags::empty(), name, OpenFlags::CREATE, DescriptorFlags::WRITE)
        .await
        .expect("the folder is writable");
}

async fn byte_from(peer: &str) -> Vec<u8> {
    let SocketAddr::V4(peer) = peer.parse().expect("an address") else {
        panic!("the test listens on 127.0.0.1");
    };
    let [a, b, c, d] = peer.ip().octets();
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).expect("any guest may make one");
    let address = Ipv4SocketAddress {
        port: peer.port(),
        address: (a, b, c, d),
    };
    let connected = socket.connect(IpSocketAddress::Ipv4(address)).await;
    connected.expect("the test listens");
    let (mut bytes, _end) = socket.receive();
    bytes.read(Vec::with_capacity(1)).await.1
}

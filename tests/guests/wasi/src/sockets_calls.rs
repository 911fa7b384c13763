//! A guest that makes the socket calls its arguments name, one call and one line of result per argument.
//!
//! `NAME=tcp ipv4`, `NAME=udp ipv6` and `NAME=accept LISTENER` keep a socket under NAME; `@NAME` is the local address
//! of that socket, both in calls and in results, so that a test can be a table although ports differ in every run.

use crate::report::Report;
use crate::sockets::{address, address_text};
use crate::text::{kebab, outcome, received, words};
use crate::wasi::cli::environment::get_arguments;
use crate::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::wasi::sockets::types::{ErrorCode, IpAddressFamily, IpSocketAddress, TcpSocket, UdpSocket};
use crate::wit_stream;
use std::net::SocketAddr;
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

type Answer = Result<String, ErrorCode>;

/// A stream's other half: how it ended.
type End = FutureReader<Result<(), ErrorCode>>;

struct Tcp {
    socket: TcpSocket,
    listener: Option<StreamReader<TcpSocket>>,
    sending: Option<(StreamWriter<u8>, End)>,
    receiving: Option<(StreamReader<u8>, End)>,
}

impl Tcp {
    fn new(socket: TcpSocket) -> Self {
        Self {
            socket,
            listener: None,
            sending: None,
            receiving: None,
        }
    }
}

enum Socket {
    Tcp(Tcp),
    Udp(UdpSocket),
}

#[derive(Default)]
struct Sockets {
    /// In the order they were made: a listener comes before the sockets it accepted, which have its address.
    open: Vec<(String, Socket)>,
    /// Those that could not be made. A host may refuse the socket or its use, so every call on them gives the refusal.
    refused: Vec<(String, String)>,
}

impl Sockets {
    fn keep(&mut self, name: Option<&str>, socket: Result<Socket, ErrorCode>) -> String {
        let name = name.expect("a socket needs a name").to_owned();
        match socket {
            Ok(socket) => {
                self.open.push((name, socket));
                "ok".to_owned()
            }
            Err(code) => {
                let refusal = format!("err {}", kebab(code));
                self.refused.push((name, refusal.clone()));
                refusal
            }
        }
    }

    fn refusal(&self, words: &[&str]) -> Option<String> {
        let name = words.get(1)?;
        let found = self.refused.iter().find(|(refused, _)| refused == name);
        found.map(|(_, refusal)| refusal.clone())
    }

    fn get(&mut self, name: &str) -> &mut Socket {
        let found = self.open.iter_mut().find(|(known, _)| known == name);
        &mut found.unwrap_or_else(|| panic!("no socket {name}")).1
    }

    fn address(&mut self, text: &str) -> IpSocketAddress {
        match text.strip_prefix('@') {
            Some(name) => local(self.get(name)).expect("the socket has no address"),
            None => address(text.parse().unwrap()),
        }
    }

    /// `@NAME` where the address is that of a socket here; otherwise without its port, which differs in every run.
    fn address_text(&self, address: IpSocketAddress) -> String {
        let text = address_text(address);
        let known = self
            .open
            .iter()
            .find(|(_, socket)| local(socket).is_ok_and(|own| address_text(own) == text));
        match (known, text.parse::<SocketAddr>().unwrap()) {
            (Some((name, _)), _) => format!("@{name}"),
            (None, address) if address.port() == 0 => address.to_string(),
            (None, SocketAddr::V4(address)) => format!("{}:port", address.ip()),
            (None, SocketAddr::V6(address)) => format!("[{}]:port", address.ip()),
        }
    }
}

pub async fn calls() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    let mut sockets = Sockets::default();
    for call in get_arguments().iter().skip(1) {
        let line = make(&mut sockets, call).await;
        report.line(line).await;
    }
    report.close().await
}

async fn make(sockets: &mut Sockets, call: &str) -> String {
    let (name, call) = match call.split_once('=') {
        Some((name, call)) => (Some(name), call),
        None => (None, call),
    };
    let words = words(call);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(refusal) = sockets.refusal(&words) {
        return refusal;
    }
    match words.as_slice() {
        ["tcp", version] => {
            let socket = TcpSocket::create(family(version));
            sockets.keep(name, socket.map(|socket| Socket::Tcp(Tcp::new(socket))))
        }
        ["udp", version] => {
            let socket = UdpSocket::create(family(version));
            sockets.keep(name, socket.map(Socket::Udp))
        }
        ["accept", listener] => {
            let accepted = accept(sockets.get(listener)).await;
            sockets.keep(name, Ok(accepted))
        }
        ["drop", name] => {
            sockets.open.retain(|(known, _)| known != name);
            "ok".to_owned()
        }
        ["local", name] => {
            let own = local(sockets.get(name));
            // Named after itself, an address would say nothing.
            outcome(own.map(|own| Sockets::default().address_text(own)))
        }
        ["remote", name] => {
            let peer = remote(sockets.get(name));
            outcome(peer.map(|peer| sockets.address_text(peer)))
        }
        ["receive-from", name] => match udp(sockets.get(name)).receive().await {
            Ok((bytes, sender)) => format!("ok {} {}", received(&bytes), sockets.address_text(sender)),
            Err(code) => format!("err {}", kebab(code)),
        },
        ["bind", name, to] => {
            let to = sockets.address(to);
            outcome(bind(sockets.get(name), to).map(unit))
        }
        ["connect", name, to] => {
            let to = sockets.address(to);
            outcome(connect(sockets.get(name), to).await.map(unit))
        }
        ["send-to", name, text, to] => {
            let to = sockets.address(to);
            outcome(
                udp(sockets.get(name))
                    .send(text.as_bytes().to_vec(), Some(to))
                    .await
                    .map(unit),
            )
        }
        ["resolve", name] => outcome(resolve(name).await),
        [verb, name, arguments @ ..] => {
            let socket = sockets.get(name);
            outcome(call_on(socket, verb, arguments).await)
        }
        other => panic!("{other:?} is no call"),
    }
}

async fn call_on(socket: &mut Socket, verb: &str, arguments: &[&str]) -> Answer {
    match (verb, arguments) {
        ("family", []) => Ok(kebab(match socket {
            Socket::Tcp(tcp) => tcp.socket.get_address_family(),
            Socket::Udp(udp) => udp.get_address_family(),
        })),
        ("get", [option]) => get(socket, option),
        ("set", [option, value]) => set(socket, option, value).map(unit),
        ("disconnect", []) => udp(socket).disconnect().map(unit),
        ("send-to", [text]) => udp(socket).send(text.as_bytes().to_vec(), None).await.map(unit),
        (verb, arguments) => call_on_tcp(tcp(socket), verb, arguments).await,
    }
}

async fn call_on_tcp(tcp: &mut Tcp, verb: &str, arguments: &[&str]) -> Answer {
    match (verb, arguments) {
        ("listen", []) => tcp.socket.listen().map(|listener| {
            tcp.listener = Some(listener);
            String::new()
        }),
        ("listening", []) => Ok(tcp.socket.get_is_listening().to_string()),
        ("send", [text]) => send(tcp, text).await,
        ("finish", []) => {
            let (output, end) = tcp.sending.take().expect("nothing was sent");
            drop(output);
            end.await.map(unit)
        }
        // A second stream: one socket has one of each direction.
        ("send-again", []) => {
            let (_output, data) = wit_stream::new();
            tcp.socket.send(data).await.map(unit)
        }
        ("receive", []) => receive(tcp).await,
        ("stop-receiving", []) => {
            let (data, end) = tcp.receiving.take().unwrap_or_else(|| tcp.socket.receive());
            drop(data);
            end.await.map(unit)
        }
        ("receive-again", []) => {
            let (_data, end) = tcp.socket.receive();
            end.await.map(unit)
        }
        other => panic!("{other:?} is no call"),
    }
}

async fn accept(socket: &mut Socket) -> Socket {
    let listener = tcp(socket).listener.as_mut().expect("the socket does not listen");
    let accepted = listener.next().await.expect("the listener ended");
    Socket::Tcp(Tcp::new(accepted))
}

/// When the host takes no more, the stream is over and the future says why.
async fn send(tcp: &mut Tcp, text: &str) -> Answer {
    let (mut output, end) = tcp.sending.take().unwrap_or_else(|| {
        let (output, data) = wit_stream::new();
        (output, tcp.socket.send(data))
    });
    if output.write_all(text.as_bytes().to_vec()).await.is_empty() {
        tcp.sending = Some((output, end));
        Ok(String::new())
    } else {
        end.await.map(|()| "ended".to_owned())
    }
}

/// One read: its bytes, or how the stream ended.
async fn receive(tcp: &mut Tcp) -> Answer {
    let (mut data, end) = tcp.receiving.take().unwrap_or_else(|| tcp.socket.receive());
    let (result, bytes) = data.read(Vec::with_capacity(64 * 1024)).await;
    if result == StreamResult::Dropped && bytes.is_empty() {
        return end.await.map(|()| "ended".to_owned());
    }
    tcp.receiving = Some((data, end));
    Ok(received(&bytes))
}

async fn connect(socket: &mut Socket, to: IpSocketAddress) -> Result<(), ErrorCode> {
    match socket {
        Socket::Tcp(tcp) => tcp.socket.connect(to).await,
        Socket::Udp(udp) => udp.connect(to),
    }
}

fn bind(socket: &Socket, to: IpSocketAddress) -> Result<(), ErrorCode> {
    match socket {
        Socket::Tcp(tcp) => tcp.socket.bind(to),
        Socket::Udp(udp) => udp.bind(to),
    }
}

fn local(socket: &Socket) -> Result<IpSocketAddress, ErrorCode> {
    match socket {
        Socket::Tcp(tcp) => tcp.socket.get_local_address(),
        Socket::Udp(udp) => udp.get_local_address(),
    }
}

fn remote(socket: &Socket) -> Result<IpSocketAddress, ErrorCode> {
    match socket {
        Socket::Tcp(tcp) => tcp.socket.get_remote_address(),
        Socket::Udp(udp) => udp.get_remote_address(),
    }
}

fn get(socket: &Socket, option: &str) -> Answer {
    match socket {
        Socket::Tcp(Tcp { socket: tcp, .. }) => match option {
            "keep-alive-enabled" => tcp.get_keep_alive_enabled().map(|value| value.to_string()),
            "keep-alive-idle-time" => tcp.get_keep_alive_idle_time().map(|value| value.to_string()),
            "keep-alive-interval" => tcp.get_keep_alive_interval().map(|value| value.to_string()),
            "keep-alive-count" => tcp.get_keep_alive_count().map(|value| value.to_string()),
            "hop-limit" => tcp.get_hop_limit().map(|value| value.to_string()),
            "receive-buffer-size" => tcp.get_receive_buffer_size().map(|value| value.to_string()),
            "send-buffer-size" => tcp.get_send_buffer_size().map(|value| value.to_string()),
            other => panic!("{other} is no option"),
        },
        Socket::Udp(udp) => match option {
            "unicast-hop-limit" => udp.get_unicast_hop_limit().map(|value| value.to_string()),
            "receive-buffer-size" => udp.get_receive_buffer_size().map(|value| value.to_string()),
            "send-buffer-size" => udp.get_send_buffer_size().map(|value| value.to_string()),
            other => panic!("{other} is no option"),
        },
    }
}

fn set(socket: &Socket, option: &str, value: &str) -> Result<(), ErrorCode> {
    let number = || value.parse::<u64>().unwrap();
    match socket {
        Socket::Tcp(Tcp { socket: tcp, .. }) => match option {
            "listen-backlog-size" => tcp.set_listen_backlog_size(number()),
            "keep-alive-enabled" => tcp.set_keep_alive_enabled(value.parse().unwrap()),
            "keep-alive-idle-time" => tcp.set_keep_alive_idle_time(number()),
            "keep-alive-interval" => tcp.set_keep_alive_interval(number()),
            "keep-alive-count" => tcp.set_keep_alive_count(value.parse().unwrap()),
            "hop-limit" => tcp.set_hop_limit(value.parse().unwrap()),
            "receive-buffer-size" => tcp.set_receive_buffer_size(number()),
            "send-buffer-size" => tcp.set_send_buffer_size(number()),
            other => panic!("{other} is no option"),
        },
        Socket::Udp(udp) => match option {
            "unicast-hop-limit" => udp.set_unicast_hop_limit(value.parse().unwrap()),
            "receive-buffer-size" => udp.set_receive_buffer_size(number()),
            "send-buffer-size" => udp.set_send_buffer_size(number()),
            other => panic!("{other} is no option"),
        },
    }
}

async fn resolve(name: &str) -> Result<String, crate::wasi::sockets::ip_name_lookup::ErrorCode> {
    let addresses = resolve_addresses(name.to_owned()).await?;
    let mut addresses: Vec<String> = addresses
        .into_iter()
        .map(|ip| crate::sockets::ip_text(ip).to_string())
        .collect();
    addresses.sort();
    Ok(addresses.join(" "))
}

fn family(version: &str) -> IpAddressFamily {
    match version {
        "ipv4" => IpAddressFamily::Ipv4,
        "ipv6" => IpAddressFamily::Ipv6,
        other => panic!("{other} is no family"),
    }
}

fn tcp(socket: &mut Socket) -> &mut Tcp {
    match socket {
        Socket::Tcp(tcp) => tcp,
        Socket::Udp(_) => panic!("a UDP socket cannot do that"),
    }
}

fn udp(socket: &Socket) -> &UdpSocket {
    match socket {
        Socket::Udp(udp) => udp,
        Socket::Tcp(_) => panic!("a TCP socket cannot do that"),
    }
}

fn unit((): ()) -> String {
    String::new()
}

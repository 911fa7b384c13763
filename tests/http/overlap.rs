//! One instance waits for everything at once: a timer, a file, a socket and HTTP calls.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use wharf_tests::{Scratch, eventually_within};

use crate::axes::{ALLOW_ALL, Isolation, Protocol};
use crate::client::{Ask, escape};
use crate::witness::Witness;

/// Each waits for the one before: the file for its timer, the socket's byte for the file and for the first call, the
/// second call for the byte, and the first call's answer for the second. If one held the instance up, none would end.
#[test]
fn timers_files_sockets_and_calls_overlap() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let peer = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let peer_addr = peer.local_addr().expect("it is bound").to_string();
        let folder = Scratch::new();
        let grant = format!("{}::/work", folder.path().display());
        let flags = [&ALLOW_ALL[..], &["--allow-net", "127.0.0.1", "--dir", &grant]].concat();
        let server = isolation.serve("http-overlap", &flags);
        let path = format!("/?url={}&peer={}", witness.url("/together?n=2"), escape(&peer_addr));
        let addr = server.addr();
        let asking = thread::spawn(move || Ask::get(path).over(Protocol::Http1, addr));
        let (mut socket, _) = peer.accept().expect("the guest connects");
        eventually_within(
            Duration::from_secs(20),
            || witness.open("/together") == 1 && folder.join("done").exists(),
            "the file beside the first call",
        );
        socket.write_all(b"x").expect("the guest reads");
        let reply = asking.join().expect("the guest answers");
        assert_eq!(reply.text(), "200 [120] 200", "{isolation:?}");
    }
}

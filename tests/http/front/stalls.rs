//! Clients that stall before their first request: each holds a place, and delays nobody.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use wharf_tests::http::get;
use wharf_tests::{Server, eventually};

use super::{GET, Site, exchange, status};
use crate::operator::{metric, reached};

/// As many as stall in each way.
const CROWD: usize = 100;

/// The first bytes of a real client's handshake.
fn hello(site: &Site) -> Vec<u8> {
    let mut client = site.secure(&[]).conn;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a vector takes it");
    bytes
}

fn crowd(site: &Site, sends: &[u8]) -> Vec<TcpStream> {
    let connect = || {
        let mut stream = site.connect(site.second());
        stream.write_all(sends).expect("the server reads");
        stream
    };
    (0..CROWD).map(|_| connect()).collect()
}

#[test]
fn handshakes_that_stall_delay_nobody() {
    let site = Site::with_listener("http-hello", "limits = { handshake-time = '60s' }", "tls = true");
    let hello = hello(&site);
    // Before the first byte, within it, after it, and with a key that never comes.
    let stalled: Vec<_> = [&[][..], &hello[..1], &hello[..hello.len() / 2], &hello]
        .into_iter()
        .flat_map(|sends| crowd(&site, sends))
        .collect();
    let expected = stalled.len() as f64;
    eventually(
        || metric(site.admin, "wharf_connections") >= Some(expected),
        "all of them stall",
    );
    for _ in 0..20 {
        assert_eq!(status(&exchange(site.secure(&["http/1.1"]), GET).0), 200);
        assert_eq!(get(site.plain(), "/").status, 200);
    }
    assert!(
        metric(site.admin, "wharf_connections") >= Some(expected),
        "they are still there"
    );
    assert_eq!(reached(site.admin, "handshake-time"), 0.0);
}

/// What counted three of them is for whoever looks at it (`limits.rs`).
pub fn a_handshake_takes_no_longer_than_it_may() -> (Server, SocketAddr) {
    let site = Site::with_listener("http-hello", "limits = { handshake-time = '2s' }", "tls = true");
    let hello = hello(&site);
    let mut stalled: Vec<_> = [&[][..], &hello[..7], &hello]
        .map(|sends| {
            let mut stream = site.connect(site.second());
            stream.write_all(sends).expect("the server reads");
            stream
        })
        .into();
    for stream in &mut stalled {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP"), "this is TLS");
    }
    // Who was in time has all the time there is; on a machine that has much to do, that may take a few.
    let mut patient = site.secure(&[]);
    eventually(
        || {
            patient = site.secure(&[]);
            patient.conn.complete_io(&mut patient.sock).is_ok()
        },
        "a handshake in time",
    );
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(status(&exchange(patient, GET).0), 200);
    let Site { server, admin, .. } = site;
    (server, admin)
}

/// Whoever has not come to a request is the first to make room.
#[test]
fn handshakes_make_room() {
    let limits = "limits = { connections = 10, connections-per-client = 10, handshake-time = '60s' }";
    let site = Site::with_listener("http-hello", limits, "tls = true");
    let stalled: Vec<_> = (0..10).map(|_| site.connect(site.second())).collect();
    eventually(
        || metric(site.admin, "wharf_connections") >= Some(10.0),
        "no place is left",
    );
    for _ in 0..5 {
        assert_eq!(status(&exchange(site.secure(&[]), GET).0), 200);
        assert_eq!(get(site.plain(), "/").status, 200);
    }
    drop(stalled);
}

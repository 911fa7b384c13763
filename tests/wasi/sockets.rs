//! Sockets: every function, between sockets of one guest.
//!
//! A case is a list of calls with what each must give (see `sockets_calls.rs` among the guests). `@NAME` is the local
//! address of the socket of that name. Everything stays on loopback.

use std::net::{TcpListener, UdpSocket};

use crate::run::{lines, versions};

const ALL: &[&str] = &["--allow-net", "*"];

/// Family and loopback address of both.
const FAMILIES: [(&str, &str); 2] = [("ipv4", "127.0.0.1"), ("ipv6", "[::1]")];

/// Makes the calls on both versions. In what is expected, ` or ` stands between alternatives.
fn check(flags: &[&str], calls: &[(&str, &str)]) {
    let (arguments, expected): (Vec<&str>, Vec<&str>) = calls.iter().copied().unzip();
    for name in versions("sockets-calls") {
        let lines = lines(&name, flags, &arguments);
        let ok = lines.len() == expected.len()
            && lines
                .iter()
                .zip(&expected)
                .all(|(line, expected)| expected.split(" or ").any(|one| line == one));
        let table: Vec<_> = arguments.iter().zip(&expected).zip(&lines).collect();
        assert!(ok, "{name} {flags:?}: (call, expected), result: {table:#?}");
    }
}

/// Like [`check`] with everything allowed, once for each family: `FAMILY` and `LOOPBACK` in calls and results stand for
/// the family's own.
fn check_families(calls: &[(&str, &str)]) {
    for (family, loopback) in FAMILIES {
        let own = |text: &str| text.replace("FAMILY", family).replace("LOOPBACK", loopback);
        let calls: Vec<_> = calls
            .iter()
            .map(|(call, expected)| (own(call), own(expected)))
            .collect();
        let calls: Vec<_> = calls
            .iter()
            .map(|(call, expected)| (call.as_str(), expected.as_str()))
            .collect();
        check(ALL, &calls);
    }
}

#[test]
fn tcp_carries_bytes_both_ways() {
    check_families(&[
        ("l=tcp FAMILY", "ok"),
        ("family l", "ok FAMILY"),
        ("listening l", "ok false"),
        ("local l", "err invalid-state"),
        ("bind l LOOPBACK:0", "ok"),
        ("local l", "ok LOOPBACK:port"),
        ("remote l", "err invalid-state"),
        ("listen l", "ok"),
        ("listening l", "ok true"),
        ("c=tcp FAMILY", "ok"),
        ("connect c @l", "ok"),
        ("local c", "ok LOOPBACK:port"),
        ("remote c", "ok @l"),
        ("listening c", "ok false"),
        ("s=accept l", "ok"),
        ("family s", "ok FAMILY"),
        ("remote s", "ok @c"),
        ("send c question", "ok"),
        ("receive s", "ok question"),
        ("send s answer", "ok"),
        ("receive c", "ok answer"),
    ]);
}

/// A connection between `c` and `s`, the latter accepted.
const CONNECTED: [(&str, &str); 6] = [
    ("l=tcp FAMILY", "ok"),
    ("bind l LOOPBACK:0", "ok"),
    ("listen l", "ok"),
    ("c=tcp FAMILY", "ok"),
    ("connect c @l", "ok"),
    ("s=accept l", "ok"),
];

fn check_connected(calls: &[(&str, &str)]) {
    check_families(&[&CONNECTED, calls].concat());
}

#[test]
fn each_direction_of_a_connection_ends_by_itself() {
    check_connected(&[
        ("send c last", "ok"),
        ("finish c", "ok"),
        ("receive s", "ok last"),
        ("receive s", "ok ended"),
        // The other direction goes on.
        ("send s still", "ok"),
        ("receive c", "ok still"),
        ("finish s", "ok"),
        ("receive c", "ok ended"),
    ]);
    check_connected(&[
        ("send s first", "ok"),
        ("receive c", "ok first"),
        ("finish s", "ok"),
        ("receive c", "ok ended"),
        ("send c still", "ok"),
        ("receive s", "ok still"),
        ("stop-receiving s", "ok"),
    ]);
}

#[test]
fn a_connection_has_one_stream_in_each_direction() {
    check_connected(&[
        ("send c text", "ok"),
        ("send-again c", "err invalid-state"),
        ("receive s", "ok text"),
        ("receive-again s", "err invalid-state"),
        // What was there before is untouched.
        ("send c more", "ok"),
        ("receive s", "ok more"),
    ]);
}

#[test]
fn streams_outlive_the_socket_they_came_from() {
    check_connected(&[
        ("send s before", "ok"),
        ("finish s", "ok"),
        ("drop s", "ok"),
        ("receive c", "ok before"),
        ("receive c", "ok ended"),
        ("drop l", "ok"),
        ("drop c", "ok"),
    ]);
}

#[test]
fn a_peer_that_is_gone_breaks_the_connection() {
    check_connected(&[
        ("send c unread", "ok"),
        // Closed with bytes unread: the peer is told by a reset.
        ("drop s", "ok"),
        ("receive c", "err connection-reset"),
        ("send c more", "err connection-broken or err connection-reset"),
    ]);
}

#[test]
fn tcp_refuses_what_its_state_does_not_allow() {
    check_families(&[
        ("l=tcp FAMILY", "ok"),
        ("send-again l", "err invalid-state"),
        ("receive-again l", "err invalid-state"),
        ("bind l LOOPBACK:0", "ok"),
        ("bind l LOOPBACK:0", "err invalid-state"),
        ("listen l", "ok"),
        ("listen l", "err invalid-state"),
        ("bind l LOOPBACK:0", "err invalid-state"),
        ("connect l LOOPBACK:1", "err invalid-state"),
        ("send-again l", "err invalid-state"),
        ("receive-again l", "err invalid-state"),
        ("other=tcp FAMILY", "ok"),
        ("bind other @l", "err address-in-use"),
        // A bind that failed may be tried again.
        ("bind other LOOPBACK:0", "ok"),
        ("c=tcp FAMILY", "ok"),
        ("connect c @l", "ok"),
        ("connect c @l", "err invalid-state"),
        ("bind c LOOPBACK:0", "err invalid-state"),
        ("listen c", "err invalid-state"),
    ]);
}

#[test]
fn listening_binds_by_itself() {
    check_families(&[
        ("l=tcp FAMILY", "ok"),
        ("listen l", "ok"),
        ("local l", "ok 0.0.0.0:port or ok [::]:port"),
    ]);
}

#[test]
fn addresses_must_make_sense() {
    let invalid = "err invalid-argument";
    check(
        ALL,
        &[
            ("four=tcp ipv4", "ok"),
            ("six=tcp ipv6", "ok"),
            ("bind four [::1]:0", invalid),
            ("bind six 127.0.0.1:0", invalid),
            ("bind six [::ffff:127.0.0.1]:0", invalid),
            ("bind four 224.0.0.1:0", invalid),
            ("bind four 255.255.255.255:0", invalid),
            ("bind six [ff02::1]:0", invalid),
            // Set aside for documentation, so no machine has it.
            ("bind four 192.0.2.1:0", "err address-not-bindable"),
            ("connect four [::1]:1", invalid),
            ("connect six 127.0.0.1:1", invalid),
            ("connect six [::ffff:127.0.0.1]:1", invalid),
            ("connect four 0.0.0.0:1", invalid),
            ("connect six [::]:1", invalid),
            ("connect four 127.0.0.1:0", invalid),
            ("connect four 224.0.0.1:1", invalid),
            ("u4=udp ipv4", "ok"),
            ("u6=udp ipv6", "ok"),
            ("bind u4 [::1]:0", invalid),
            ("bind u6 127.0.0.1:0", invalid),
            ("connect u4 [::1]:1", invalid),
            ("connect u4 0.0.0.0:1", invalid),
            ("connect u4 127.0.0.1:0", invalid),
            ("send-to u4 text [::1]:1", invalid),
            ("send-to u4 text 127.0.0.1:0", invalid),
            ("send-to u6 text [::ffff:127.0.0.1]:1", invalid),
        ],
    );
}

#[test]
fn a_closed_port_refuses() {
    // The port was free a moment ago, and nobody else here binds ports by number.
    let free = |address: &str| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    for (family, loopback) in FAMILIES {
        let address = free(&format!("{loopback}:0")).expect("loopback is there");
        check(
            ALL,
            &[
                (&format!("c=tcp {family}"), "ok"),
                (&format!("connect c {address}"), "err connection-refused"),
                // After a failed connect there is nothing left to do with a socket.
                (
                    &format!("connect c {address}"),
                    "err invalid-state or err connection-refused",
                ),
            ],
        );
    }
}

#[test]
fn tcp_options_are_kept() {
    let second = 1_000_000_000u64;
    let (idle, interval) = (30 * second, 5 * second);
    check_families(&[
        ("a=tcp FAMILY", "ok"),
        ("get a keep-alive-enabled", "ok false"),
        ("set a keep-alive-enabled true", "ok"),
        ("get a keep-alive-enabled", "ok true"),
        (&format!("set a keep-alive-idle-time {idle}"), "ok"),
        ("get a keep-alive-idle-time", &format!("ok {idle}")),
        (&format!("set a keep-alive-interval {interval}"), "ok"),
        ("get a keep-alive-interval", &format!("ok {interval}")),
        ("set a keep-alive-count 7", "ok"),
        ("get a keep-alive-count", "ok 7"),
        ("set a hop-limit 42", "ok"),
        ("get a hop-limit", "ok 42"),
        ("set a receive-buffer-size 65536", "ok"),
        ("get a receive-buffer-size", "ok 65536"),
        ("set a send-buffer-size 65536", "ok"),
        ("get a send-buffer-size", "ok 65536"),
        ("set a listen-backlog-size 10", "ok"),
        // Zero is the one value that none of them takes.
        ("set a keep-alive-idle-time 0", "err invalid-argument"),
        ("set a keep-alive-interval 0", "err invalid-argument"),
        ("set a keep-alive-count 0", "err invalid-argument"),
        ("set a hop-limit 0", "err invalid-argument"),
        ("set a receive-buffer-size 0", "err invalid-argument"),
        ("set a send-buffer-size 0", "err invalid-argument"),
        ("set a listen-backlog-size 0", "err invalid-argument"),
        // Others are brought into range.
        ("set a keep-alive-idle-time 1", "ok"),
        ("set a keep-alive-interval 18446744073709551615", "ok"),
        ("set a keep-alive-count 4294967295", "ok"),
        ("set a receive-buffer-size 18446744073709551615", "ok"),
        ("set a send-buffer-size 18446744073709551615", "ok"),
        ("set a listen-backlog-size 18446744073709551615", "ok"),
    ]);
}

#[test]
fn accepted_sockets_inherit_the_listeners_options() {
    let idle = 30_000_000_000u64;
    check_families(&[
        ("l=tcp FAMILY", "ok"),
        ("set l keep-alive-enabled true", "ok"),
        (&format!("set l keep-alive-idle-time {idle}"), "ok"),
        (&format!("set l keep-alive-interval {idle}"), "ok"),
        ("set l keep-alive-count 3", "ok"),
        ("set l hop-limit 42", "ok"),
        ("set l receive-buffer-size 65536", "ok"),
        ("set l send-buffer-size 65536", "ok"),
        ("bind l LOOPBACK:0", "ok"),
        ("listen l", "ok"),
        ("set l listen-backlog-size 20", "ok"),
        ("c=tcp FAMILY", "ok"),
        ("connect c @l", "ok"),
        ("s=accept l", "ok"),
        ("get s keep-alive-enabled", "ok true"),
        ("get s keep-alive-idle-time", &format!("ok {idle}")),
        ("get s keep-alive-interval", &format!("ok {idle}")),
        ("get s keep-alive-count", "ok 3"),
        ("get s hop-limit", "ok 42"),
        ("get s receive-buffer-size", "ok 65536"),
        ("get s send-buffer-size", "ok 65536"),
        ("set s listen-backlog-size 20", "err invalid-state"),
    ]);
}

#[test]
fn udp_carries_datagrams() {
    check_families(&[
        ("a=udp FAMILY", "ok"),
        ("b=udp FAMILY", "ok"),
        ("family a", "ok FAMILY"),
        ("local a", "err invalid-state"),
        ("remote a", "err invalid-state"),
        ("receive-from a", "err invalid-state"),
        ("bind a LOOPBACK:0", "ok"),
        ("bind a LOOPBACK:0", "err invalid-state"),
        ("bind b LOOPBACK:0", "ok"),
        ("local a", "ok LOOPBACK:port"),
        ("send-to a one @b", "ok"),
        ("send-to a two @b", "ok"),
        ("send-to a '' @b", "ok"),
        ("receive-from b", "ok one @a"),
        ("receive-from b", "ok two @a"),
        ("receive-from b", "ok '' @a"),
        ("send-to b *60000 @a", "ok"),
        ("receive-from a", "ok *60000 @b"),
        ("send-to a *70000 @b", "err datagram-too-large"),
        ("send-to a nowhere", "err invalid-argument"),
        ("c=udp FAMILY", "ok"),
        ("bind c @a", "err address-in-use"),
        // Sending binds by itself.
        ("send-to c implicit @a", "ok"),
        ("local c", "ok 0.0.0.0:port or ok [::]:port"),
    ]);
}

#[test]
fn udp_can_be_bound_to_one_peer() {
    check_families(&[
        ("a=udp FAMILY", "ok"),
        ("b=udp FAMILY", "ok"),
        ("stranger=udp FAMILY", "ok"),
        ("bind a LOOPBACK:0", "ok"),
        ("bind b LOOPBACK:0", "ok"),
        ("bind stranger LOOPBACK:0", "ok"),
        ("disconnect a", "err invalid-state"),
        ("connect a @b", "ok"),
        ("remote a", "ok @b"),
        ("send-to a connected", "ok"),
        ("receive-from b", "ok connected @a"),
        ("send-to a named @b", "ok"),
        ("receive-from b", "ok named @a"),
        ("send-to a elsewhere @stranger", "err invalid-argument"),
        ("send-to stranger unwanted @a", "ok"),
        ("send-to b wanted @a", "ok"),
        ("receive-from a", "ok wanted @b"),
        // The peer may change.
        ("connect a @stranger", "ok"),
        ("remote a", "ok @stranger"),
        ("send-to a second", "ok"),
        ("receive-from stranger", "ok second @a"),
        ("disconnect a", "ok"),
        ("remote a", "err invalid-state"),
        ("send-to a nowhere", "err invalid-argument"),
        ("disconnect a", "err invalid-state"),
    ]);
}

#[test]
fn udp_options_are_kept() {
    check_families(&[
        ("a=udp FAMILY", "ok"),
        ("set a unicast-hop-limit 42", "ok"),
        ("get a unicast-hop-limit", "ok 42"),
        ("set a receive-buffer-size 65536", "ok"),
        ("get a receive-buffer-size", "ok 65536"),
        ("set a send-buffer-size 65536", "ok"),
        ("get a send-buffer-size", "ok 65536"),
        ("set a unicast-hop-limit 0", "err invalid-argument"),
        ("set a receive-buffer-size 0", "err invalid-argument"),
        ("set a send-buffer-size 0", "err invalid-argument"),
        ("set a send-buffer-size 18446744073709551615", "ok"),
    ]);
}

/// A socket may be refused itself, or its first use.
#[test]
fn nothing_is_reached_without_permission() {
    let denied = "err access-denied";
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    let peer_address = peer.local_addr().expect("it is bound");
    // Set aside for documentation: no machine has it, and no name leads there.
    for flags in [[].as_slice(), &["--allow-net", "192.0.2.1"]] {
        check(
            flags,
            &[
                ("a=tcp ipv4", "ok or err access-denied"),
                ("bind a 127.0.0.1:0", denied),
                ("listen a", denied),
                ("b=tcp ipv4", "ok or err access-denied"),
                (&format!("connect b {address}"), denied),
                ("c=tcp ipv6", "ok or err access-denied"),
                ("connect c [::1]:1", denied),
                ("u=udp ipv4", "ok or err access-denied"),
                ("bind u 127.0.0.1:0", denied),
                (&format!("connect u {peer_address}"), denied),
                (&format!("send-to u text {peer_address}"), denied),
                ("resolve localhost", denied),
            ],
        );
    }
    listener.set_nonblocking(true).expect("a listener takes this option");
    assert!(listener.accept().is_err(), "somebody connected");
    peer.set_nonblocking(true).expect("a socket takes this option");
    assert!(peer.recv(&mut [0; 16]).is_err(), "a datagram came through");
}

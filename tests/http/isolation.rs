//! Which requests meet in one instance, and what one of them does to the others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{Server, eventually, finish, guest};

use crate::axes::{ALLOW_ALL, Isolation, Protocol};
use crate::client::Ask;
use crate::operator::{ADMIN, admin, metric};
use crate::witness::Witness;

/// What `http-state` says of its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    instance: String,
    request: u64,
    at_once: u64,
}

fn state(reply: &Reply) -> State {
    let text = reply.text();
    let words: Vec<_> = text.split(' ').collect();
    let ["instance", instance, "request", request, "at-once", at_once] = words[..] else {
        panic!("not a state: {text}");
    };
    State {
        instance: instance.to_owned(),
        request: request.parse().expect("a number"),
        at_once: at_once.parse().expect("a number"),
    }
}

/// All of them, started together. Who is told that there is too much to do asks again: a machine may be busy.
fn at_once(count: usize, addr: SocketAddr, ask: &Ask, protocol: Protocol) -> Vec<JoinHandle<Result<Reply, String>>> {
    (0..count)
        .map(|_| {
            let ask = ask.clone();
            thread::spawn(move || ask.try_patiently_over(protocol, addr))
        })
        .collect()
}

fn replies(asking: Vec<JoinHandle<Result<Reply, String>>>) -> Vec<Result<Reply, String>> {
    asking
        .into_iter()
        .map(|asking| asking.join().expect("asking does not panic"))
        .collect()
}

fn states(asking: Vec<JoinHandle<Result<Reply, String>>>) -> Vec<State> {
    replies(asking)
        .iter()
        .map(|reply| state(reply.as_ref().expect("an answer")))
        .collect()
}

fn instances(states: &[State]) -> usize {
    states
        .iter()
        .map(|state| &state.instance)
        .collect::<BTreeSet<_>>()
        .len()
}

#[test]
fn request_gives_each_request_an_instance() {
    let server = Isolation::Request.serve("http-state", &[]);
    for protocol in Protocol::ALL {
        let hold = Ask::get("/?hold=300");
        let mut seen = states(at_once(20, server.addr(), &hold, protocol));
        for _ in 0..10 {
            seen.push(state(&Ask::get("/").over(protocol, server.addr())));
        }
        assert_eq!(instances(&seen), 30, "{protocol:?}");
        assert!(
            seen.iter().all(|state| state.request == 1 && state.at_once == 1),
            "{protocol:?}: {seen:?}"
        );
    }
}

#[test]
fn serial_keeps_instances_and_gives_them_one_request_at_a_time() {
    let server = Isolation::Serial.serve("http-state", &[]);
    for protocol in Protocol::ALL {
        let seen: Vec<_> = (0..10)
            .map(|_| state(&Ask::get("/").over(protocol, server.addr())))
            .collect();
        assert!(instances(&seen) < 10, "{protocol:?}: none was kept: {seen:?}");
        // As long as a busy machine takes to begin all of them.
        let hold = Ask::get("/?hold=2000");
        let together = states(at_once(20, server.addr(), &hold, protocol));
        assert_eq!(instances(&together), 20, "{protocol:?}: two met: {together:?}");
        assert!(
            together.iter().all(|state| state.at_once == 1),
            "{protocol:?}: {together:?}"
        );
    }
}

/// However long a server runs, what a guest leaks goes away with its instance.
#[test]
fn serial_keeps_an_instance_for_a_bounded_number_of_requests() {
    let server = Isolation::Serial.serve("http-state", &[]);
    let mut connection = Connection::open(server.addr());
    let mut most = 0;
    for _ in 0..20_000 {
        connection.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let state = state(&connection.reply());
        if state.request == 1 && most > 0 {
            return;
        }
        most = most.max(state.request);
    }
    panic!("an instance answered {most} requests and is still there");
}

#[test]
fn shared_lets_requests_meet() {
    let server = Isolation::Shared.serve("http-state", &[]);
    for protocol in Protocol::ALL {
        let hold = Ask::get("/?hold=500");
        let seen = states(at_once(20, server.addr(), &hold, protocol));
        assert!(instances(&seen) < 20, "{protocol:?}: none met: {seen:?}");
        let most = seen.iter().map(|state| state.at_once).max();
        assert!(most > Some(1), "{protocol:?}: {seen:?}");
    }
}

/// What a component for 0.3 gets unless another isolation is asked for.
#[test]
fn serial_is_the_default() {
    let server = Server::start("http-state", &[]);
    let seen: Vec<_> = (0..10).map(|_| state(&get(server.addr(), "/"))).collect();
    assert!(instances(&seen) < 10, "none was kept: {seen:?}");
    let together = states(at_once(10, server.addr(), &Ask::get("/?hold=300"), Protocol::Http1));
    assert!(together.iter().all(|state| state.at_once == 1), "two met: {together:?}");
}

/// A request that fails, beside many that do not.
struct Failure {
    guest: &'static str,
    /// Fails.
    path: &'static str,
    /// Does not, and is under way when the other fails.
    healthy: &'static str,
    flags: &'static [&'static str],
}

const FAILURES: [Failure; 6] = [
    Failure {
        guest: "http-trap",
        path: "/?at=before-head",
        healthy: "/?hold=1500",
        flags: &[],
    },
    Failure {
        guest: "http-trap",
        path: "/?at=in-body",
        healthy: "/?hold=1500",
        flags: &[],
    },
    Failure {
        guest: "http-trap",
        path: "/?at=after-response",
        healthy: "/?hold=1500",
        flags: &[],
    },
    Failure {
        guest: "http-loop",
        path: "/?at=handler",
        healthy: "/?hold=1500",
        flags: &["--max-cpu-time", "2s"],
    },
    Failure {
        guest: "http-loop",
        path: "/?at=body",
        healthy: "/?hold=1500",
        flags: &["--max-cpu-time", "2s"],
    },
    Failure {
        guest: "http-memory",
        path: "/?mode=abort",
        healthy: "/?hold=1500",
        flags: &[],
    },
];

/// No healthy request notices, however another one fails.
#[test]
fn failures_touch_nobody_else() {
    for Failure {
        guest,
        path,
        healthy,
        flags,
    } in FAILURES
    {
        for isolation in Isolation::APART {
            let server = isolation.serve(guest, flags);
            let addr = server.addr();
            for protocol in Protocol::ALL {
                let asking = at_once(50, addr, &Ask::get(healthy), protocol);
                let failing = at_once(5, addr, &Ask::get(path), protocol);
                for reply in replies(asking) {
                    let status = reply.as_ref().map(|reply| reply.status);
                    assert_eq!(
                        status,
                        Ok(200),
                        "{isolation:?} {protocol:?} beside {guest}{path}: {reply:?}"
                    );
                }
                let failed = replies(failing);
                if path != "/?at=after-response" {
                    let whole = failed
                        .iter()
                        .filter(|reply| reply.as_ref().is_ok_and(|reply| reply.status == 200));
                    assert_eq!(whole.count(), 0, "{isolation:?} {protocol:?} {guest}{path}: {failed:?}");
                }
            }
        }
    }
}

/// In a shared instance a trap ends the others' instance. Those that can be asked again are, elsewhere.
#[test]
fn shared_asks_again_for_neighbours_of_a_trap() {
    let server = Isolation::Shared.serve("http-trap", &[]);
    let addr = server.addr();
    for protocol in Protocol::ALL {
        let asking = at_once(10, addr, &Ask::get("/?hold=2000"), protocol);
        thread::sleep(Duration::from_millis(700));
        assert_eq!(get(addr, "/?at=before-head").status, 502);
        for reply in replies(asking) {
            let text = reply.as_ref().map(Reply::text);
            assert_eq!(
                text.as_deref(),
                Ok("first half, second half"),
                "{protocol:?}: {reply:?}"
            );
        }
    }
}

/// What has content, or has begun to be answered, is not asked again: nobody knows what was done for it.
#[test]
fn shared_does_not_repeat_what_may_have_been_done() {
    let server = Isolation::Shared.serve("http-trap", &[&ADMIN[..], &["--timeout", "15m"]].concat());
    let (addr, admin) = (server.addr(), admin(&server));
    for protocol in Protocol::ALL {
        // Held until the trap.
        let posting = at_once(5, addr, &Ask::post("/?hold=600000", "content"), protocol);
        let mut begun = Connection::open(addr);
        begun.send("GET /?at=in-body&hold=600000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(begun.head().status(), 200);
        eventually(|| metric(admin, "wharf_requests") == Some(6.0), "all have begun");
        thread::sleep(Duration::from_millis(700));
        assert_eq!(get(addr, "/?at=before-head").status, 502);
        for reply in replies(posting) {
            let status = reply.as_ref().map(|reply| reply.status);
            assert_eq!(status, Ok(502), "{protocol:?}: {reply:?}");
        }
        assert!(
            begun.try_body().is_err(),
            "{protocol:?}: an answer that breaks off looks whole"
        );
    }
}

/// A component that always traps is not asked for ever.
#[test]
fn asking_again_has_an_end() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-trap", &[]);
        let asking = at_once(
            10,
            server.addr(),
            &Ask::get("/?at=before-head&hold=100"),
            Protocol::Http1,
        );
        for reply in replies(asking) {
            let status = reply.as_ref().map(|reply| reply.status);
            assert_eq!(status, Ok(502), "{isolation:?}: {reply:?}");
        }
        assert_eq!(get(server.addr(), "/").status, 200, "{isolation:?}");
    }
}

/// A trap in what goes on after the answer does not reach back into it.
#[test]
fn an_answer_that_was_given_stays_given() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-trap", &[]);
        for _ in 0..5 {
            let reply = get(server.addr(), "/?at=after-response&hold=50");
            assert_eq!(reply.text(), "first half, second half", "{isolation:?}");
        }
        server.says("wharf_test_trap_here");
        assert_eq!(get(server.addr(), "/").status, 200, "{isolation:?}");
    }
}

/// Neighbours of one that takes all the memory it can get.
#[test]
fn memory_has_a_limit() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-memory", &[]);
        let before = server.resident_bytes();
        let grown = get(server.addr(), "/?mode=grow");
        let pages: u64 = grown
            .text()
            .strip_prefix("grew by ")
            .and_then(|rest| rest.strip_suffix(" pages"))
            .and_then(|pages| pages.parse().ok())
            .unwrap_or_else(|| panic!("{isolation:?}: {}", grown.text()));
        // An address space of 4 GiB is 65,536 pages: a guest that gets nearly all of it has no limit.
        assert!(pages < 60_000, "{isolation:?}: {pages} pages");
        assert_eq!(get(server.addr(), "/?mode=abort").status, 502, "{isolation:?}");
        assert_eq!(
            get(server.addr(), "/?mode=take&mib=8").text(),
            "took 8 MiB",
            "{isolation:?}"
        );
        let grew_by = server.resident_bytes().saturating_sub(before);
        assert!(
            grew_by < 2 << 30,
            "{isolation:?}: the server holds {grew_by} bytes more"
        );
    }
}

/// What the host keeps for a guest counts too: a guest's memory is not to be had outside of it.
#[test]
fn memory_kept_by_the_host_has_a_limit() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-memory", &["--max-memory", "32MiB"]);
        assert_eq!(get(server.addr(), "/").status, 200);
        let before = server.resident_bytes();
        let kept = get(server.addr(), "/?mode=fields");
        let kib: u64 = kept
            .text()
            .strip_prefix("kept ")
            .and_then(|rest| rest.strip_suffix(" KiB of fields: HeaderError::SizeExceeded"))
            .and_then(|kib| kib.parse().ok())
            .unwrap_or_else(|| panic!("{isolation:?}: {}", kept.text()));
        assert!((16 << 10..=32 << 10).contains(&kib), "{isolation:?}: {kib} KiB");
        let grew_by = server.resident_bytes().saturating_sub(before);
        assert!(
            grew_by < 128 << 20,
            "{isolation:?}: the server holds {grew_by} bytes more"
        );
        assert_eq!(get(server.addr(), "/").status, 200);
    }
}

/// An app of several components takes the place of several; who finds none waits for it.
#[test]
fn composed_apps_wait_for_their_places() {
    let (inner, outer) = (guest("http-middleware-inner"), guest("http-middleware-outer"));
    let (inner, outer) = (inner.display().to_string(), outer.display().to_string());
    let chain = ["--middleware", &inner, "--middleware", &outer, "--middleware", &outer];
    for isolation in Isolation::ALL {
        let flags = [&chain[..], &["--max-instances", "4", "--queue-timeout", "60s"]].concat();
        let server = isolation.serve("http-slow", &flags);
        for reply in replies(at_once(20, server.addr(), &Ask::get("/?delay=200"), Protocol::Http1)) {
            let status = reply.as_ref().map(|reply| reply.status);
            assert_eq!(status, Ok(200), "{isolation:?}: {reply:?}\n{}", server.log());
        }
    }
    let flags = [&chain[..], &["--max-instances", "1"]].concat();
    let refused = finish(&mut Server::command("http-slow", &flags), "");
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("count as 2 instances"), "{}", refused.stderr);
}

/// What a board with 39 bits of addresses has is too little for a pool, and enough for as many requests.
#[cfg(target_os = "linux")]
#[test]
fn little_address_space() {
    const KIB: u64 = (1 << 39) / 1024;
    for isolation in Isolation::ALL {
        let flags = ["--isolation", isolation.flag(), "--log", "info"];
        let server = Server::spawn(limited(KIB, &Server::command("http-memory", &flags)));
        server.says("too little address space");
        let taking = at_once(
            20,
            server.addr(),
            &Ask::get("/?mode=take&mib=20&hold=500"),
            Protocol::Http1,
        );
        for reply in replies(taking) {
            let text = reply.as_ref().map(Reply::text);
            assert_eq!(text.as_deref(), Ok("took 20 MiB"), "{isolation:?}: {reply:?}");
        }
        // Each of them would have 4 GiB to itself elsewhere, 800 GiB together.
        let holding = at_once(200, server.addr(), &Ask::get("/?hold=2000"), Protocol::Http1);
        for reply in replies(holding) {
            let status = reply.as_ref().map(|reply| reply.status);
            assert_eq!(status, Ok(200), "{isolation:?}: {reply:?}");
        }
    }
}

/// The command with so much address space and no more.
#[cfg(target_os = "linux")]
fn limited(kib: u64, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

/// A call that an instance left open when its request was answered does not outlive the instance unnoticed.
#[test]
fn instances_do_not_see_each_others_calls() {
    for isolation in Isolation::APART {
        let witness = Witness::start();
        let server = isolation.serve("http-slow", &ALLOW_ALL);
        let path = format!("/?delay=300&outgoing={}", witness.url("/hang"));
        assert_eq!(get(server.addr(), &path).text(), "done", "{isolation:?}");
        eventually(|| witness.open("/hang") == 0, "the call that was given up to be closed");
    }
}

//! Limits of what requests take of guests, and guests of the machine.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wharf_tests::http::get;
use wharf_tests::{Scratch, Server, eventually, guest};

use super::{Counted, GET, Gate, Limited, Outcome, TO_THE_GATE, Told, check_refused};
use crate::operator::{ADMIN, admin, metric, reached_by};
use crate::witness::Witness;

pub fn requests_at_a_time() -> Outcome {
    let gate = Gate::closed();
    let limited = Limited::serve("http-outgoing", "requests = 1", TO_THE_GATE);
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    let refused = limited.send(GET);
    check_refused(&refused);
    let id = refused.header("wharf-error-id").expect("it has an id");
    limited.server.says(id);
    gate.open();
    assert_eq!(first.reply().status, 200);
    let counted = limited.check_reached("requests", 1.0);
    (counted, Told::Status(503))
}

pub fn requests_of_an_app_at_a_time_and_its_queue() -> Outcome {
    let counted = ["request", "serial", "shared"].map(|isolation| {
        let gate = Gate::closed();
        let app = format!("requests = 1\nqueue = 1\nqueue-time = '10m'\n{TO_THE_GATE}");
        let limited = Limited::isolated("http-outgoing", isolation, "", &app);
        let held = || {
            let mut connection = limited.open();
            connection.send(gate.request());
            connection
        };
        let mut first = held();
        limited.has_begun(1);
        let mut second = held();
        limited.waits(1);
        check_refused(&held().reply());
        gate.open();
        assert_eq!((first.reply().status, second.reply().status), (200, 200), "{isolation}");
        // Who is refused has found all taken as well.
        eventually(|| reached_by(limited.admin, "main", "requests") == Some(2.0), isolation);
        limited.check_reached("queue", 1.0)
    });
    let [counted, ..] = counted;
    (counted, Told::Status(503))
}

/// Who comes into an empty queue waits for as long as it allows, and no longer.
pub fn time_in_the_queue() -> Outcome {
    let gate = Gate::closed();
    let app = format!("requests = 1\nqueue-time = '400ms'\n{TO_THE_GATE}");
    let limited = Limited::serve("http-outgoing", "", &app);
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    let begun = Instant::now();
    check_refused(&limited.send(GET));
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    let counted = limited.check_reached("queue-time", 1.0);
    gate.open();
    assert_eq!(first.reply().status, 200);
    (counted, Told::Status(503))
}

/// A queue that does not empty tells the surplus at once, however long a burst may wait.
#[test]
fn a_standing_queue() {
    let gate = Gate::closed();
    // Longer than anything is waited for here.
    let app = format!("requests = 1\nqueue-time = '10m'\nresponse-time = '10m'\n{TO_THE_GATE}");
    let limited = Limited::serve("http-outgoing", "", &app);
    let held = || {
        let mut connection = limited.open();
        connection.send(gate.request());
        connection
    };
    let mut burst = [held(), held()];
    limited.waits(1);
    // Four times as long as a burst may take.
    std::thread::sleep(Duration::from_millis(1000));
    check_refused(&held().reply());
    limited.check_reached("queue-time", 1.0);
    gate.open();
    assert_eq!(burst.each_mut().map(|connection| connection.reply().status), [200, 200]);
}

pub fn time_until_the_response() -> Outcome {
    let limited = Limited::serve("http-slow", "", "response-time = '500ms'");
    assert_eq!(
        limited.send("GET /?delay=5000 HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        504
    );
    let counted = limited.check_reached("response-time", 1.0);
    (counted, Told::Status(504))
}

/// It begins with the request, and not with the guest: a body that drips is part of the wait.
#[test]
fn time_until_the_response_of_a_body_that_drips() {
    let limited = Limited::serve("http-upload", "", "response-time = '1s'");
    let mut connection = limited.open();
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\n");
    let mut dripping = connection.stream().try_clone().expect("a socket can be cloned");
    let dripper = std::thread::spawn(move || {
        // All of it is there after ten seconds.
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            if dripping.write_all(b"x").is_err() {
                return;
            }
        }
    });
    assert_eq!(connection.reply().status, 408);
    limited.check_reached("response-time", 1.0);
    drop(connection);
    dripper.join().expect("it only writes");
}

/// What the body took is not given to the guest on top.
#[test]
fn time_that_the_body_took_is_gone() {
    let limited = Limited::serve("http-slow", "", "response-time = '15s'");
    let mut connection = limited.open();
    connection.send("POST /?delay=14000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nx");
    std::thread::sleep(Duration::from_secs(4));
    connection.send("y");
    assert_eq!(connection.reply().status, 504);
    limited.check_reached("response-time", 1.0);
}

/// Guests that compute, and more of them than there are processors for: the surplus is told, and a neighbour is not held up.
pub fn load() -> Outcome {
    let scratch = Scratch::new();
    let manifest = format!(
        "[apps.busy]\ncomponent = '{}'\nroutes = [{{ path = '/cpu' }}]\n[apps.calm]\ncomponent = '{}'\nroutes = [{{ path = '/calm' }}]\n",
        guest("bench").display(),
        guest("http-hello").display()
    );
    let server = Server::start(scratch.write("wharf.toml", format!("[server]\n{manifest}")), &ADMIN);
    let admin = admin(&server);
    let addr = server.addr();
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let reply = get(addr, "/cpu/20000000");
                    match reply.status {
                        200 => {}
                        503 => {
                            assert_eq!(reply.header("retry-after"), Some("1"));
                            refused.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        status => panic!("{status} {}", reply.text()),
                    }
                }
            });
        }
        // Ends the others also where this fails.
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(|| refused.load(Ordering::Relaxed) > 0, "somebody is refused");
            assert!(
                (0..20).all(|_| get(addr, "/calm").status == 200),
                "the neighbour answers"
            );
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = looked {
            std::panic::resume_unwind(panic);
        }
    });
    let refused = refused.load(Ordering::Relaxed) as f64;
    let counted = Counted::times(&server, admin, "load", |times| times >= refused);
    server.says("there is more to do than can be done");
    assert_eq!(
        metric(admin, "wharf_responses_total{app=\"calm\",class=\"5xx\"}"),
        Some(0.0)
    );
    (counted, Told::Status(503))
}

pub fn processor_time() -> Outcome {
    let limited = Limited::serve("http-loop", "", "cpu-time = '200ms'");
    assert_eq!(
        limited.send("GET /?at=handler HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        504
    );
    let counted = limited.check_reached("cpu-time", 1.0);
    (counted, Told::Status(504))
}

pub fn memory() -> Outcome {
    let limited = Limited::serve("http-memory", "", "memory = '8MiB'");
    assert_eq!(
        limited.send("GET /?mode=abort HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        502
    );
    let counted = limited.check_reached("memory", 1.0);
    (counted, Told::Status(502))
}

/// An instance that has answered so often makes way for a fresh one.
#[test]
fn requests_of_an_instance() {
    let limited = Limited::serve("http-state", "", "reuse = 3");
    let numbers: Vec<String> = (0..7)
        .map(|_| {
            limited
                .send(GET)
                .text()
                .split(' ')
                .nth(3)
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(numbers, ["1", "2", "3", "1", "2", "3", "1"]);
}

/// An instance without work is kept for as long as its app says.
#[test]
fn time_of_an_instance_without_work() {
    let idle = "wharf_instances_idle{app=\"main\"}";
    for (time, is_kept) in [("'200ms'", false), ("'1h'", true)] {
        let limited = Limited::serve("http-state", "", &format!("idle-time = {time}"));
        assert_eq!(limited.send(GET).status, 200);
        match is_kept {
            false => eventually(|| metric(limited.admin, "wharf_instances") == Some(0.0), "it goes"),
            true => {
                // The default would be over by then.
                std::thread::sleep(Duration::from_secs(14));
                assert_eq!(metric(limited.admin, idle), Some(1.0));
            }
        }
    }
}

/// Past it requests wait, however many may be under way.
pub fn instances_at_a_time() -> Outcome {
    // As one of the server's limits, and as the app's own, which is counted with its requests.
    let cases = [("", "instances = 1", "requests"), ("instances = 1", "", "instances")];
    let counted = cases.map(|(server, app, limit)| {
        let gate = Gate::closed();
        let limited = Limited::serve(
            "http-outgoing",
            server,
            &format!("{app}\nqueue-time = '10m'\n{TO_THE_GATE}"),
        );
        let mut both = [(); 2].map(|()| {
            let mut connection = limited.open();
            connection.send(gate.request());
            connection
        });
        limited.waits(1);
        assert_eq!(metric(limited.admin, "wharf_instances"), Some(1.0), "{server}{app}");
        gate.open();
        assert_eq!(both.each_mut().map(|connection| connection.reply().status), [200, 200]);
        Counted::unsaid(limited.admin, limit, |times| times == 1.0)
    });
    let [_, counted] = counted;
    (counted, Told::Nothing)
}

/// Calls of guests past it wait for one another.
pub fn connections_of_outgoing_calls() -> Outcome {
    let witness = Witness::start();
    let limited = Limited::serve(
        "http-outgoing",
        "",
        "[apps.main.http-client]\nallow = ['*']\nconnections = 1",
    );
    let reply = get(limited.server.addr(), &format!("/?n=20&url={}", witness.url("/ok")));
    let answered = reply
        .text()
        .lines()
        .filter(|line| line.starts_with("status 200 "))
        .count();
    assert_eq!((answered, witness.accepted()), (20, 1), "{}", reply.text());
    let counted = Counted::unsaid(limited.admin, "http-client-connections", |times| times >= 1.0);
    (counted, Told::Nothing)
}

/// Who is slow to send content has three quarters of what there is for requests; others do not wait for it.
#[test]
fn uploads_leave_room() {
    const CONTENT: usize = 100_000;
    let limited = Limited::serve("http-upload", "", "requests = 4\nqueue-time = '10m'");
    let upload = || {
        let mut connection = limited.open();
        connection.send(format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {CONTENT}\r\n\r\n"
        ));
        connection
    };
    let _stalled = [(); 3].map(|()| upload());
    limited.has_begun(3);
    let mut fourth = upload();
    limited.has_begun(4);
    for _ in 0..5 {
        assert_eq!(limited.send(GET).status, 200);
    }
    // It has sent nothing: the others are not to make room for it.
    let waiting = "wharf_requests_waiting{app=\"main\"}";
    assert_eq!(metric(limited.admin, waiting), Some(0.0));
    fourth.send(vec![b'x'; CONTENT]);
    assert_eq!(fourth.reply().status, 200);
    assert_eq!(reached_by(limited.admin, "", "slow-clients"), Some(1.0));
}

/// Past it calls of guests to one origin wait for one another, however many there may be to all.
pub fn connections_of_outgoing_calls_to_one_origin() -> Outcome {
    let witness = Witness::start();
    let limited = Limited::serve(
        "http-outgoing",
        "",
        "[apps.main.http-client]\nallow = ['*']\nconnections-per-origin = 2",
    );
    let reply = get(limited.server.addr(), &format!("/?n=20&url={}", witness.url("/ok")));
    assert_eq!(reply.text().matches("status 200 ").count(), 20, "{}", reply.text());
    assert!(witness.accepted() <= 2, "{}", witness.accepted());
    let counted = Counted::unsaid(limited.admin, "http-client-connections-per-origin", |times| {
        times >= 1.0
    });
    assert_eq!(reached_by(limited.admin, "main", "http-client-connections"), Some(0.0));
    (counted, Told::Nothing)
}

/// Of one guest's five calls one is under way and one waits; there is no room for the others.
pub fn outgoing_calls_that_wait() -> Outcome {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "",
        &format!("{TO_THE_GATE}connections-per-origin = 1\nwaiting-per-origin = 1"),
    );
    let mut asking = limited.open();
    asking.send(gate.requests(5));
    let counted = Counted::unsaid(limited.admin, "http-client-waiting-per-origin", |times| times == 3.0);
    gate.open();
    let text = asking.reply().text();
    let count = |begins: &str| text.lines().filter(|line| line.starts_with(begins)).count();
    assert_eq!(
        (count("status 200 "), count("error ErrorCode::ConnectionLimitReached")),
        (2, 3),
        "{text}"
    );
    (counted, Told::Nothing)
}

/// Work that a guest goes on with after its response ends with its instance.
pub fn time_for_work_after_the_response() -> Outcome {
    let witness = Witness::start();
    let limited = Limited::serve(
        "http-background",
        "",
        "background-time = '300ms'\n[apps.main.http-client]\nallow = ['*']",
    );
    let path = format!("/?body=closed&delay=60000&report={}", witness.url("/report"));
    assert_eq!(get(limited.server.addr(), &path).status, 200);
    let counted = limited.check_reached("background-time", 1.0);
    limited.server.says("guest failed after its response");
    eventually(
        || metric(limited.admin, "wharf_instances") == Some(0.0),
        "its instance is gone",
    );
    assert!(witness.reports().is_empty(), "it has not come to its end");
    (counted, Told::Nothing)
}

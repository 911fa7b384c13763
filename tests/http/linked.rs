//! Components with instances of their own, as those see them who link to them.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::thread;

use wharf_tests::http::{Connection, Reply, get, post};
use wharf_tests::{Scratch, Server, eventually, finish, guest, wharf};

use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric};

/// An app whose component `caller` links to `store`, which has an instance of its own.
struct Site {
    server: Server,
    admin: SocketAddr,
    scratch: Scratch,
}

impl Site {
    fn serve(isolation: Isolation) -> Self {
        Self::serve_app(&app(isolation, "own", ""))
    }

    /// A caller with a store that has an instance of its own, which it reaches itself and by way of a relay.
    fn relayed(relay: &str) -> Self {
        Self::serve_app(&format!(
            "name = 'wharf'\nroutes = [{{ path = '/', component = 'caller' }}]\nisolation = 'request'\n\
             [components.caller]\nfile = 'relayed.wasm'\n\
             links = {{ 'acme:store/store' = 'store', 'acme:store/relayed' = 'relay' }}\n\
             [components.relay]\nfile = 'relay.wasm'\ninstance = '{relay}'\nlinks = {{ 'acme:store/store' = 'store' }}\n\
             [components.store]\nfile = 'store.wasm'\ninstance = 'own'\n"
        ))
    }

    fn serve_app(app: &str) -> Self {
        let scratch = components();
        let manifest = scratch.write("wharf.toml", app);
        let server = Server::start(manifest, &[&ADMIN[..], &["--log", "debug"]].concat());
        let admin = admin(&server);
        Self { server, admin, scratch }
    }

    fn get(&self, query: &str) -> Reply {
        get(self.server.addr(), &format!("/?call={query}"))
    }

    #[track_caller]
    fn text(&self, query: &str) -> String {
        let reply = self.get(query);
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        reply.text().to_owned()
    }

    fn counted(&self, name: &str) -> f64 {
        metric(
            self.admin,
            &format!("wharf_linked_{name}{{app=\"wharf\",component=\"store\"}}"),
        )
        .unwrap_or(-1.0)
    }

    fn reload(&self) {
        let name = "wharf_reloads_total{outcome=\"taken\"}";
        let before = metric(self.admin, name).unwrap_or(0.0);
        let pid = rustix::process::Pid::from_raw(self.server.pid() as i32).expect("a process has a number");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
        eventually(|| metric(self.admin, name).unwrap_or(0.0) > before, "a reload is taken");
    }
}

/// A folder with all that an app here is made of.
fn components() -> Scratch {
    let scratch = Scratch::new();
    for name in ["caller", "store", "relay", "relayed", "watcher"] {
        let file = scratch.join(name).with_extension("wasm");
        fs::copy(guest(&format!("linked-{name}")), file).expect("a guest can be copied");
    }
    scratch
}

fn app(isolation: Isolation, instance: &str, more: &str) -> String {
    format!(
        "name = 'wharf'\nroutes = [{{ path = '/', component = 'caller' }}]\nisolation = '{}'\n\
         [components.caller]\nfile = 'caller.wasm'\nlinks = {{ 'acme:store/store' = 'store' }}\n\
         [components.store]\nfile = 'store.wasm'\ninstance = '{instance}'\n{more}",
        isolation.flag()
    )
}

/// The instance that a text of `about` names, and its calls.
fn about(text: &str) -> (&str, u32) {
    let words: Vec<_> = text.split(' ').collect();
    let at = words
        .iter()
        .position(|word| *word == "instance")
        .expect("it names its instance");
    (words[at + 1], words[at + 3].parse().expect("it counts its calls"))
}

#[test]
fn what_it_keeps_outlives_requests() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        assert_eq!(site.text("get&key=a"), "None", "{isolation:?}");
        assert_eq!(site.text("set&key=a&value=1"), "set", "{isolation:?}");
        assert_eq!(site.text("get&key=a"), "Some(\"1\")", "{isolation:?}");
        let (first, second) = (site.text("about"), site.text("about"));
        assert_eq!(about(&first).0, about(&second).0, "{isolation:?}: one instance");
        assert_eq!((about(&first).1, about(&second).1), (1, 2), "{isolation:?}");
        assert_eq!(site.counted("calls_total"), 5.0, "{isolation:?}");
        assert_eq!(site.counted("starts_total"), 1.0, "{isolation:?}");
    }
}

/// Beside it, a joined one loses with each request what it keeps.
#[test]
fn joined_components_keep_nothing() {
    let site = Site::serve_app(&app(Isolation::Request, "joined", ""));
    assert_eq!(site.text("set&key=a&value=1"), "set");
    assert_eq!(site.text("get&key=a"), "None");
}

#[test]
fn values_of_all_types_cross() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        let expected = "[\"a=[0, 255][\\\"ä\\\", \\\"\\\"]\", \"=[0, 255][\\\"ä\\\", \\\"\\\"]\"] Modes(SAFE) (0.5, 'ß') \
                        Some(Err(Failure::Unavailable(\"why\")))";
        assert_eq!(site.text("mirror"), expected, "{isolation:?}");
    }
}

#[test]
fn calls_are_taken_side_by_side() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        let texts: Vec<_> = thread::scope(|scope| {
            let calls: Vec<_> = (0..10).map(|_| scope.spawn(|| site.text("about&hold=300"))).collect();
            calls
                .into_iter()
                .map(|call| call.join().expect("it is answered"))
                .collect()
        });
        assert!(
            texts.iter().any(|text| text.ends_with("at-once 10")),
            "{isolation:?}: {texts:?}"
        );
    }
}

#[test]
fn resources_are_used_and_let_go_of() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        assert_eq!(site.text("cursors"), "10 10 9", "{isolation:?}");
        assert_eq!(site.text("open&count=0"), "Failure::NotFound", "{isolation:?}");
        for then in ["drop", "leak", "trap"] {
            let reply = site.get(&format!("open&count=100&then={then}"));
            let expected = if then == "trap" { 502 } else { 200 };
            assert_eq!(reply.status, expected, "{isolation:?}, {then}: {}", reply.text());
        }
        // A leak lasts as long as the caller's instance.
        let held = if isolation == Isolation::Request { 0.0 } else { 100.0 };
        let left = |most: f64| {
            site.counted("resources") <= most && site.text("live") == format!("{}", site.counted("resources"))
        };
        eventually(|| left(held), &format!("{isolation:?}: what nobody holds is dropped"));
    }
}

/// Of two interfaces of one component, by two links.
#[test]
fn interfaces_have_resources_in_common() {
    let site = Site::serve_app(
        "name = 'wharf'\nroutes = [{ path = '/', component = 'watcher' }]\n\
         [components.watcher]\nfile = 'watcher.wasm'\n\
         links = { 'acme:store/store' = 'store', 'acme:store/watch' = 'store' }\n\
         [components.store]\nfile = 'store.wasm'\ninstance = 'own'\n",
    );
    assert_eq!(site.text(""), "7");
    let checked = finish(wharf().arg("check").arg(site.scratch.path()), "");
    assert_eq!(checked.code(), Some(0), "{checked:?}");
}

/// A trap there is an error here, of the kind that the function's type has; the next call finds a new instance.
#[test]
fn failures_are_errors_of_the_call() {
    let limits = "[limits]\ncpu-time = '500ms'\nmemory = '64MiB'\n";
    for isolation in Isolation::ALL {
        let site = Site::serve_app(&app(isolation, "own", limits));
        let mut failures = 0.0;
        for how in ["trap", "loop", "memory"] {
            for (call, begin) in [
                ("text", "Err(\"the linked component "),
                ("case", "Err(Failure::Unavailable(\"the linked component "),
                ("name", "Err(Trouble { code: 1, name: \"internal\""),
                ("bare", "Err(())"),
            ] {
                site.text("set&key=a&value=1");
                let text = site.text(&format!("{call}&how={how}"));
                assert!(text.starts_with(begin), "{isolation:?} {call} {how}: {text}");
                // A line break would be `\\n` here: where in the guest it happened is for the log.
                let has_place = text.contains("backtrace") || text.contains("\\n");
                assert!(!has_place, "{isolation:?} {call} {how}: {text}");
                assert_eq!(
                    site.text("get&key=a"),
                    "None",
                    "{isolation:?} {call} {how}: a new instance"
                );
                failures += 1.0;
                assert_eq!(site.counted("failures_total"), failures, "{isolation:?} {call} {how}");
            }
        }
        // Without a word for it, the caller fails as if both were one.
        let reply = site.get("plain&how=trap");
        assert_eq!(reply.status, 502, "{isolation:?}: {}", reply.text());
        assert_eq!(site.text("plain&how=well"), "7", "{isolation:?}");
        site.server.says("a linked component's instance ended");
        site.server.says("this was asked for");
    }
}

/// Others who wait when an instance ends get the error as well, and nobody waits for ever.
#[test]
fn all_who_wait_learn_of_the_end() {
    let site = Site::serve(Isolation::Serial);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| site.get("about&hold=60000").status))
            .collect();
        eventually(|| site.counted("calls_total") >= 5.0, "they wait");
        assert!(site.text("text&how=trap").starts_with("Err"));
        for waiting in waiting {
            assert_eq!(waiting.join().expect("it is answered"), 502);
        }
    });
}

#[test]
fn resources_of_an_instance_that_has_ended_lead_nowhere() {
    let site = Site::serve(Isolation::Serial);
    assert_eq!(site.get("stale").status, 502);
    site.server.says("has ended since it made this resource");
    assert_eq!(site.text("cursors"), "10 10 9");
}

/// Clients that leave take nothing with them, and leave nothing behind.
#[test]
fn clients_that_leave_leave_nothing() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let mut connection = Connection::open(site.server.addr());
                connection.send("GET /?call=open&count=50&hold=60000 HTTP/1.1\r\nhost: a\r\n\r\n");
                connection
            })
            .collect();
        eventually(|| site.counted("resources") == 1000.0, "they have called");
        drop(clients);
        match isolation {
            // The guest finds out when its timer is over.
            Isolation::Shared => {}
            _ => eventually(
                || site.counted("resources") == 0.0,
                &format!("{isolation:?}: all are dropped"),
            ),
        }
        assert!(site.text("about").contains("instance"), "{isolation:?}");
    }
}

/// By way of a component that is joined, and by way of one that has an instance of its own, too.
#[test]
fn links_lead_on() {
    for relay in ["joined", "own"] {
        let site = Site::relayed(relay);
        let (relayed, direct) = (site.text("relayed"), site.text("about"));
        assert!(relayed.starts_with("relayed "), "{relay}: {relayed}");
        assert_eq!(
            about(&relayed).0,
            about(&direct).0,
            "{relay}: both reach the same instance"
        );
    }
}

/// New code of another component, and what was kept is there still; new code of its own, and it is not.
#[test]
fn it_outlives_its_callers_code() {
    let site = Site::serve(Isolation::Serial);
    site.text("set&key=a&value=1");
    let manifest = app(Isolation::Request, "own", "");
    site.scratch.write("wharf.toml", &manifest);
    site.reload();
    assert_eq!(
        site.text("get&key=a"),
        "Some(\"1\")",
        "the app has changed, and the store has not"
    );
    site.scratch
        .write("wharf.toml", format!("environment = {{ A = '1' }}\n{manifest}"));
    site.reload();
    assert_eq!(site.text("get&key=a"), "None", "it would see another environment");
}

#[test]
fn what_does_not_fit_is_said() {
    let cases = [
        (
            "links = { 'acme:store/shop' = 'store' }",
            "3:11: ",
            "it does not import `acme:store/shop`",
        ),
        (
            "links = { 'acme:store/store' = 'relay' }",
            "3:11: ",
            "does not export that",
        ),
    ];
    for (links, place, message) in cases {
        let scratch = components();
        let manifest = scratch.write(
            "wharf.toml",
            format!(
                "routes = [{{ path = '/', component = 'caller' }}]\n[components.caller]\n{links}\nfile = 'caller.wasm'\n[components.store]\nfile = 'store.wasm'\n\
                 instance = 'own'\n[components.relay]\nfile = 'relay.wasm'\ninstance = 'own'\n\
                 links = {{ 'acme:store/store' = 'store' }}\n"
            ),
        );
        let checked = finish(wharf().arg("check").arg(&manifest), "");
        assert_ne!(checked.code(), Some(0), "{links}");
        let said = checked.stderr;
        assert!(said.contains(place) && said.contains(message), "{links}: {said}");
    }
}

#[test]
fn streams_cross_as_they_are_written() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        let text = site.text("rows&count=500");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 501, "{isolation:?}");
        for (number, line) in lines[..500].iter().enumerate() {
            let value = (number as u32).to_le_bytes();
            assert_eq!(
                *line,
                format!("row {number} {value:?} {}", "x".repeat(number % 7 * 2)),
                "{isolation:?}"
            );
        }
        assert_eq!(lines[500], "Ok(500)", "{isolation:?}: the future comes as well");
        assert_eq!(site.text("sum&count=1000"), "500500", "{isolation:?}");
        assert_eq!(site.text("upper&count=3000"), "Aé".repeat(3000), "{isolation:?}");
        assert_eq!(site.text("sum&count=0"), "0", "{isolation:?}");
    }
}

#[test]
fn streams_and_futures_of_nothing_cross() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        for count in [0, 1, 1000] {
            for call in ["ticks", "count"] {
                assert_eq!(
                    site.text(&format!("{call}&count={count}")),
                    count.to_string(),
                    "{isolation:?} {call}"
                );
            }
        }
    }
}

/// Of 52 and of 124 bytes, more of them than cross at a time.
#[test]
fn elements_of_uncommon_sizes_cross() {
    let site = Site::serve(Isolation::Shared);
    let odd: Vec<_> = (0..300).map(|n| (n, format!("{n}.0"), format!("{n}.5"))).collect();
    let wide: Vec<_> = (0..300).map(|n| (n, format!("{n}.0"), format!("{n}.14"))).collect();
    assert_eq!(site.text("sizes&count=300"), format!("{odd:?} {wide:?}"));
}

/// Of 4104 bytes, there and back.
#[test]
fn large_elements_cross() {
    let site = Site::serve(Isolation::Shared);
    let large: Vec<_> = (0..300).map(|n| (n, format!("{n}.1"), format!("{n}.512"))).collect();
    assert_eq!(site.text("large&count=300"), format!("{large:?}"));
    let last: String = (0..300).map(|n| format!("{n}.512")).collect();
    let sum = 299 * 300 / 2;
    assert_eq!(site.text("echo&count=300"), format!("{:?}", (sum, last)));
}

/// A stream that the server made, and one that it reads.
#[test]
fn bodies_cross_as_they_come() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        for bytes in [0, 1, 300_000] {
            let reply = post(site.server.addr(), "/?call=body", "a".repeat(bytes));
            assert_eq!(reply.status, 200, "{isolation:?}");
            assert!(reply.text() == "A".repeat(bytes), "{isolation:?}: {bytes} bytes");
        }
    }
}

/// Resources, streams and futures, as elements and as parts of them, in both directions.
#[test]
fn handles_cross_in_streams_and_futures() {
    let joined: String = (0..100).map(|number| format!("{number} ")).collect();
    let pages: String = (0..20)
        .map(|number| {
            let rows: Vec<_> = (0..number).collect();
            let mark = if number % 2 == 0 { number } else { 0 };
            format!("{number}: {rows:?} {mark} {number}\n")
        })
        .collect();
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        for (query, expected) in [
            ("walk&count=1000", "1000 499500"),
            ("walk&count=0", "0 0"),
            ("gather&count=1000", "499500"),
            ("gather&count=0", "0"),
            ("later&at=7", "8"),
            ("arrived&at=7", "7"),
            ("chunks&count=100", &joined),
            ("chunks&count=0", ""),
            ("join&count=100", &joined),
            ("promise&count=1000", "1000 499500"),
            ("pages&count=20", &pages),
            ("circle&count=100", &format!("4950 {joined}")),
        ] {
            assert_eq!(site.text(query), expected, "{isolation:?} {query}");
        }
        eventually(
            || site.counted("resources") == 0.0,
            &format!("{isolation:?}: none is held"),
        );
        eventually(|| site.text("live") == "0", &format!("{isolation:?}: all are dropped"));
    }
}

/// What is read to the half, or not at all, leaves no resource behind, also of those that were on their way.
#[test]
fn handles_that_nobody_takes_are_dropped() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        for query in ["walk&count=1000000&most=10", "walk&count=1000000&most=1"] {
            let sum = if query.ends_with("10") { "10 45" } else { "1 0" };
            assert_eq!(site.text(query), sum, "{isolation:?} {query}");
        }
        let trapped = site.get("walk&count=1000000&most=10&then=trap");
        assert_eq!(trapped.status, 502, "{isolation:?}: {}", trapped.text());
        assert_eq!(site.text("chunks&count=1000000&most=2"), "0 1 ", "{isolation:?}");
        eventually(
            || site.counted("resources") == 0.0,
            &format!("{isolation:?}: none is held"),
        );
        eventually(|| site.text("live") == "0", &format!("{isolation:?}: all are dropped"));
        let made = || site.text("made");
        eventually(
            || {
                let before = made();
                std::thread::sleep(std::time::Duration::from_millis(100));
                made() == before
            },
            &format!("{isolation:?}: no more is made for nobody"),
        );
        assert_eq!(site.counted("failures_total"), 0.0, "{isolation:?}");
    }
}

/// A caller that ends takes its own future with it, and nothing of others.
#[test]
fn futures_of_callers_that_end_end_nobody_else() {
    for isolation in [Isolation::Request, Isolation::Serial] {
        let site = Site::serve(isolation);
        site.text("set&key=a&value=1");
        let mut connection = Connection::open(site.server.addr());
        connection.send("GET /?call=withhold&count=5 HTTP/1.1\r\nhost: a\r\n\r\n");
        eventually(|| site.counted("resources") == 5.0, "it has called");
        drop(connection);
        eventually(
            || site.counted("resources") == 0.0,
            &format!("{isolation:?}: it has ended"),
        );
        assert_eq!(site.text("get&key=a"), "Some(\"1\")", "{isolation:?}");
        assert_eq!(site.counted("starts_total"), 1.0, "{isolation:?}");
    }
}

/// All of them end where the instance does: those that are read, those in their elements, and those that lead to it.
#[test]
fn a_trap_ends_what_is_in_streams() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        assert_eq!(site.text("walk&count=10&how=trap"), "5 0", "{isolation:?}");
        let pages = site.text("pages&count=8&how=trap");
        let lines: Vec<_> = pages.lines().collect();
        assert_eq!(lines.len(), 5, "{isolation:?}: {pages}");
        assert_eq!(lines[4], "4: [0] 0 unavailable", "{isolation:?}: {pages}");
        // Those of an instance that has ended are not in the next: there the stream ends.
        assert_eq!(site.text("gather&count=5&how=stale"), "7", "{isolation:?}");
        assert_eq!(site.text("gather&count=5"), "10", "{isolation:?}");
        eventually(
            || site.counted("resources") == 0.0,
            &format!("{isolation:?}: none is held"),
        );
    }
}

/// By a component in the middle that reads nothing of it.
#[test]
fn streams_are_passed_on() {
    for relay in ["joined", "own"] {
        let site = Site::relayed(relay);
        let joined: String = (0..100).map(|number| format!("{number} ")).collect();
        assert_eq!(site.text("chunks"), joined, "{relay}");
        assert_eq!(site.text("promise"), "1000 499500", "{relay}");
    }
}

/// The first rows are there long before the last is made.
#[test]
fn rows_arrive_one_by_one() {
    let site = Site::serve(Isolation::Request);
    let mut connection = Connection::open(site.server.addr());
    connection.send("GET /?call=rows&count=100000&pause=20&most=100000 HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("row 3 ") {
        let mut bytes = [0; 1024];
        let read = connection.stream().read(&mut bytes).expect("rows come");
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..read]);
    }
    // Who has enough ends it for the other side, too.
    drop(connection);
    let made = || site.text("made").parse::<u32>().expect("a number");
    eventually(
        || {
            let before = made();
            std::thread::sleep(std::time::Duration::from_millis(300));
            made() == before
        },
        "no more rows are made",
    );
}

/// Who writes goes no faster than who reads.
#[test]
fn a_reader_that_has_enough_stops_the_writer() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        assert_eq!(
            site.text("rows&count=1000000&most=10").lines().count(),
            10,
            "{isolation:?}"
        );
        let made: u32 = site.text("made").parse().expect("a number");
        assert!(made < 2000, "{isolation:?}: {made} rows were made for ten");
    }
}

/// Rows end where the instance does; the future says that it has.
#[test]
fn a_trap_ends_streams_and_futures() {
    for isolation in Isolation::ALL {
        let site = Site::serve(isolation);
        let text = site.text("rows&count=40&how=trap");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 21, "{isolation:?}: {text}");
        assert!(
            lines[20].starts_with("Err(Failure::Unavailable(\"the linked component store"),
            "{isolation:?}: {text}"
        );
    }
}

//! The ways to a Redis server: TLS, a Unix socket, a user of its own. The same for caches and for key-value stores. And what is left of
//! clients that leave a server which does not answer.

use std::time::Duration;

use wharf_tests::http::Connection;
use wharf_tests::{Redis, Scratch, eventually};

use crate::certificates::{Authority, free_port};
use crate::operator::metric;
use crate::stores::Stores;

/// Who asks, the section that names the server, a step that stores something, and what comes of it while there is no connection.
const ASKERS: [(&str, &str, &str, &str); 2] = [
    ("cache", "[cache.redis]", "set a 1 60", "Error::Unavailable"),
    (
        "keyvalue-draft2",
        "[keyvalue.default.redis]",
        "set a 1",
        "Error::Other(\"unavailable: the store cannot be reached, or is too slow\")",
    ),
];

/// Serves an app whose Redis is what `keys` say, from a folder with `files`; nothing shows a password.
fn check(keys: &str, files: &[(&str, &str)], said: Option<&str>) {
    let patient = if keys.contains("timeout") {
        ""
    } else {
        "timeout = '60s'\n"
    };
    for (guest, section, step, unavailable) in ASKERS {
        let folder = Scratch::new();
        for (name, content) in files {
            folder.write(name, content);
        }
        let stores = Stores::serve_in(folder, guest, &format!("{section}\n{patient}{keys}\n"));
        match said {
            None => assert_eq!(
                stores.steps(step).trim(),
                "ok",
                "{guest}: {keys}: {}",
                stores.server.log()
            ),
            Some(said) => {
                assert_eq!(stores.steps(step).trim(), unavailable, "{guest}: {keys}");
                let log = || stores.server.log();
                eventually(|| log().contains(said), &format!("{said} in the log: {}", log()));
            }
        }
        assert!(!stores.server.log().contains("hunter2"), "{}", stores.server.log());
    }
}

/// A server with a port for TLS, whose certificate holds for `names`.
fn with_tls(ca: &Authority, names: &[&str]) -> Option<(Redis, u16)> {
    ca.certificate("redis", names);
    let (port, folder) = (free_port(), ca.scratch.path().display());
    let options = format!(
        "--tls-port {port} --tls-cert-file {folder}/redis.crt --tls-key-file {folder}/redis.key \
         --tls-ca-cert-file {folder}/ca.pem --tls-auth-clients no"
    );
    let options: Vec<&str> = options.split(' ').collect();
    Some((Redis::start_with(&options)?, port))
}

#[test]
fn over_tls() {
    let ca = Authority::new();
    let trusted = std::fs::read_to_string(ca.file()).expect("it was written");
    let other = std::fs::read_to_string(Authority::new().file()).expect("it was written");
    let Some((redis, port)) = with_tls(&ca, &["127.0.0.1", "localhost"]) else {
        return;
    };
    let to = |host: &str| format!("url = 'rediss://{host}:{port}'\ntrust = 'ca.pem'");
    check(&to("127.0.0.1"), &[("ca.pem", &trusted)], None);
    check(&to("localhost"), &[("ca.pem", &trusted)], None);
    assert_eq!(redis.cli("GET shop:default:a"), "1", "it was stored there");
    // Of an authority that is not trusted, by the file or by the system.
    check(
        &to("127.0.0.1"),
        &[("ca.pem", &other)],
        Some("invalid peer certificate"),
    );
    let of_the_system = format!("url = 'rediss://127.0.0.1:{port}'");
    check(&of_the_system, &[], Some("invalid peer certificate"));
    // A server that speaks TLS to a client that does not, and the other way round.
    check(
        &format!("url = 'redis://127.0.0.1:{port}'\ntimeout = '1s'"),
        &[],
        Some("Redis does not do what it is asked"),
    );
    let plain = redis.url().replace("redis://", "rediss://");
    check(
        &format!("url = '{plain}'\ntimeout = '1s'"),
        &[],
        Some("Redis does not do what it is asked"),
    );
    // With a password as well.
    redis.cli("CONFIG SET requirepass first-hunter2");
    let keys = to("127.0.0.1") + "\npassword = { file = 'password' }";
    check(&keys, &[("ca.pem", &trusted), ("password", "first-hunter2\n")], None);
    check(
        &keys,
        &[("ca.pem", &trusted), ("password", "wrong-hunter2\n")],
        Some("uthentication failed"),
    );
}

#[test]
fn over_tls_to_another_name() {
    let ca = Authority::new();
    let trusted = std::fs::read_to_string(ca.file()).expect("it was written");
    let Some((_redis, port)) = with_tls(&ca, &["other.test"]) else {
        return;
    };
    for host in ["127.0.0.1", "localhost"] {
        let keys = format!("url = 'rediss://{host}:{port}'\ntrust = 'ca.pem'");
        check(&keys, &[("ca.pem", &trusted)], Some("invalid peer certificate"));
    }
}

#[test]
fn over_a_unix_socket() {
    let folder = Scratch::new();
    let socket = folder.join("redis.sock").display().to_string();
    let Some(redis) = Redis::start_with(&["--unixsocket", &socket]) else {
        return;
    };
    let keys = format!("url = 'unix://{socket}'");
    check(&keys, &[], None);
    redis.cli("CONFIG SET requirepass first-hunter2");
    let keys = format!("{keys}\npassword = {{ file = 'password' }}");
    check(&keys, &[("password", "first-hunter2\n")], None);
    check(&keys, &[("password", "wrong-hunter2\n")], Some("uthentication failed"));
    check("url = 'unix:///nowhere/redis.sock'", &[], Some("No such file"));
}

/// Others have all connections that it takes.
#[test]
fn a_full_server_says_so() {
    let Some(redis) = Redis::start() else { return };
    redis.cli("CONFIG SET maxclients 1");
    let mut other = Connection::open(redis.addr());
    other.send("PING\r\n");
    let keys = format!("url = '{}'", redis.url());
    // Its own words, or ours.
    check(&keys, &[], Some("number of clients"));
    drop(other);
    eventually(|| redis.cli("PING") == "PONG", "a place to be free again");
    check(&keys, &[], None);
}

/// Not the server's user `default`.
#[test]
fn as_a_user_of_its_own() {
    let Some(redis) = Redis::start() else { return };
    redis.cli("ACL SETUSER shop on >first-hunter2 ~shop:* +@all");
    redis.cli("ACL SETUSER default off");
    let keys = format!(
        "url = '{}'\nuser = 'shop'\npassword = {{ file = 'password' }}",
        redis.url()
    );
    check(&keys, &[("password", "first-hunter2\n")], None);
    check(&keys, &[("password", "wrong-hunter2\n")], Some("uthentication failed"));
    let nobody = keys.replace("'shop'", "'nobody'");
    check(
        &nobody,
        &[("password", "first-hunter2\n")],
        Some("uthentication failed"),
    );
}

/// How many calls reach a server that does not answer, and whose client leaves.
const LEAVE: u64 = 10_000;

/// How many clients ask at a time: as many as there may be calls.
const AT_A_TIME: usize = 25;

/// What clients ask, in turn, of whom, and the name of the counter on the server, which says how many calls have reached it.
const LEAVERS: [(&str, &str, &[&str], &str); 2] = [
    (
        "cache",
        "[cache.redis]",
        &["increment n 1 3600", "increment n 1 3600", "lease a"],
        "shop:cache:n",
    ),
    (
        "keyvalue-draft2",
        "[keyvalue.default.redis]",
        &["increment n 1"],
        "shop:default:n",
    ),
];

/// Ten thousand clients leave a server that does not answer: afterwards nobody holds or waits for anything, every call that may be
/// under way can be, and there is one connection.
#[test]
fn ten_thousand_cancelled_calls_leave_nothing() {
    std::thread::scope(|scope| {
        for (guest, section, steps, counter) in LEAVERS {
            scope.spawn(move || {
                let Some(redis) = Redis::start() else { return };
                let keys = format!("timeout = '10m'\nurl = '{}'\ncalls = {AT_A_TIME}", redis.url());
                let stores = Stores::serve(guest, &format!("{section}\n{keys}\n"));
                assert_eq!(stores.steps(steps[0]).trim(), "sum 1", "{guest}");
                let arrived = || redis.cli(&format!("GET {counter}")).parse::<u64>().expect("a number");
                while arrived() < LEAVE {
                    redis.pause();
                    for _ in 0..20 {
                        let clients = ask(&stores, steps);
                        std::thread::sleep(Duration::from_millis(20));
                        drop(clients);
                    }
                    redis.go_on();
                }
                check_at_rest(&stores, &redis, guest);
            });
        }
    });
}

/// Clients that ask for the steps in turn.
fn ask(stores: &Stores, steps: &[&str]) -> Vec<Connection> {
    let ask = |step: &&str| {
        let mut client = Connection::open(stores.server.addr());
        let length = step.len();
        client.send(format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n{step}"
        ));
        client
    };
    steps.iter().cycle().take(AT_A_TIME).map(ask).collect()
}

fn check_at_rest(stores: &Stores, redis: &Redis, guest: &str) {
    if guest == "cache" {
        let gauge = |name: &str| metric(stores.admin, &format!("wharf_cache_{name}{{app=\"shop\"}}"));
        let are_free = || (gauge("leases"), gauge("waiting")) == (Some(0.0), Some(0.0));
        eventually(are_free, "nobody to hold or to wait for anything");
    }
    // While it stands, all are under way at the same time.
    eventually(|| stores.steps("get n").starts_with("value"), "it to work again");
    redis.pause();
    let clients = ask(stores, &["get n"]);
    std::thread::sleep(Duration::from_millis(500));
    redis.go_on();
    for mut client in clients {
        let answer = client.reply().text();
        assert!(answer.starts_with("value "), "{guest}: {answer}");
    }
    let clients = redis.cli("CLIENT LIST");
    let of_wharf = clients.lines().filter(|line| !line.contains("cmd=client"));
    assert_eq!(of_wharf.count(), 1, "{guest}: {clients}");
}

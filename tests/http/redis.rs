//! The ways to a Redis server: TLS, a Unix socket, a user of its own. The same for caches and for key-value stores.

use wharf_tests::http::Connection;
use wharf_tests::{Redis, Scratch, eventually};

use crate::certificates::{Authority, free_port};
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

//! An origin that sees what guests do: what they report, which calls they leave open, when those are closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, Head};
use wharf_tests::{DEADLINE, Origin};

use crate::client::pattern;

/// Answers by the request's path:
///
/// | path | answer |
/// |---|---|
/// | `/report…` | 200; the content is kept |
/// | `/ok…` | 200, `ok` |
/// | `/hang…` | none, until the caller leaves |
/// | `/stall` | half of the declared content, then nothing until the caller leaves |
/// | `/together?n=N` | 200, `together`, once N such calls are open |
/// | `/echo` | 200, the content and the trailers |
/// | `/bytes?n=N` | 200, N bytes |
/// | `/trailers` | 200 with the trailer `x-answered: yes` |
/// | `/status?n=N` | N, with `status N` as content where N allows one |
/// | `/early-hints` | 103, then 200, `ok` |
/// | `/close-after` | 200, `ok`, and closes without having said so |
/// | `/vanish` | none: closes |
/// | `/short` | half of the declared content, then closes |
/// | `/garbage` | something that is not HTTP |
pub struct Witness {
    origin: Origin,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    reports: Vec<String>,
    heads: Vec<Head>,
    /// How many calls to a path are open.
    open: BTreeMap<String, usize>,
    /// When callers left such a path.
    left: BTreeMap<String, Vec<Instant>>,
    /// All calls to `/together` were open at once.
    together: bool,
}

impl Witness {
    pub fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let serving = Arc::clone(&seen);
        let origin = Origin::start(move |mut connection| {
            while let Ok(head) = connection.try_head() {
                if !serve(&serving, &mut connection, &head) {
                    return;
                }
            }
        });
        Self { origin, seen }
    }

    pub fn addr(&self) -> SocketAddr {
        self.origin.addr()
    }

    /// The URL of a path, fit to stand in a query.
    pub fn url(&self, path: &str) -> String {
        crate::client::escape(&self.origin.url(path))
    }

    /// The URL of a path as it is, for guests that decode nothing.
    pub fn raw_url(&self, path: &str) -> String {
        self.origin.url(path)
    }

    /// How many connections were opened to it.
    pub fn accepted(&self) -> usize {
        self.origin.accepted()
    }

    /// What guests have reported, in order.
    pub fn reports(&self) -> Vec<String> {
        self.seen.lock().reports.clone()
    }

    /// The heads of all requests so far, in order.
    pub fn heads(&self) -> Vec<Head> {
        self.seen.lock().heads.clone()
    }

    /// How many calls to `path` (without its query) are open now.
    pub fn open(&self, path: &str) -> usize {
        self.seen.lock().open.get(path).copied().unwrap_or(0)
    }

    /// When the callers of `path` left, in order.
    pub fn left(&self, path: &str) -> Vec<Instant> {
        self.seen.lock().left.get(path).cloned().unwrap_or_default()
    }

    /// Fails if a connection did something the witness could not make sense of.
    pub fn assert_no_failures(&self) {
        assert_eq!(self.origin.failures(), [""; 0]);
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Answers one request; whether the connection can take another.
fn serve(seen: &Seen, connection: &mut Connection, head: &Head) -> bool {
    let target = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let number = query
        .strip_prefix("n=")
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    seen.change(|state| {
        state.heads.push(head.clone());
        *state.open.entry(path.to_owned()).or_default() += 1;
    });
    let goes_on = answer(seen, connection, head, path, number);
    seen.change(|state| *state.open.entry(path.to_owned()).or_default() -= 1);
    goes_on
}

fn answer(seen: &Seen, connection: &mut Connection, head: &Head, path: &str, number: usize) -> bool {
    if path == "/echo" {
        return echo(connection);
    }
    if path.starts_with("/hang") {
        wait_until_left(seen, connection, path);
        return false;
    }
    let Ok(content) = connection.try_body() else {
        return false;
    };
    let reply = match path {
        "/stall" => {
            let _ = connection.try_send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.");
            wait_until_left(seen, connection, path);
            return false;
        }
        "/together" => {
            wait_for_others(seen, path, number);
            with_length(200, b"together")
        }
        "/bytes" => with_length(200, &pattern(number)),
        "/status" if matches!(number, 204 | 304) => format!("HTTP/1.1 {number} Empty\r\n\r\n").into_bytes(),
        "/status" if head.start.starts_with("HEAD") => {
            format!("HTTP/1.1 {number} Head\r\ncontent-length: 10\r\n\r\n").into_bytes()
        }
        "/status" => with_length(number, format!("status {number}").as_bytes()),
        "/trailers" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-answered\r\n\r\n\
            2\r\nok\r\n0\r\nx-answered: yes\r\n\r\n"
            .to_vec(),
        "/early-hints" => {
            let mut reply = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".to_vec();
            reply.extend(with_length(200, b"ok"));
            reply
        }
        "/short" => {
            let _ = connection.try_send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.");
            return false;
        }
        "/garbage" => {
            let _ = connection.try_send("220 mail.test ESMTP\r\n\r\n");
            return false;
        }
        "/vanish" => return false,
        _ if path.starts_with("/report") => {
            let report = String::from_utf8_lossy(&content).into_owned();
            seen.change(|state| state.reports.push(report));
            with_length(200, b"noted")
        }
        _ => with_length(200, b"ok"),
    };
    connection.try_send(reply).is_ok() && path != "/close-after"
}

fn with_length(status: usize, content: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n", content.len()).into_bytes();
    reply.extend_from_slice(content);
    reply
}

fn echo(connection: &mut Connection) -> bool {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sent\r\n\r\n";
    if connection.try_send(head).is_err() {
        return false;
    }
    while let Ok(Some(piece)) = connection.try_data() {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend(piece);
        chunk.extend(b"\r\n");
        if connection.try_send(chunk).is_err() {
            return false;
        }
    }
    let trailers: String = connection
        .trailers()
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    connection.try_send(format!("0\r\n{trailers}\r\n")).is_ok()
}

/// Waits until the peer closes, however long the test leaves the call open, and notes when.
fn wait_until_left(seen: &Seen, connection: &mut Connection, path: &str) {
    let _ = connection.stream().set_read_timeout(Some(Duration::from_secs(120)));
    let _ = connection.try_body();
    if !connection.is_closed() {
        return;
    }
    let now = Instant::now();
    seen.change(|state| state.left.entry(path.to_owned()).or_default().push(now));
}

fn wait_for_others(seen: &Seen, path: &str, number: usize) {
    let missing = |state: &mut State| !state.together && state.open.get(path).copied().unwrap_or(0) < number;
    let waited = seen.changed.wait_timeout_while(seen.lock(), DEADLINE, missing);
    let (mut state, timeout) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
    // Whoever wakes later sees fewer open calls.
    state.together = true;
    drop(state);
    seen.changed.notify_all();
    assert!(!timeout.timed_out(), "{number} calls were not open at once");
}

/// Lets what should not happen have the time to happen.
pub fn wait(duration: Duration) {
    thread::sleep(duration);
}

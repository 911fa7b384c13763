//! Crowds of clients that take their time, and honest ones beside them.
//!
//! Slowness costs a server what it holds for it. Whatever it does with the slow, everybody else is answered. A crowd of our own
//! is as large as the system lets it be, and all there before this looks; slowhttptest's is smaller, and somebody else's.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{connect, sockopt};
use wharf_tests::http::get;
use wharf_tests::{
    Scratch, Server, eventually, eventually_within, guest, installed, many_files, raise_open_files, unconnected_socket,
};

use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric, reached};

/// More than a server with one thread per connection could take.
const CROWD: usize = 10_000;

/// Files that server and tests have open beside the crowd's sockets, and more.
const SPARE_FILES: u64 = 1000;

/// What is asked for honestly while all of a crowd are there.
const HONEST_REQUESTS: usize = 100;

/// How long a crowd may take to come. A second or two where nobody else is; CI's machines run other tests beside.
const ARRIVAL: Duration = Duration::from_secs(300);

/// What a crowd is slow with.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// Heads that come a byte at a time: no guest hears of them.
    Heads,
    /// Content that comes so, of which more is announced than is read before a guest is asked: a guest waits for each.
    Content,
    /// Answers of 8 MiB that are read some bytes at a time, through a window of a few packets: a guest writes each.
    Reading,
}

impl Slow {
    fn guest(self) -> &'static str {
        match self {
            Self::Heads => "http-hello",
            Self::Content => "http-upload",
            Self::Reading => "http-download",
        }
    }

    /// What others may be told while a crowd comes. Thousands of guests that begin at once may be more than there are processors
    /// for, or instances, until some of them make room.
    fn statuses(self) -> &'static [u16] {
        match self {
            Self::Heads => &[200],
            Self::Content | Self::Reading => &[200, 503],
        }
    }

    fn begins(self) -> &'static str {
        match self {
            Self::Heads => "GET / HTTP/1.1\r\nhost: a.test\r\nx: ",
            Self::Content => "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\n",
            Self::Reading => "GET /?bytes=8388608 HTTP/1.1\r\nhost: a.test\r\n\r\n",
        }
    }

    /// Does a little more; whether the connection is still there.
    fn goes_on(self, mut client: &TcpStream) -> bool {
        let done = match self {
            Self::Heads | Self::Content => client.write(b"x"),
            Self::Reading => client.read(&mut [0; 32]),
        };
        match done {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn heads() {
    check(Slow::Heads, Isolation::Serial);
}

#[test]
fn content() {
    check(Slow::Content, Isolation::Shared);
    check(Slow::Content, Isolation::Serial);
}

#[test]
fn readers() {
    check(Slow::Reading, Isolation::Shared);
    check(Slow::Reading, Isolation::Serial);
}

/// No time is over before the test is: nobody leaves the crowd for having been in it too long.
const PATIENT: &str = "[server.limits]\nhead-timeout = '1h'\nwrite-timeout = '1h'\n";
/// Nor does one instance run out of memory that has ten thousand responses under way, each in a buffer of the guest's.
const PATIENT_APP: &str =
    "response-time = '1h'\nbody-idle-time = '1h'\nbody-rate = 1\nrequests = 20000\nmemory = '2GiB'\n";

/// Asks honestly while a crowd comes and while all of it are there.
fn check(slow: Slow, isolation: Isolation) {
    let _files = many_files();
    let scratch = Scratch::new();
    let manifest = format!(
        "{PATIENT}[apps.main]\ncomponent = '{}'\nisolation = '{}'\n[apps.main.limits]\n{PATIENT_APP}",
        guest(slow.guest()).display(),
        isolation.flag()
    );
    let size = crowd_size();
    let server = Server::start(scratch.write("wharf.toml", manifest), &ADMIN);
    let (addr, admin) = (server.addr(), admin(&server));
    let ask = || {
        let status = get(addr, "/").status;
        assert!(slow.statuses().contains(&status), "{isolation:?} {slow:?}: {status}");
    };
    let alone = honest(addr, admin);
    let connections = || metric(admin, "wharf_connections").unwrap_or(0.0) as usize;
    let (over, left) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _over = SaysSo(&over);
        scope.spawn(|| crowd(slow, addr, size, &over, &left));
        let begun = Instant::now();
        while connections() + left.load(Ordering::Relaxed) < size {
            assert!(
                begun.elapsed() < ARRIVAL,
                "{isolation:?} {slow:?}: {} of {size}",
                connections()
            );
            ask();
        }
        // Of slow readers as many get an instance as there are, and are found to be slow within seconds.
        eventually_within(ARRIVAL, || get(addr, "/").status == 200, "somebody honest is answered");
        let beside = honest(addr, admin);
        println!("{slow:?}, {isolation:?}: honest requests alone {alone}, beside a crowd of {size} {beside}");
    });
    eventually_within(ARRIVAL, || connections() == 0, "the crowd to be forgotten");
    eventually(|| get(addr, "/").status == 200, "room for everybody");
}

/// Asks honestly, one request at a time, each on a connection of its own. All are answered, but for those that there is no
/// processor for, which other tests may take: nobody slow keeps a guest from them. What it took, in words.
fn honest(server: SocketAddr, admin: SocketAddr) -> String {
    let short_before = reached(admin, "load");
    let (mut times, mut refused) = (Vec::new(), 0.0);
    for _ in 0..HONEST_REQUESTS {
        let begun = Instant::now();
        match get(server, "/").status {
            200 => times.push(begun.elapsed()),
            503 => refused += 1.0,
            status => panic!("{status}"),
        }
    }
    assert_eq!(
        reached(admin, "load") - short_before,
        refused,
        "they were refused for something else"
    );
    times.sort();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize);
    format!(
        "{} of {HONEST_REQUESTS} in {:?}, p99 {:?}",
        times.len(),
        at(0.5),
        at(0.99)
    )
}

/// How many it may be here. A process has to have as many files open, be it a server or a crowd.
fn crowd_size() -> usize {
    // Of a server's, nine tenths are for connections.
    let files = raise_open_files().map_or(u64::MAX, |most| (most / 10 * 9).saturating_sub(SPARE_FILES));
    usize::try_from(files).map_or(CROWD, |files| files.min(CROWD))
}

/// All connect, begin, and go on as slowly as they do until it is over. Counts those whose connection the server has closed.
fn crowd(slow: Slow, server: SocketAddr, size: usize, over: &AtomicBool, left: &AtomicUsize) {
    let mut clients = Vec::new();
    for nth in 0..size {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let mut client = slow_client(nth, server);
        // Whoever is turned away has left.
        if client.write_all(slow.begins().as_bytes()).is_ok() {
            client.set_nonblocking(true).expect("a socket can be so");
            clients.push(client);
        }
    }
    while !over.load(Ordering::Relaxed) {
        clients.retain(|client| slow.goes_on(client));
        left.store(size - clients.len(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A connection through which little fits, and which leaves nothing behind in the system.
fn slow_client(nth: usize, server: SocketAddr) -> TcpStream {
    let client = unconnected_socket();
    sockopt::set_socket_recv_buffer_size(&client, 2048).expect("a socket takes this option");
    sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket takes this option");
    // One client may have half of all connections.
    #[cfg(target_os = "linux")]
    rustix::net::bind(&client, &SocketAddr::from(([127, 0, 0, 2 + (nth % 4) as u8], 0))).expect("these are its own");
    #[cfg(not(target_os = "linux"))]
    let _ = nth;
    connect(&client, &server).expect("the server accepts connections");
    client.into()
}

/// Says that something is over when it is dropped, be it by a panic.
struct SaysSo<'a>(&'a AtomicBool);

impl Drop for SaysSo<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The same by a tool that is made for it, with limits as they are.
#[test]
fn slowhttptest() {
    const SIZE: &str = "300";
    let kinds: [(Slow, &str, &[&str]); 3] = [
        (Slow::Heads, "/", &["-H", "-i", "1", "-x", "20"]),
        (Slow::Content, "/", &["-B", "-i", "1", "-s", "100000", "-x", "10"]),
        (
            Slow::Reading,
            "/?bytes=8388608",
            &["-X", "-n", "1", "-z", "32", "-w", "512", "-y", "1024"],
        ),
    ];
    for (slow, path, kind) in kinds {
        let server = Isolation::Serial.serve(slow.guest(), &ADMIN);
        let admin = admin(&server);
        // Longer than is waited for anything here.
        let more = ["-u", &server.url(path), "-c", SIZE, "-r", SIZE, "-l", "3600"];
        let Some(crowd) = SlowHttpTest::start(&[kind, &more].concat()) else {
            return;
        };
        let most: f64 = SIZE.parse().expect("a number");
        let ask = || assert!(slow.statuses().contains(&get(server.addr(), "/").status), "{slow:?}");
        let has_come = || {
            ask();
            metric(admin, "wharf_connections") >= Some(most)
        };
        eventually_within(ARRIVAL, has_come, "a crowd to come");
        (0..HONEST_REQUESTS).for_each(|_| ask());
        drop(crowd);
        eventually(
            || metric(admin, "wharf_connections") == Some(0.0),
            "the crowd to be forgotten",
        );
    }
}

/// A running slowhttptest. It is killed when this value is dropped.
struct SlowHttpTest {
    child: Child,
    _scratch: Scratch,
}

impl SlowHttpTest {
    /// `None` where there is no such program.
    fn start(arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(installed("slowhttptest")?);
        let scratch = Scratch::new();
        let output = File::create(scratch.join("output")).expect("a new file in a new folder");
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Some(Self {
            child,
            _scratch: scratch,
        })
    }
}

impl Drop for SlowHttpTest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

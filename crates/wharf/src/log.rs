//! Messages on their way to stderr, and guests' lines on their way to stdout and stderr.
//!
//! Whoever reads them may be slow, stuck or gone, and nobody who serves a request may wait for that. So lines are
//! queued, and a thread per stream writes them. When the queue is full, lines are dropped and counted, and the count is
//! written as soon as there is room again. A stream that was closed swallows everything.
//!
//! Nothing is written before [`Lines::open`], so that the first line can be the one that says where the server is.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What a queue holds, in bytes: seconds of a busy log. Past it, lines are dropped and counted.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// What a line in the queue costs beside its own bytes.
const LINE_OVERHEAD_BYTES: usize = 64;

/// How long the end of the program waits for a reader that takes nothing more.
const FLUSH_STALL_MAX: Duration = Duration::from_millis(500);

/// A queue of lines for one stream. Cheap to clone.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines dropped since the last that was queued.
    lost: u64,
    /// Whether the thread may write.
    open: bool,
    /// Whether the thread is writing what is no longer queued.
    writing: bool,
    /// Counts what was written, to tell a slow reader from one that is stuck.
    written: u64,
}

impl Lines {
    /// A queue whose lines go to `stream` once it is opened.
    pub fn new(stream: impl Write + Send + 'static) -> io::Result<Lines> {
        Lines::with_capacity(stream, QUEUE_BYTES_MAX)
    }

    fn with_capacity(stream: impl Write + Send + 'static, bytes_max: usize) -> io::Result<Lines> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            bytes_max,
        });
        let lines = Lines(shared.clone());
        std::thread::Builder::new()
            .name("wharf-log".into())
            .spawn(move || shared.write_to(stream))?;
        Ok(lines)
    }

    /// Queues bytes, usually a line with its end. Never waits for the reader.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.0.lock();
        if queue.bytes + line.len() + LINE_OVERHEAD_BYTES > self.0.bytes_max {
            queue.lost += 1;
            return;
        }
        queue.report_lost();
        queue.push(line);
        self.0.changed.notify_all();
    }

    /// Lets the thread write, `first` before everything that is queued already.
    pub fn open(&self, first: Option<String>) {
        let mut queue = self.0.lock();
        if let Some(first) = first {
            queue.push_front(first.into_bytes());
        }
        queue.open = true;
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, or until the reader has taken nothing for half a second.
    pub fn flush(&self) {
        let mut queue = self.0.lock();
        queue.report_lost();
        queue.open = true;
        self.0.changed.notify_all();
        let mut written = queue.written;
        let mut since = Instant::now();
        while !queue.lines.is_empty() || queue.writing {
            if queue.written != written {
                (written, since) = (queue.written, Instant::now());
            }
            let Some(left) = FLUSH_STALL_MAX.checked_sub(since.elapsed()) else {
                return;
            };
            queue = self
                .0
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for as long as the program lives.
    fn write_to(&self, mut stream: impl Write) -> ! {
        let mut queue = self.lock();
        loop {
            let lines = queue.take();
            let Some(lines) = lines else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.writing = true;
            drop(queue);
            for line in lines {
                // Nobody is left to be told when this fails; a reader that comes back (a terminal does) sees what follows.
                let _ = stream.write_all(&line);
                self.wrote(&line);
            }
            let _ = stream.flush();
            queue = self.lock();
            queue.report_lost();
            queue.writing = false;
            self.changed.notify_all();
        }
    }

    /// Only now is there room for another.
    fn wrote(&self, line: &[u8]) {
        let mut queue = self.lock();
        queue.written += 1;
        queue.bytes -= line.len() + LINE_OVERHEAD_BYTES;
        drop(queue);
        self.changed.notify_all();
    }
}

impl Queue {
    fn push(&mut self, line: Vec<u8>) {
        self.bytes += line.len() + LINE_OVERHEAD_BYTES;
        self.lines.push_back(line);
    }

    fn push_front(&mut self, line: Vec<u8>) {
        self.bytes += line.len() + LINE_OVERHEAD_BYTES;
        self.lines.push_front(line);
    }

    fn take(&mut self) -> Option<VecDeque<Vec<u8>>> {
        if !self.open || self.lines.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.lines))
    }

    /// Says how many lines are missing at the place where they are.
    fn report_lost(&mut self) {
        match std::mem::take(&mut self.lost) {
            0 => {}
            1 => self.push(b"wharf: 1 line was lost here: it came faster than it was read\n".to_vec()),
            lost => {
                self.push(format!("wharf: {lost} lines were lost here: they came faster than they were read\n").into())
            }
        }
    }
}

/// One message: `tracing-subscriber` hands each over whole.
impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// Sends the messages of all crates, and of panics, to `lines`.
pub fn install(lines: &Lines, targets: Targets) {
    let in_color =
        io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(lines.clone())
        .with_ansi(in_color)
        .with_target(false);
    tracing_subscriber::registry().with(layer).with(targets).init();
    // The default hook writes to stderr itself, and would wait for its reader.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!("{panic}\n{backtrace}");
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream that takes a write only when the test says so.
    struct Gate {
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.written
                .send(bytes.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(bytes_max: usize) -> (Lines, Sender<()>, Receiver<Vec<u8>>) {
        let (allow, allowed) = channel();
        let (written, reader) = channel();
        (
            Lines::with_capacity(Gate { allowed, written }, bytes_max).unwrap(),
            allow,
            reader,
        )
    }

    fn next(reader: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(reader.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap()
    }

    #[test]
    fn nothing_is_written_before_opening_and_the_first_line_comes_first() {
        let (lines, allow, reader) = gated(10_000);
        lines.push(b"early\n".to_vec());
        (0..3).for_each(|_| allow.send(()).unwrap());
        lines.open(Some("first\n".into()));
        lines.push(b"late\n".to_vec());
        assert_eq!(
            [next(&reader), next(&reader), next(&reader)],
            ["first\n", "early\n", "late\n"]
        );
    }

    #[test]
    fn a_reader_that_is_stuck_holds_up_nobody_and_learns_what_it_missed() {
        let (lines, allow, reader) = gated(200);
        lines.open(None);
        // None of these waits, though nothing is read.
        for _ in 0..1000 {
            lines.push(b"line\n".to_vec());
        }
        drop((0..1000).map(|_| allow.send(())).collect::<Vec<_>>());
        lines.flush();
        let text: String = reader.try_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        let kept = text.matches("line\n").count();
        let lost: usize = text
            .split("wharf: ")
            .filter_map(|rest| rest.split_once(" line")?.0.parse::<usize>().ok())
            .sum();
        assert_eq!(kept + lost, 1000, "{text}");
        assert!(kept < 10, "{text}");
    }

    #[test]
    fn flushing_gives_up_on_a_reader_that_takes_nothing() {
        let (lines, _allow, _reader) = gated(10_000);
        lines.open(None);
        lines.push(b"line\n".to_vec());
        lines.flush();
    }

    #[test]
    fn a_closed_stream_swallows_everything() {
        let (lines, allow, reader) = gated(10_000);
        drop((allow, reader));
        lines.open(None);
        for _ in 0..100 {
            lines.push(b"line\n".to_vec());
            lines.flush();
        }
    }
}

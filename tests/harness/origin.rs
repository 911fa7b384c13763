//! A server that a test plays, for guests that make calls.

use std::any::Any;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::Connection;

/// A listener on a free port of 127.0.0.1 that gives each connection to a function, on a thread of its own.
///
/// When this value is dropped, it accepts no more; connections that are open go on until their function returns.
pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Origin {
    /// Listens, and calls `serve` with every connection.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting, &Arc::new(serve)));
        Self { addr, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are being served now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// What panics of the function said: a panic ends one connection, and a test that expects none asks here.
    pub fn failures(&self) -> Vec<String> {
        self.shared
            .failures
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.addr);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, serve: &Arc<impl Fn(Connection) + Send + Sync + 'static>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        // A client that left before it was accepted is no failure of the origin.
        let Ok(stream) = stream else { continue };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let (shared, serve) = (Arc::clone(shared), Arc::clone(serve));
        thread::spawn(move || {
            let serving = std::panic::AssertUnwindSafe(|| serve(stream.into()));
            let result = std::panic::catch_unwind(serving);
            if let Err(payload) = result {
                shared
                    .failures
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner())
                    .push(message(&*payload));
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    #[test]
    fn counts_connections_and_keeps_what_panics_say() {
        let origin = Origin::start(|mut connection| {
            assert!(connection.is_closed(), "the client said something");
        });
        let quiet = Connection::open(origin.addr());
        eventually(|| origin.open() == 1, "the first connection");
        drop(quiet);
        eventually(|| origin.open() == 0, "its end");
        Connection::open(origin.addr()).send("x");
        eventually(|| origin.failures() == ["the client said something"], "the failure");
        assert_eq!(origin.accepted(), 2);
    }
}

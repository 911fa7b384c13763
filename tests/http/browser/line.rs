//! A line between a browser and the server, which a test can cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Listens on a port of its own and passes on every byte, both ways. It accepts no more once this value is dropped.
pub struct Line {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    is_over: bool,
    open: Vec<TcpStream>,
}

impl Line {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut state = lock(&accepting);
                match (state.is_over, state.is_cut, client) {
                    (true, _, _) => return,
                    // Whoever calls while the line is cut is hung up on.
                    (_, true, _) | (_, _, Err(_)) => {}
                    (_, _, Ok(client)) => drop(join(&mut state, client, server)),
                }
            }
        });
        Self { addr, state }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends every connection, in the middle of whatever it carries, and takes no other until [`Line::mend`].
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.is_cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        lock(&self.state).is_cut = false;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        lock(&self.state).is_over = true;
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.addr);
    }
}

fn join(state: &mut State, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for (mut from, mut to) in [
        (client.try_clone()?, server.try_clone()?),
        (server.try_clone()?, client.try_clone()?),
    ] {
        thread::spawn(move || {
            // Whichever end is closed first, the other is to hear of it.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    state.open.extend([client, server]);
    Ok(())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

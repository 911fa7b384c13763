//! Sockets that are set up before they connect, and how many there may be.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// A socket of TCP that is connected with nobody yet. Programs that other tests start meanwhile do not inherit it: ten thousand of
/// them leave a database's server no files, and a connection stays open for as long as somebody has it.
///
/// # Panics
///
/// When the system has none.
pub fn unconnected_socket() -> OwnedFd {
    Socket::new(Domain::IPV4, Type::STREAM, None)
        .expect("the system has sockets")
        .into()
}

/// Lets this process have as many files open as the system permits: so many, or any number. Other tests run in it, too.
///
/// # Panics
///
/// When the system does not keep to its word.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a process may raise its limit as far as that");
    maximum
}

/// One test at a time may have thousands of files open: two would be short of them, and of the machine's ports.
pub fn many_files() -> MutexGuard<'static, ()> {
    static MANY: Mutex<()> = Mutex::new(());
    // A test that fails leaves nothing behind that the next one would meet.
    MANY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same for a test that has so many, and is not run where the system does not permit that, which is said.
pub fn permits_open_files(wanted: u64) -> Option<MutexGuard<'static, ()>> {
    let most = raise_open_files().unwrap_or(u64::MAX);
    if most < wanted {
        println!("not run: it takes {wanted} open files, and the system permits {most}");
        return None;
    }
    Some(many_files())
}

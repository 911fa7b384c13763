//! A Redis server of a test's own.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::installed::installed;
use crate::port::HeldPort;
use crate::scratch::Scratch;
use crate::wait::eventually;

/// A running `redis-server` on a free port of 127.0.0.1. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Redis {
    port: Arc<HeldPort>,
    child: Child,
    _folder: Scratch,
}

/// One that was killed, and may come back at the same place, empty.
#[derive(Debug)]
pub struct KilledRedis {
    port: Arc<HeldPort>,
}

impl Redis {
    /// Starts one; `None` where the program is known to be absent.
    ///
    /// # Panics
    ///
    /// When it does not answer within 60 s.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further options.
    ///
    /// # Panics
    ///
    /// As [`Redis::start`].
    pub fn start_with(more: &[&str]) -> Option<Self> {
        installed("redis-server")?;
        Some(Self::start_at(Arc::new(HeldPort::new()), more))
    }

    fn start_at(port: Arc<HeldPort>, more: &[&str]) -> Self {
        let addr = port.addr();
        let program = installed("redis-server").expect("it was there a moment ago");
        let folder = Scratch::new();
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(folder.path())
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().expect("redis-server starts");
        eventually(|| TcpStream::connect(addr).is_ok(), "redis-server to listen");
        Self {
            port,
            child,
            _folder: folder,
        }
    }

    /// What a manifest calls it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.port.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Kills it, as a power cut would.
    pub fn kill(self) -> KilledRedis {
        KilledRedis {
            port: self.port.clone(),
        }
    }

    /// Stops it: it takes connections, and answers nothing.
    pub fn pause(&self) {
        signal(&self.child, rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        signal(&self.child, rustix::process::Signal::CONT);
    }

    /// What it answers to a command, as `redis-cli` prints it.
    ///
    /// # Panics
    ///
    /// When there is no `redis-cli`, or no answer.
    pub fn cli(&self, command: &str) -> String {
        self.run(&[], command)
    }

    /// The same with a password.
    ///
    /// # Panics
    ///
    /// As [`Redis::cli`].
    pub fn cli_as(&self, password: &str, command: &str) -> String {
        self.run(&["--no-auth-warning", "-a", password], command)
    }

    fn run(&self, options: &[&str], command: &str) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.addr().port().to_string()]).args(options);
        let output = cli.args(command.split(' ')).output().expect("redis-cli is there");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl KilledRedis {
    /// What a manifest calls it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.port.addr())
    }

    /// Starts it again, empty.
    ///
    /// # Panics
    ///
    /// As [`Redis::start`].
    pub fn restart(self) -> Redis {
        Redis::start_at(self.port, &[])
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    use rustix::process::{Pid, kill_process};
    kill_process(Pid::from_child(child), signal).expect("it runs");
}

//! WASI beside HTTP: command line, clocks, random numbers, filesystem, sockets.
//!
//! Every case runs `wharf run` on a guest and compares what it wrote. Guests exist twice, for WASI 0.3.2 and for 0.3.0,
//! and every case is run on both.

mod cli;
mod clocks;
#[cfg(unix)]
mod filesystem;
#[cfg(unix)]
mod filesystem_limits;
mod random;
mod run;
mod sockets;
mod sockets_peer;
mod version;

//! What the suites share: guests, the program under test, scratch folders, plain HTTP.
//!
//! A suite says what must hold; this library knows how a server is started, spoken to and stopped. Everything here ends
//! by itself: each wait has a deadline, and what was started is ended when its owner is dropped. The deadlines are
//! generous, because they only ever matter to a test that fails.

#[cfg(unix)]
mod database;
pub mod hostile;
pub mod http;
pub mod http2;
mod installed;
mod origin;
#[cfg(unix)]
mod port;
mod program;
#[cfg(unix)]
mod redis;
mod scratch;
mod server;
#[cfg(unix)]
mod socket;
pub mod toolchain;
mod wait;
pub mod websocket;

#[cfg(unix)]
pub use database::{Brand, DatabaseServer, PASSWORD};
pub use installed::{installed, python_package};
pub use origin::Origin;
pub use program::{Finished, finish, guest, wharf};
#[cfg(unix)]
pub use redis::{KilledRedis, Redis};
pub use scratch::Scratch;
pub use server::Server;
#[cfg(unix)]
pub use socket::{many_files, permits_open_files, raise_open_files, unconnected_socket};
pub use wait::{DEADLINE, eventually, eventually_within};

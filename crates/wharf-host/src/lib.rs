//! Loads, compiles, instantiates and limits WebAssembly components.
//!
//! This crate is the engine of Wharf as a library: it knows no manifest and no listener, holds no global state and
//! prints nothing. What a guest may reach beyond clocks, random numbers and its own memory is handed in as
//! [`Capability`]s; where requests come from is the caller's business (`wharf-server` is one such caller).

pub mod capability;
pub mod http;
mod instance;

pub use capability::{Admission, Capability};
pub use instance::InstanceState;

//! Loads, compiles, instantiates and limits WebAssembly components.
//!
//! This crate is the engine of Wharf as a library: it knows no manifest and no listener, holds no global state and
//! prints nothing. What a guest may reach beyond clocks, random numbers and its own memory is handed in as
//! [`Capability`]s; where requests come from is the caller's business (`wharf-server` is one such caller).

pub mod capability;
mod command;
mod component;
mod engine;
pub mod http;
mod instance;
mod limits;
mod link;
mod running;
mod service;
mod state;
pub mod stdio;
mod wasi;
pub mod websocket;

pub use capability::{Admission, Capability, Imports};
pub use command::{Command, Exit};
pub use component::{CacheError, CodeCache, Component, ComponentError};
pub use engine::{Engine, EngineOptions, PoolUsage, Pooling, TICK};
pub use instance::{CallError, Instance};
pub use jiff::tz::TimeZone;
pub use limits::{CpuTimeExceeded, Limits, Refused};
pub use link::LinkError;
pub use service::{Failure, Isolation, Service, ServiceOptions, ServiceUsage};
pub use state::{Capabilities, InstanceState};
pub use wasi::Environment;

//! Loads, compiles, instantiates and limits WebAssembly components.
//!
//! This crate is the engine of Wharf as a library: it reads no manifest and knows no listener, holds no global state and
//! prints nothing. What a guest may reach beyond clocks, random numbers and its own memory is handed in as
//! [`Capability`]s; where requests come from is the caller's business (`wharf-server` is one such caller).

pub mod capability;
mod command;
mod component;
mod descriptors;
mod engine;
pub mod http;
mod instance;
mod item;
mod limits;
mod link;
mod linked;
mod running;
mod service;
mod state;
pub mod stdio;
mod wasi;
pub mod wave;
pub mod websocket;

pub use capability::{Admission, Capability, Imports, Kind, Sample};
pub use command::{Command, Exit};
pub use component::{CacheError, CodeCache, Component, ComponentError, compile};
pub use engine::{Engine, EngineOptions, PoolUsage, Pooling, TICK};
pub use instance::{CallError, ExportedFunction, Instance};
pub use jiff::tz::TimeZone;
pub use limits::{CpuTimeExceeded, Limits, OpenedSocketLimits, Refused};
pub use link::LinkError;
pub use linked::{LinkedComponent, LinkedInterface, WeakLinkedComponent};
pub use service::{Deadline, Failure, Isolation, Service, ServiceOptions, ServiceUsage, UploadRoom};
pub use state::{Capabilities, InstanceState};
pub use wasi::Environment;
/// The engine, for capabilities of anybody's own: their functions are given to its linker, and so of its very version.
pub use wasmtime;
/// What files are, for those who only look at them. The program reaches it through here, see `docs/decisions/0004-arrows.md`.
pub use wharf_app::{describe, wit};

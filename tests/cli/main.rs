//! The program's commands, flags, messages and exit codes.
//!
//! What a guest sees and does is the business of the other suites; here it is what people see and type.

mod cache;
mod call;
mod compile;
mod components;
mod compose;
#[cfg(unix)]
mod dev;
#[cfg(unix)]
mod develop;
mod help;
mod inspect;
#[cfg(unix)]
mod jco;
#[cfg(unix)]
mod manifest;
mod middleware;
#[cfg(unix)]
mod polyglot;
mod refused;
mod run;
mod serve;
#[cfg(unix)]
mod start;
#[cfg(unix)]
mod wasmtime;
mod wit;

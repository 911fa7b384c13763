//! The program's commands, flags, messages and exit codes.
//!
//! What a guest sees and does is the business of the other suites; here it is what people see and type.

mod cache;
mod components;
mod help;
#[cfg(unix)]
mod manifest;
mod middleware;
mod refused;
mod run;
mod serve;

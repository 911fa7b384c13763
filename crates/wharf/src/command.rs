//! One module for each command. Each gives the exit code; what the flags mean is in `cli.rs`.

pub mod check;
pub mod run;
pub mod serve;

//! Builds components: drives the toolchain of each language, or a command of the user's, and puts what comes out in its place,
//! whole or not at all.
//!
//! What is to be built and how is said by a manifest (`wharf_app::app::Build`). Nothing here prints or runs a component: what happens
//! is reported as [`Event`]s, what is missing is named with the command that installs it ([`tools`]), which [`install`] runs for who wants
//! it, and what a language's toolchain is known to let through is told in the end ([`Note`]).

pub mod cargo;
mod check;
mod clang;
mod component;
mod error;
mod explain;
mod files;
mod go;
mod inputs;
pub mod install;
mod javascript;
mod job;
mod pins;
mod process;
mod python;
pub mod tools;
mod world;

pub use check::Note;
pub use error::BuildError;
pub use inputs::{Data, is_derived, real};
pub use job::{Event, Job, Outcome, build};
pub use pins::check_pins;
pub use process::{Children, shown};

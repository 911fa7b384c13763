//! What an app is, at rest: its manifest, its components, what they import and export, how they are joined.
//!
//! Nothing here runs, compiles or listens: files and bytes go in, facts and bytes come out. Running them is
//! `wharf-host`'s business.

pub mod app;
pub mod artefact;
pub mod compose;
pub mod describe;
pub mod imports;
pub mod inspect;
pub mod manifest;
pub mod origin;
pub mod read;
pub mod route;
pub mod secret;
pub mod section;
pub mod wit;

pub use app::App;
pub use compose::ComposeError;
pub use imports::{Missing, MissingImports, missing};
pub use inspect::{InspectError, Inspection, World};
pub use section::{Fault, Section, Sections, Written};

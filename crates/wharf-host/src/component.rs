//! From bytes to a checked, compiled component.
//!
//! What a component may import is decided when it is linked (`link.rs`); how compiled code is kept is in
//! `component/cache.rs`, how it becomes a file that people carry, in `component/artefact.rs`.

mod artefact;
mod cache;

use std::path::Path;
use std::sync::Arc;

use wharf_app::inspect::{InspectError, Inspection};

use crate::engine::Engine;

pub use artefact::compile;
pub use cache::{CacheError, CodeCache};

/// A compiled component, ready to be linked. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    name: Arc<str>,
    inspection: Arc<Inspection>,
    compiled: wasmtime::component::Component,
    engine: Engine,
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// As given.
        path: String,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The bytes are no component.
    #[error("{name}: {error}")]
    NotAComponent {
        /// The component's name, as given.
        name: Arc<str>,
        /// What they are instead.
        error: InspectError,
    },
    /// The bytes are compiled code, which is run only where somebody vouches for it.
    #[error(
        "{name}: this is compiled code, which can do all that this program can: give the component that it was made from; or, if \
         you trust whoever made it, allow it with --allow-precompiled"
    )]
    Precompiled {
        /// The component's name, as given.
        name: Arc<str>,
    },
    /// Compiled code that [`compile`] has not made, or a part of some.
    #[error(
        "{name}: this is compiled code that `wharf compile` has not made, or it is cut off; compile the component with this Wharf: \
         wharf compile FILE.wasm"
    )]
    NotOurs {
        /// The file, as given.
        name: Arc<str>,
    },
    /// Compiled code whose digest is another.
    #[error("{name}: this compiled code is damaged: it is not what its digest says; copy or compile it again")]
    Damaged {
        /// The file, as given.
        name: Arc<str>,
    },
    /// Compiled code for another engine or machine.
    #[error(
        "{name}: compiled by Wharf {made_by} for another engine or machine: {error:#}; compile it again here: wharf compile {component}"
    )]
    OtherEngine {
        /// The file, as given.
        name: Arc<str>,
        /// What the component may be called.
        component: String,
        /// The version of Wharf that compiled it.
        made_by: String,
        /// What does not fit.
        error: wasmtime::Error,
    },
    /// Nothing here compiles for a target.
    #[error(
        "cannot compile for {target}: {error:#}; this build compiles for the processors of its own kind, such as {}",
        this_target()
    )]
    Target {
        /// The target triple.
        target: String,
        /// What is missing.
        error: wasmtime::Error,
    },
    /// The component is well-formed but does not compile on this engine.
    #[error("{name}: cannot be compiled: {error:#}")]
    Compile {
        /// The component's name, as given.
        name: Arc<str>,
        /// What the compiler said.
        error: wasmtime::Error,
    },
}

impl Component {
    /// Reads and compiles the file at `path`, or takes compiled code from `cache`.
    ///
    /// # Errors
    /// When the file cannot be read, or for the reasons of [`Component::new`].
    pub fn from_file(engine: &Engine, path: &Path, cache: Option<&CodeCache>) -> Result<Self, ComponentError> {
        let bytes = std::fs::read(path).map_err(|error| ComponentError::Unreadable {
            path: path.display().to_string(),
            error,
        })?;
        Self::new(engine, &path.display().to_string(), &bytes, cache)
    }

    /// Compiles `bytes`, or takes compiled code from `cache`. `name` is for messages only.
    ///
    /// # Errors
    /// When the bytes are not a component, or do not compile.
    pub fn new(engine: &Engine, name: &str, bytes: &[u8], cache: Option<&CodeCache>) -> Result<Self, ComponentError> {
        if Self::is_artefact(bytes) {
            return Err(ComponentError::Precompiled { name: name.into() });
        }
        let inspection = inspect(name, bytes)?;
        let compiled = match cache {
            Some(cache) => cache.load_or_compile(engine, bytes),
            None => wasmtime::component::Component::from_binary(engine.wasmtime(), bytes),
        };
        let compiled = compiled.map_err(|error| ComponentError::Compile {
            name: name.into(),
            error,
        })?;
        Ok(Self::of(engine, name, inspection, compiled))
    }

    /// Takes compiled code from `cache`, and compiles nothing: `None` where it is not there. `name` is for messages only.
    ///
    /// # Errors
    /// When the bytes are not a component.
    pub fn cached(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        cache: &CodeCache,
    ) -> Result<Option<Self>, ComponentError> {
        if Self::is_artefact(bytes) {
            return Err(ComponentError::Precompiled { name: name.into() });
        }
        let inspection = inspect(name, bytes)?;
        let compiled = cache.load(engine, bytes);
        Ok(compiled.map(|compiled| Self::of(engine, name, inspection, compiled)))
    }

    fn of(engine: &Engine, name: &str, inspection: Inspection, compiled: wasmtime::component::Component) -> Self {
        Self {
            name: name.into(),
            inspection: Arc::new(inspection),
            compiled,
            engine: engine.clone(),
        }
    }

    /// The name given when it was loaded, usually its file's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it imports and exports.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Pages of 64 KiB that its largest memory begins with.
    pub(crate) fn memory_pages(&self) -> u64 {
        let needs = self.compiled.resources_required();
        needs.and_then(|needs| needs.max_initial_memory_size).unwrap_or(0)
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The Wasmtime component inside, for embedders that go beyond this crate.
    pub fn wasmtime(&self) -> &wasmtime::component::Component {
        &self.compiled
    }
}

/// The target triple of Linux on a processor like this one.
fn this_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn inspect(name: &str, bytes: &[u8]) -> Result<Inspection, ComponentError> {
    Inspection::new(bytes).map_err(|error| ComponentError::NotAComponent {
        name: name.into(),
        error,
    })
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

//! From bytes to a checked, compiled component.
//!
//! What a component may import is decided when it is linked (`link.rs`); how compiled code is kept is in
//! `component/cache.rs`.

mod cache;

use std::path::Path;
use std::sync::Arc;

use wharf_app::inspect::{InspectError, Inspection};

use crate::engine::Engine;

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

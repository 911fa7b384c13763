//! Joins a component with what it imports.

use std::sync::Arc;

use wasmtime::component::InstancePre;
use wharf_app::imports::{MissingImports, missing};

use crate::capability::Imports;
use crate::component::Component;
use crate::state::{Capabilities, InstanceState};

/// Why a component cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It imports what nothing here provides.
    #[error("{name}: {missing}")]
    Missing {
        /// The component's name.
        name: Arc<str>,
        /// Each import, and what to do about it.
        missing: MissingImports,
    },
    /// It imports something of the right name and the wrong type.
    #[error("{name}: an import does not match what Wharf provides: {error:#}")]
    Mismatch {
        /// The component's name.
        name: Arc<str>,
        /// What differs.
        error: wasmtime::Error,
    },
    /// It asks for more than an instance may have.
    #[error("{name}: {wants}")]
    Limit {
        /// The component's name.
        name: Arc<str>,
        /// What it wants, and which limit stands against it.
        wants: String,
    },
    /// A capability could not add its functions.
    #[error("capability {capability}: {error:#}")]
    Capability {
        /// The capability's name.
        capability: &'static str,
        /// What it said.
        error: wasmtime::Error,
    },
    /// It exports nothing that can be called this way.
    #[error("{name}: {wanted}")]
    World {
        /// The component's name.
        name: Arc<str>,
        /// What it would have to export, and what it is instead.
        wanted: String,
    },
}

/// Links `component` with WASI and `capabilities`.
pub(crate) fn link(
    component: &Component,
    capabilities: &Capabilities,
) -> Result<InstancePre<InstanceState>, LinkError> {
    let name: Arc<str> = component.name().into();
    let mismatch = |error| LinkError::Mismatch {
        name: name.clone(),
        error,
    };
    let mut imports = Imports::new(component.engine().wasi().map_err(mismatch)?, component);
    for capability in capabilities.iter() {
        capability.link(&mut imports).map_err(|error| LinkError::Capability {
            capability: capability.name(),
            error,
        })?;
    }
    imports.get().instantiate_pre(component.wasmtime()).map_err(|error| {
        // Wasmtime names the first import it cannot meet; users want them all, and what to do.
        let missing = missing(component.inspection()).with_functions(|import| component.functions_of_import(import));
        match missing.is_empty() {
            true => mismatch(error),
            false => LinkError::Missing {
                name: name.clone(),
                missing,
            },
        }
    })
}

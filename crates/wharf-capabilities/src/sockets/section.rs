//! The section `[sockets]` of manifests.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wharf_host::Kind;
use wharf_host::capability::{Capability, Fault, OpenError, Section, Written};

use super::SocketsCapability;
use crate::allow::{self, AllowList, Pattern};

/// Where sockets and name lookups of guests may go.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sockets {
    /// What may be reached, as for `[http-client]` and without a scheme. What is not allowed fails with `access-denied`.
    /// Default: nothing.
    #[serde(default)]
    allow: Vec<String>,
}

/// Reads the section, and grants what it says.
pub struct SocketsKind;

impl Section for SocketsKind {
    fn name(&self) -> &'static str {
        "sockets"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Sockets>()
    }

    /// `wasi:sockets` is there for every app; without the section all is denied.
    fn interfaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        let section: Sockets = match written.read() {
            Ok(section) => section,
            Err(fault) => return vec![fault],
        };
        let mut faults = allow::faults("allow", &section.allow);
        for (nth, text) in section.allow.iter().enumerate() {
            if let Ok(pattern) = text.parse::<Pattern>()
                && let Err(error) = super::without_scheme(&pattern)
            {
                faults.push(Fault::new(["allow", &nth.to_string()], error.to_string()));
            }
        }
        faults
    }
}

impl Kind for SocketsKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let section: Sockets = written.read()?;
        Ok(Arc::new(SocketsCapability::new(app, AllowList::parse(section.allow)?)?))
    }
}

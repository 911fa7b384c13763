//! Failures of a linked component, as its callers see them.

use std::sync::Arc;

use wasmtime::component::Val;
use wasmtime::component::types::{Case, Type};

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The instance ended while it had the call. The next call is taken by a new one.
    #[error("the linked component {component} ended: {reason}")]
    Ended {
        /// The linked component's name.
        component: Arc<str>,
        /// How.
        reason: Arc<str>,
    },
    /// Who was to write a future has dropped it.
    #[error("the linked component {component}, or its caller, ended before it wrote a future")]
    Unwritten {
        /// The linked component's name.
        component: Arc<str>,
    },
    /// A resource of an instance that has ended since.
    #[error("the linked component {component} has ended since it made this resource")]
    Stale {
        /// The linked component's name.
        component: Arc<str>,
    },
}

/// How a function's type says that something failed which its component did not foresee.
///
/// The error of its `result` is a `string`: it says what happened. It is a variant or an enumeration that has one of
/// [`NAMES`] as a case, bare or with a `string`: it is the first of those. Otherwise there is no word for it, and the caller
/// traps as it would if both were one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OnFault {
    /// A string.
    Text,
    /// A variant's case, with a string or not.
    Case {
        /// The case.
        name: &'static str,
        /// Whether it carries a string.
        with_text: bool,
    },
    /// One of an enumeration.
    Name(&'static str),
    /// A bare `result`, whose error has no value.
    Bare,
    /// It has no word for it.
    Trap,
}

/// Cases that say "this cannot be had now", from the most to the least exact.
const NAMES: [&str; 6] = [
    "unavailable",
    "internal-error",
    "internal",
    "other",
    "unknown",
    "failed",
];

impl OnFault {
    /// For a function with this result.
    pub fn new(result: Option<&Type>) -> Self {
        let Some(Type::Result(result)) = result else {
            return Self::Trap;
        };
        match result.err() {
            None => Self::Bare,
            Some(Type::String) => Self::Text,
            Some(Type::Variant(variant)) => {
                let is_fit = |case: &Case<'_>| matches!(case.ty, None | Some(Type::String));
                let find = |name: &&'static str| variant.cases().find(|case| case.name == *name && is_fit(case));
                let found = NAMES.iter().find_map(|name| find(name).map(|case| (*name, case)));
                found.map_or(Self::Trap, |(name, case)| Self::Case {
                    name,
                    with_text: case.ty.is_some(),
                })
            }
            Some(Type::Enum(names)) => {
                let found = NAMES.iter().find(|name| names.names().any(|known| known == **name));
                found.map_or(Self::Trap, |name| Self::Name(name))
            }
            Some(_) => Self::Trap,
        }
    }

    /// The value that says `fault`.
    pub fn value(&self, fault: &Fault) -> Option<Val> {
        let text = || Box::new(Val::String(fault.to_string()));
        let error = match self {
            Self::Text => Some(text()),
            Self::Case { name, with_text } => {
                let payload = with_text.then(text);
                Some(Box::new(Val::Variant((*name).to_owned(), payload)))
            }
            Self::Name(name) => Some(Box::new(Val::Enum((*name).to_owned()))),
            Self::Bare => None,
            Self::Trap => return None,
        };
        Some(Val::Result(Err(error)))
    }
}

//! What guests bind to a statement's parameters, and the room in the server that it takes until the statement has ended.

use std::ops::Deref;
use std::sync::Arc;

use super::value::{Value, row_bytes};
use crate::held::{Held, Holding, NoRoom};

/// The parameters of one statement. They count as held for as long as they are there.
#[derive(Debug, Default)]
pub(super) struct Params {
    values: Vec<Value>,
    held: Option<Held>,
}

impl Params {
    /// Those of `sql`, whose text counts as well, where there is room for them.
    pub fn take(holding: &Arc<Holding>, sql: &str, values: Vec<Value>) -> Result<Self, NoRoom> {
        let held = Some(holding.take(bytes(sql, &values))?);
        Ok(Self { values, held })
    }

    /// Who counts them.
    pub fn holding(&self) -> Option<Arc<Holding>> {
        self.held.as_ref().map(|held| held.by().clone())
    }
}

/// What a call takes, about.
pub(super) fn bytes(sql: &str, values: &[Value]) -> usize {
    sql.len() + row_bytes(values)
}

/// What is not a guest's counts as nothing.
impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self { values, held: None }
    }
}

impl Deref for Params {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.values
    }
}

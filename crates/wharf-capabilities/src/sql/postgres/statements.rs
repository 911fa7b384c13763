//! The statements that a connection has prepared: the same text is prepared once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::{Client, Statement};

use super::errors;
use crate::sql::error::Failure;

/// More than an app has; one that makes texts of its own each time pushes out its own.
const STATEMENTS_MAX: usize = 128;

#[derive(Default)]
pub(super) struct Statements {
    prepared: HashMap<Arc<str>, Prepared>,
    uses: u64,
}

struct Prepared {
    statement: Statement,
    last_use: u64,
}

impl Statements {
    pub async fn prepare(&mut self, client: &Client, sql: &Arc<str>) -> Result<Statement, Failure> {
        self.uses += 1;
        if let Some(known) = self.prepared.get_mut(sql) {
            known.last_use = self.uses;
            return Ok(known.statement.clone());
        }
        let statement = client.prepare(sql).await.map_err(errors::failure)?;
        if self.prepared.len() >= STATEMENTS_MAX {
            let oldest = self.prepared.iter().min_by_key(|(_, known)| known.last_use);
            let oldest = oldest.map(|(sql, _)| sql.clone());
            // Dropped, it is closed on the server, too.
            oldest.map(|oldest| self.prepared.remove(&oldest));
        }
        let prepared = Prepared {
            statement: statement.clone(),
            last_use: self.uses,
        };
        self.prepared.insert(sql.clone(), prepared);
        Ok(statement)
    }

    /// It does not hold any more.
    pub fn forget(&mut self, sql: &str) {
        self.prepared.remove(sql);
    }
}

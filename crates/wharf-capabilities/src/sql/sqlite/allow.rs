//! What statements of guests may do in SQLite: everything inside their database, and nothing outside of it or to the
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Pragmas that only tell something, when they are given nothing to set.
const TELLING: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "page_count",
    "page_size",
    "pragma_list",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Of these, those whose value says what to tell about.
const ABOUT: &[&str] = &[
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Whose statements are being prepared.
#[derive(Clone, Default)]
pub(super) struct Allow(Arc<AtomicBool>);

/// While it lives, statements are the host's own.
pub(super) struct All<'a>(&'a Allow);

impl Allow {
    pub fn all(&self) -> All<'_> {
        self.0.store(true, Ordering::Relaxed);
        All(self)
    }

    /// What SQLite asks about each step of a statement that it prepares.
    pub fn authorizer(&self) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
        let is_ours = self.0.clone();
        move |context| match is_ours.load(Ordering::Relaxed) || may(&context.action) {
            true => Authorization::Allow,
            false => Authorization::Deny,
        }
    }
}

impl Drop for All<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

fn may(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Transaction { .. } => false,
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            let is = |list: &[&str]| list.iter().any(|known| pragma_name.eq_ignore_ascii_case(known));
            is(if pragma_value.is_some() { ABOUT } else { TELLING })
        }
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Unknown { .. } => false,
        _ => true,
    }
}

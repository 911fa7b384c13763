//! Statements that commit whatever transaction they are in, as definitions do in MySQL and MariaDB. In a transaction they are refused
//! before they are sent: told afterwards, a guest could undo neither them nor what they have committed.
//!
//! What is not known here is seen when it has happened (`sql/error.rs`).

use crate::sql::statement::Words;

pub(super) const WHY: &str =
    "the statement would commit the transaction: definitions of tables and their like are run outside of one";

const COMMITTING: &[&str] = &[
    "alter",
    "cache",
    "change",
    "check",
    "flush",
    "grant",
    "install",
    "lock",
    "optimize",
    "rename",
    "repair",
    "reset",
    "revoke",
    "truncate",
    "uninstall",
    "unlock",
];

/// Whether a statement is one of these.
pub(super) fn commits(sql: &str) -> bool {
    let mut words = Words(sql).map(str::to_ascii_lowercase);
    let first = words.next().unwrap_or_default();
    let next: Vec<_> = words.take(3).collect();
    let next: Vec<_> = next.iter().map(String::as_str).collect();
    match first.as_str() {
        "create" => !matches!(&next[..], ["temporary", ..] | ["or", "replace", "temporary"]),
        "drop" => !matches!(&next[..], ["temporary", ..] | ["prepare", ..]),
        "analyze" => matches!(&next[..], ["table" | "local" | "no_write_to_binlog", ..]),
        "load" => matches!(&next[..], ["index", ..]),
        "set" => matches!(&next[..], ["password", ..]),
        first => COMMITTING.contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commits_is_told_from_what_does_not() {
        let cases = [
            ("CREATE TABLE a (b INTEGER)", true),
            ("create or replace table a (b integer)", true),
            ("create unique index a on b (c)", true),
            ("/* a comment */ Drop Table a", true),
            ("truncate a", true),
            ("analyze table a", true),
            ("set password = 'a'", true),
            ("create temporary table a (b integer)", false),
            ("create or replace temporary table a (b integer)", false),
            ("drop temporary table a", false),
            ("analyze select 1", false),
            ("load data infile 'a' into table b", false),
            ("set @a = 1", false),
            ("insert into a values ('create table a')", false),
            ("select 1", false),
            ("replace into a values (1)", false),
            ("", false),
        ];
        for (sql, expected) in cases {
            assert_eq!(commits(sql), expected, "{sql}");
        }
    }
}

//! What a statement is, by its first word and a few others: whether guests may run it, and what it leaves behind on its connection.
//!
//! Whether a statement is right is the database's to say. This only keeps connections of a pool alike: transactions are begun by
//! `begin` alone, so that nobody finds himself in somebody else's; and a connection whose settings a statement may have
//! changed is made as good as new before the next has it. What a function of the database's does that is called by a name of its own
//! is not seen here.

use super::error::Error;

/// What is done with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Most likely only reads.
    Reads,
    /// Changes data or their definition, and nothing about the connection.
    Writes,
    /// May change the connection, which is made as good as new afterwards.
    Taints,
}

/// Begin with these: transactions, and what belongs to them.
const OF_TRANSACTIONS: &[&str] = &[
    "abort",
    "begin",
    "commit",
    "end",
    "release",
    "rollback",
    "savepoint",
    "start",
    "xa",
];

const READING: &[&str] = &[
    "desc", "describe", "explain", "pragma", "select", "show", "table", "values", "with",
];

const WRITING: &[&str] = &[
    "alter", "analyze", "cluster", "comment", "delete", "drop", "grant", "insert", "merge", "optimize", "reindex",
    "refresh", "rename", "replace", "revoke", "truncate", "update", "vacuum",
];

/// Functions and places that change a connection, or keep something for it, wherever they are named: settings, locks that no
/// transaction ends, PostgreSQL's folder of temporary tables.
const TAINTING: &[&str] = &[
    "get_lock",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_temp",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "set_config",
    "setseed",
];

/// Which kind a statement is of.
///
/// # Errors
/// Where guests may not run it.
pub(super) fn kind(sql: &str, in_transaction: bool) -> Result<Kind, Error> {
    let mut words = Words(sql);
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let second = words.next().unwrap_or_default().to_ascii_lowercase();
    if first.is_empty() && words.0.is_empty() {
        return Err(Error::NotAllowed("the statement is empty".to_owned()));
    }
    let marks_place = matches!(first.as_str(), "savepoint" | "release") || (first == "rollback" && second == "to");
    if in_transaction && marks_place {
        return Ok(Kind::Writes);
    }
    let prepares = first == "prepare" && second == "transaction";
    let sets = first == "set" && (second == "transaction" || second == "autocommit" || second == "session");
    if is_among(OF_TRANSACTIONS, &first) || prepares || sets {
        let what = format!("`{first}` is not for guests: transactions begin with `begin` of wharf:sql");
        return Err(Error::NotAllowed(what));
    }
    if first == "copy" && uses_stream(sql) {
        let what = "`copy` from and to the client is not for guests: rows are read with `query` and stored with `execute-many`";
        return Err(Error::NotAllowed(what.to_owned()));
    }
    if first == "create" {
        let is_temporary = matches!(second.as_str(), "temp" | "temporary" | "local" | "global" | "or") || taints(sql);
        return Ok(if is_temporary { Kind::Taints } else { Kind::Writes });
    }
    Ok(match () {
        () if taints(sql) => Kind::Taints,
        () if is_among(READING, &first) => Kind::Reads,
        () if is_among(WRITING, &first) => Kind::Writes,
        () => Kind::Taints,
    })
}

/// Whether something in the statement says that it changes its connection: one of [`TAINTING`], a temporary table that a `SELECT` makes,
/// a variable of MySQL's (`@x`). Texts and comments are not left out: one that reads like such costs a little time.
fn taints(sql: &str) -> bool {
    let mut before = "";
    let names = sql
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .any(|word| {
            let is_temporary = word.eq_ignore_ascii_case("temp") || word.eq_ignore_ascii_case("temporary");
            let makes = is_temporary && before.eq_ignore_ascii_case("into");
            before = word;
            makes || TAINTING.iter().any(|name| word.eq_ignore_ascii_case(name))
        });
    names || names_variable(sql)
}

/// Whether there is a `@` before a name and after none: neither an address of mail, nor an operator, nor a setting (`@@x`).
fn names_variable(sql: &str) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_`'\"$.".contains(byte);
    let bytes = sql.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        *byte == b'@'
            && bytes.get(at + 1).is_some_and(is_name)
            && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"@_<".contains(byte))
    })
}

/// Whether a statement asks for rows and, as far as its first word tells, changes none.
pub(super) fn reads(sql: &str) -> bool {
    Words(sql).next().is_some_and(|first| is_among(READING, first))
}

fn is_among(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether PostgreSQL would talk another protocol from then on, the one for data in bulk.
fn uses_stream(sql: &str) -> bool {
    let mut words = sql.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word.eq_ignore_ascii_case("stdin") || word.eq_ignore_ascii_case("stdout"))
}

/// The words that a statement begins with, without comments. What a server may run although it looks like a comment
/// (`/*! ... */` of MySQL's) is no comment.
pub(super) struct Words<'a>(pub &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self
                .0
                .trim_start_matches(|c: char| c.is_whitespace() || c == '(' || c == ';');
            if let Some(comment) = self.0.strip_prefix("--").or_else(|| self.0.strip_prefix('#')) {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if self.0.starts_with("/*!") || self.0.starts_with("/*M!") {
                return None;
            } else if self.0.starts_with("/*") {
                self.0 = after_comment(self.0)?;
            } else {
                break;
            }
        }
        let end = self.0.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// What stands behind a comment in `/* */`. PostgreSQL nests them, the others do not: of one with another's beginning in it nobody knows
/// where it ends, and what the statement is.
fn after_comment(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("/*").unwrap_or(text);
    let Some(end) = inner.find("*/") else {
        return Some("");
    };
    let begins_another = inner.find("/*").is_some_and(|at| at < end);
    (!begins_another).then_some(&inner[end + 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        use Kind::{Reads, Taints, Writes};
        let cases = [
            ("SELECT 1", Some(Reads)),
            ("  -- a comment\n /* another */ (select 1)", Some(Reads)),
            ("with a as (select 1) select * from a", Some(Reads)),
            ("INSERT INTO a VALUES (1)", Some(Writes)),
            ("create table a (b int)", Some(Writes)),
            ("create temp table a (b int)", Some(Taints)),
            ("set search_path to b", Some(Taints)),
            ("/*! select 1 */", Some(Taints)),
            ("/* /* */ */ commit", Some(Taints)),
            ("/* /* */ commit -- */ select 1", Some(Taints)),
            ("/*/* */ */ select 1", Some(Taints)),
            ("/* /*/ commit", Some(Taints)),
            ("/*/ select 1 /*/ commit", Some(Taints)),
            ("/*/ */ select 1", Some(Reads)),
            ("/* never ends", None),
            ("/* a */ /* b */ commit", None),
            ("pragma table_info(a)", Some(Reads)),
            ("SELECT set_config('search_path', 'b', false)", Some(Taints)),
            ("select 1 as a INTO TEMP b", Some(Taints)),
            ("select temp from readings where into_temp = 1", Some(Reads)),
            ("create table pg_temp.a (b int)", Some(Taints)),
            ("create or replace view a as select 1", Some(Taints)),
            ("do $$ begin set a to b; end $$", Some(Taints)),
            ("call a()", Some(Taints)),
            ("select pg_advisory_lock(1)", Some(Taints)),
            ("select PG_TRY_ADVISORY_LOCK_SHARED(1)", Some(Taints)),
            ("select pg_advisory_xact_lock(1)", Some(Reads)),
            ("select get_lock('a', 1)", Some(Taints)),
            ("select @x := 5", Some(Taints)),
            ("insert into a values (@`b c`)", Some(Taints)),
            ("select 1 into @x", Some(Taints)),
            (
                "select @@version, a @> b, a <@ b, @ -5 from c where d @@ e",
                Some(Reads),
            ),
            ("select 1 from a where mail = 'b@c.test'", Some(Reads)),
            ("", None),
            ("-- nothing", None),
            ("begin", None),
            (";START TRANSACTION", None),
            ("# comment\ncommit", None),
            ("set transaction read write", None),
            ("prepare transaction 'a'", None),
            ("savepoint a", None),
            ("COPY a TO STDOUT", None),
            ("copy a (b) from stdin with (format csv)", None),
            ("copy (select 1) to '/tmp/a'", Some(Taints)),
        ];
        for (sql, expected) in cases {
            assert_eq!(kind(sql, false).ok(), expected, "{sql}");
        }
    }

    #[test]
    fn places_in_a_transaction_can_be_marked() {
        let cases = [
            ("savepoint a", true),
            ("release savepoint a", true),
            ("rollback to a", true),
            ("rollback", false),
            ("rollback and chain", false),
            ("commit", false),
        ];
        for (sql, is_allowed) in cases {
            assert_eq!(kind(sql, true).is_ok(), is_allowed, "{sql}");
        }
    }
}

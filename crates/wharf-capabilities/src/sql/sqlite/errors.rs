//! What SQLite reports, as guests see it.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::sql::error::{DbError, Error, Failure};

/// There is no more room in the database, in a temporary table, or on the disk.
pub(in crate::sql) const FULL: &str = "SQLITE_FULL";
/// All databases in this process have taken the memory there is for them.
pub(in crate::sql) const NO_MEMORY: &str = "SQLITE_NOMEM";

/// How a statement failed.
pub(super) fn failure(error: rusqlite::Error) -> Failure {
    if matches!(error, rusqlite::Error::MultipleStatement) {
        return Error::NotAllowed("a call takes one statement".to_owned()).into();
    }
    if error.to_string().starts_with("not authorized") {
        return not_allowed();
    }
    let rusqlite::Error::SqliteFailure(reported, _) = &error else {
        // A text with a zero byte, a parameter that is too large, and the like; with where in the text, a syntax error.
        let code = error.sqlite_extended_error_code().unwrap_or(ffi::SQLITE_ERROR);
        return Error::QueryFailed(report(code, error.to_string())).into();
    };
    let report = report(reported.extended_code, error.to_string());
    match reported.code {
        // Of what the process may have: the connection is as it was, less a transaction perhaps, which is seen at the next call.
        _ if report.code == NO_MEMORY => Error::QueryFailed(report).into(),
        ErrorCode::OperationInterrupted => Error::Cancelled.into(),
        // Those who write here take turns, and who reads waits for none of them: it is another program.
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Locked(report),
        ErrorCode::AuthorizationForStatementDenied => not_allowed(),
        ErrorCode::TooBig => Error::ValueConversionFailed("a value or a row is too large".to_owned()).into(),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
            Failure::Lost(Error::QueryFailed(report))
        }
        _ => Error::QueryFailed(report).into(),
    }
}

/// The authorizer has said no, to a statement or to a function in one.
fn not_allowed() -> Failure {
    let what = "this statement changes the connection, or leads out of the database".to_owned();
    Error::NotAllowed(what).into()
}

fn report(code: i32, message: String) -> DbError {
    let constraint = message
        .split_once("constraint failed: ")
        .map(|(_, name)| name.to_owned());
    DbError {
        code: name(code),
        message,
        detail: None,
        constraint,
    }
}

/// The name that SQLite's documentation has for a code. Of those with further particulars, only constraints are told apart.
fn name(code: i32) -> String {
    let known = match code {
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_BUSY_SNAPSHOT => "SQLITE_BUSY_SNAPSHOT",
        // The memory that it wanted was for reading or writing.
        ffi::SQLITE_IOERR_NOMEM => NO_MEMORY,
        _ => primary_name(code & 0xff),
    };
    match known {
        "" => format!("SQLITE_{code}"),
        known => known.to_owned(),
    }
}

fn primary_name(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_IOERR => "SQLITE_IOERR",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_FULL => FULL,
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_NOMEM => NO_MEMORY,
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        _ => "",
    }
}

//! What PostgreSQL and its client report, as guests and operators see it.

use std::error::Error as _;

use tokio_postgres::error::DbError as Reported;

use crate::sql::engine::ConnectError;
use crate::sql::error::{DbError, Error, Failure};
use crate::sql::options::Server;

const CANCELLED: &str = "57014";

/// How a statement failed.
pub(super) fn failure(error: tokio_postgres::Error) -> Failure {
    let Some(reported) = error.as_db_error() else {
        let is_lost = error.is_closed() || has_io_error(&error);
        return match is_lost {
            true => Failure::Gone(chain(&error)),
            false => Failure::Lost(Error::Other(chain(&error))),
        };
    };
    let report = report(reported);
    match report.code.as_str() {
        CANCELLED => Error::Cancelled.into(),
        "40001" | "40P01" | "55P03" => Error::Conflict(report).into(),
        // A statement that is said not to be one.
        "42601" if report.message.contains("multiple commands") => {
            Error::NotAllowed("a call takes one statement".to_owned()).into()
        }
        // The server stops, or somebody has ended this connection.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Failure::Gone(report.to_string()),
        code if code.starts_with("08") => Failure::Gone(report.to_string()),
        _ => Error::QueryFailed(report).into(),
    }
}

fn has_io_error(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

fn report(reported: &Reported) -> DbError {
    DbError {
        code: reported.code().code().to_owned(),
        message: reported.message().to_owned(),
        detail: reported.detail().map(str::to_owned),
        constraint: reported.constraint().map(str::to_owned),
    }
}

/// Whether a statement was prepared for tables as they were: its result would be another, or it is not known any more.
pub(super) fn is_stale(outcome: &Result<u64, Failure>) -> bool {
    let Err(Failure::Refused(Error::QueryFailed(error))) = outcome else {
        return false;
    };
    (error.code == "0A000" && error.message.contains("cached plan")) || error.code == "26000"
}

/// Why there is no connection.
pub(super) fn connect(server: &Server, error: &tokio_postgres::Error) -> ConnectError {
    let reason = format!("{}:{}: {}", server.host, server.port, chain(error));
    match error.as_db_error().map(|reported| reported.code().code()) {
        // Credentials, or the database's name.
        Some(code) if code.starts_with("28") || code == "3D000" => ConnectError::denied(reason),
        Some("53300") => ConnectError::full(reason),
        Some(_) => ConnectError::unreachable(reason),
        None if reason.contains("TLS handshake") => ConnectError::tls(reason),
        None if reason.contains("authentication") || reason.contains("password") => ConnectError::denied(reason),
        None => ConnectError::unreachable(reason),
    }
}

/// An error and what it comes from.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

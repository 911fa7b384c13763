//! What MySQL, MariaDB and their client report, as guests and operators see it.

use mysql_async::{DriverError, Error as Reported, IoError, ServerError};

use crate::sql::engine::ConnectError;
use crate::sql::error::{DbError, Error, Failure};
use crate::sql::options::Server;

/// How a statement failed whose result may have rows of so many bytes.
pub(super) fn of_result(error: Reported, row_bytes_max: usize) -> Failure {
    match is_too_large(&error) {
        true => Failure::Large {
            what: format!("a row of more than the {row_bytes_max} bytes that one may have"),
            is_lost: true,
        },
        false => failure(error),
    }
}

/// The client has no other word for it.
fn is_too_large(error: &Reported) -> bool {
    let Reported::Io(IoError::Io(error)) = error else {
        return false;
    };
    error.to_string().contains("larger than max_allowed_packet")
}

/// How a statement failed.
pub(super) fn failure(error: Reported) -> Failure {
    match error {
        Reported::Server(reported) => of_server(reported),
        error if is_too_large(&error) => Failure::Lost(Error::NotAllowed("the statement is too large".to_owned())),
        Reported::Io(_) | Reported::Driver(DriverError::ConnectionClosed | DriverError::PacketOutOfOrder) => {
            Failure::Gone(error.to_string())
        }
        Reported::Driver(DriverError::MixedParams) => {
            Error::InvalidParams("parameters have no names here: each is a `?`".to_owned()).into()
        }
        Reported::Driver(DriverError::LocalInfile(_)) => {
            Failure::Lost(Error::NotAllowed("files of this machine are not loaded".to_owned()))
        }
        error => Failure::Lost(Error::Other(error.to_string())),
    }
}

fn of_server(reported: ServerError) -> Failure {
    let code = reported.code;
    let report = DbError {
        constraint: constraint(&reported),
        code: reported.state,
        message: reported.message,
        detail: Some(format!("error {code}")),
    };
    match code {
        // Interrupted by KILL QUERY.
        1317 => Error::Cancelled.into(),
        // Deadlock; a lock that was not had in time; a row that changed since the transaction began.
        1205 | 1213 | 1020 | 3572 => Error::Conflict(report).into(),
        // The server stops; somebody has ended this connection.
        1053 | 1927 | 1152 | 1158..=1161 | 4031 => Failure::Gone(format!("{report}, error {code}")),
        _ => Error::QueryFailed(report).into(),
    }
}

/// The name in `... for key 'NAME'` and ``CONSTRAINT `NAME` ``, where they are reported.
fn constraint(reported: &ServerError) -> Option<String> {
    let (before, quote) = match reported.code {
        1062 | 1586 => ("for key '", '\''),
        1451 | 1452 | 3819 | 4025 => ("CONSTRAINT `", '`'),
        _ => return None,
    };
    let (_, name) = reported.message.split_once(before)?;
    name.split_once(quote).map(|(name, _)| name.to_owned())
}

/// Why there is no connection.
pub(super) fn connect(server: &Server, error: &Reported) -> ConnectError {
    let reason = format!("{}:{}: {error}", server.host, server.port);
    match error {
        // Credentials, or the database's name.
        Reported::Server(ServerError {
            code: 1044 | 1045 | 1049 | 1698 | 1251,
            ..
        }) => ConnectError::denied(reason),
        Reported::Server(ServerError {
            code: 1040 | 1203 | 1226,
            ..
        }) => ConnectError::full(reason),
        Reported::Io(IoError::Tls(_)) => ConnectError::tls(reason),
        Reported::Driver(DriverError::NoClientSslFlagFromServer) => ConnectError::tls(reason),
        // How a certificate that does not hold arrives.
        Reported::Io(_) if reason.contains("certificate") => ConnectError::tls(reason),
        _ => ConnectError::unreachable(reason),
    }
}

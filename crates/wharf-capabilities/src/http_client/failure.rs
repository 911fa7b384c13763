//! The one place where what went wrong with an outgoing request becomes the guest's `error-code`.
//!
//! The codes are those of RFC 9209, 2.3; what its text says of each decides here.

use std::error::Error;
use std::io;

use wharf_host::capability::LookupError;
use wharf_host::http::{DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload};

/// How far an exchange had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the response was received.
    Unanswered,
    /// Some of it was.
    Answering,
}

/// A name without addresses.
pub(super) fn of_lookup(error: LookupError) -> ErrorCode {
    // The system's resolver does not hand on the name server's code. These two are what it makes its results of.
    let rcode = match error {
        LookupError::NameUnresolvable => Some("NXDOMAIN"),
        LookupError::TemporaryResolverFailure => Some("SERVFAIL"),
        LookupError::InvalidArgument => return ErrorCode::HttpRequestUriInvalid,
        LookupError::AccessDenied => return ErrorCode::HttpRequestDenied,
        LookupError::PermanentResolverFailure => None,
    };
    ErrorCode::DnsError(DnsErrorPayload {
        rcode: rcode.map(str::to_owned),
        info_code: None,
    })
}

/// No address of the origin accepted a connection.
pub(super) fn of_connecting(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => ErrorCode::DestinationIpUnroutable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ErrorCode::ConnectionTerminated,
        // The process or the system has no more descriptors (EMFILE, ENFILE; the same numbers on all unixes).
        _ if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) => ErrorCode::ConnectionLimitReached,
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// TLS was not agreed on.
pub(super) fn of_handshake(error: &io::Error) -> ErrorCode {
    of_io(error, Phase::Unanswered)
}

/// HTTP did not begin on a connection that stands.
pub(super) fn of_opening(error: &hyper::Error) -> ErrorCode {
    of_exchange(error, Phase::Unanswered)
}

/// An exchange broke off.
pub(super) fn of_exchange(error: &hyper::Error, phase: Phase) -> ErrorCode {
    if error.is_timeout() {
        // No sign of life from a connection of HTTP/2.
        return ErrorCode::ConnectionReadTimeout;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return of_http2(error, phase);
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return of_io(error, phase);
        }
        source = cause.source();
    }
    if error.is_parse_too_large() {
        ErrorCode::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        ErrorCode::HttpProtocolError
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        lost(phase)
    } else if phase == Phase::Answering {
        // The connection's task knows more than the body it was reading.
        ErrorCode::HttpResponseIncomplete
    } else {
        ErrorCode::HttpProtocolError
    }
}

/// Whether the origin says that it has not worked on the request and will not (RFC 9113, 6.8 and 8.7).
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || leaving)
    })
}

fn of_http2(error: &h2::Error, phase: Phase) -> ErrorCode {
    if let Some(error) = error.get_io() {
        return of_io(error, phase);
    }
    // What the origin ended by its own decision broke off; what it or we found against the rules is a protocol error.
    match error.reason() {
        Some(
            h2::Reason::NO_ERROR
            | h2::Reason::CANCEL
            | h2::Reason::REFUSED_STREAM
            | h2::Reason::INTERNAL_ERROR
            | h2::Reason::ENHANCE_YOUR_CALM
            | h2::Reason::CONNECT_ERROR,
        ) if error.is_remote() => lost(phase),
        _ => ErrorCode::HttpProtocolError,
    }
}

fn of_io(error: &io::Error, phase: Phase) -> ErrorCode {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => ErrorCode::ConnectionReadTimeout,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if phase == Phase::Answering => {
            // The chunks are malformed, or their trailers too large.
            ErrorCode::HttpResponseTransferCoding(None)
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorCode::HttpProtocolError,
        _ => lost(phase),
    }
}

fn of_tls(error: &rustls::Error) -> ErrorCode {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => ErrorCode::TlsCertificateError,
        rustls::Error::AlertReceived(alert) => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        }),
        _ => ErrorCode::TlsProtocolError,
    }
}

fn lost(phase: Phase) -> ErrorCode {
    match phase {
        Phase::Unanswered => ErrorCode::ConnectionTerminated,
        Phase::Answering => ErrorCode::HttpResponseIncomplete,
    }
}

//! Returns the error code named by `code`, with a payload where the code has one.

use guests_http::{Query, text_with_status};
use wasip3::http::types::{DnsErrorPayload, ErrorCode, FieldSizePayload, Request, Response, TlsAlertReceivedPayload};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let name = query.text("code").unwrap_or("internal-error");
    match error_code(name) {
        Some(code) => Err(code),
        None => Ok(text_with_status(404, format!("no code is called {name}"))),
    }
}

fn error_code(name: &str) -> Option<ErrorCode> {
    let field = || FieldSizePayload {
        field_name: Some("x-big".to_owned()),
        field_size: Some(70_000),
    };
    Some(match name {
        "DNS-timeout" => ErrorCode::DnsTimeout,
        "DNS-error" => ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("NXDOMAIN".to_owned()),
            info_code: Some(3),
        }),
        "destination-not-found" => ErrorCode::DestinationNotFound,
        "destination-unavailable" => ErrorCode::DestinationUnavailable,
        "destination-IP-prohibited" => ErrorCode::DestinationIpProhibited,
        "destination-IP-unroutable" => ErrorCode::DestinationIpUnroutable,
        "connection-refused" => ErrorCode::ConnectionRefused,
        "connection-terminated" => ErrorCode::ConnectionTerminated,
        "connection-timeout" => ErrorCode::ConnectionTimeout,
        "connection-read-timeout" => ErrorCode::ConnectionReadTimeout,
        "connection-write-timeout" => ErrorCode::ConnectionWriteTimeout,
        "connection-limit-reached" => ErrorCode::ConnectionLimitReached,
        "TLS-protocol-error" => ErrorCode::TlsProtocolError,
        "TLS-certificate-error" => ErrorCode::TlsCertificateError,
        "TLS-alert-received" => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some(40),
            alert_message: Some("handshake failure".to_owned()),
        }),
        "HTTP-request-denied" => ErrorCode::HttpRequestDenied,
        "HTTP-request-length-required" => ErrorCode::HttpRequestLengthRequired,
        "HTTP-request-body-size" => ErrorCode::HttpRequestBodySize(Some(10)),
        "HTTP-request-method-invalid" => ErrorCode::HttpRequestMethodInvalid,
        "HTTP-request-URI-invalid" => ErrorCode::HttpRequestUriInvalid,
        "HTTP-request-URI-too-long" => ErrorCode::HttpRequestUriTooLong,
        "HTTP-request-header-section-size" => ErrorCode::HttpRequestHeaderSectionSize(Some(10)),
        "HTTP-request-header-size" => ErrorCode::HttpRequestHeaderSize(Some(field())),
        "HTTP-request-trailer-section-size" => ErrorCode::HttpRequestTrailerSectionSize(None),
        "HTTP-request-trailer-size" => ErrorCode::HttpRequestTrailerSize(field()),
        "HTTP-response-incomplete" => ErrorCode::HttpResponseIncomplete,
        "HTTP-response-header-section-size" => ErrorCode::HttpResponseHeaderSectionSize(Some(10)),
        "HTTP-response-header-size" => ErrorCode::HttpResponseHeaderSize(field()),
        "HTTP-response-body-size" => ErrorCode::HttpResponseBodySize(Some(10)),
        "HTTP-response-trailer-section-size" => ErrorCode::HttpResponseTrailerSectionSize(Some(10)),
        "HTTP-response-trailer-size" => ErrorCode::HttpResponseTrailerSize(field()),
        "HTTP-response-transfer-coding" => ErrorCode::HttpResponseTransferCoding(Some("weird".to_owned())),
        "HTTP-response-content-coding" => ErrorCode::HttpResponseContentCoding(None),
        "HTTP-response-timeout" => ErrorCode::HttpResponseTimeout,
        "HTTP-upgrade-failed" => ErrorCode::HttpUpgradeFailed,
        "HTTP-protocol-error" => ErrorCode::HttpProtocolError,
        "loop-detected" => ErrorCode::LoopDetected,
        "configuration-error" => ErrorCode::ConfigurationError,
        "internal-error" => ErrorCode::InternalError(Some("as asked".to_owned())),
        _ => return None,
    })
}

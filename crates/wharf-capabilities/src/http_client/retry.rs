//! Sending a request again because the guest asks for it, in a field of the request.
//!
//! What is sent again although nobody asked, since nothing of it was worked on, is in `http_client.rs`.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Response, StatusCode};
use wharf_host::http::{Body, ErrorCode};

/// How often the request may be sent again: a number. Never sent along.
const FIELD: HeaderName = HeaderName::from_static("wharf-retries");

/// A request that may be repeated although its method is not idempotent.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// More than so many are as good as so many: an origin that has failed six times in a row is down.
const RETRIES_MAX: u32 = 5;

/// The wait before the first retry; it doubles with each. Half of it is left to chance, so that a crowd comes apart.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How long an origin may ask to be left alone (`retry-after`). Longer, and the guest gets its answer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// What a guest asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retries {
    left: u32,
    done: u32,
    /// The request may be worked on twice.
    pub repeatable: bool,
}

impl Retries {
    /// Takes the field out of a request's fields.
    ///
    /// # Errors
    /// `HTTP-protocol-error` where it is not one number.
    pub(super) fn take(method: &Method, headers: &mut HeaderMap) -> Result<Self, ErrorCode> {
        let left = match headers.remove(&FIELD) {
            None => 0,
            Some(value) => {
                let number = value.to_str().ok().and_then(|text| text.parse::<u32>().ok());
                number.ok_or(ErrorCode::HttpProtocolError)?.min(RETRIES_MAX)
            }
        };
        Ok(Self {
            left,
            done: 0,
            repeatable: is_idempotent(method) || headers.contains_key(&IDEMPOTENCY_KEY),
        })
    }

    pub(super) fn are_left(&self) -> bool {
        self.left > 0
    }

    /// How long to wait before the request is sent again after `error`; `None` when it is not.
    pub(super) fn after_error(&mut self, error: &ErrorCode) -> Option<Duration> {
        let may_pass = match error {
            ErrorCode::DnsError(payload) => payload.rcode.as_deref() != Some("NXDOMAIN"),
            ErrorCode::DnsTimeout
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionTerminated
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpUnroutable => true,
            _ => false,
        };
        may_pass.then(|| self.next()).flatten()
    }

    /// The same after an answer.
    pub(super) fn after_answer(&mut self, answer: &Response<Body>) -> Option<Duration> {
        let may_pass = matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if !may_pass {
            return None;
        }
        let asked = match answer.headers().get(header::RETRY_AFTER) {
            None => Duration::ZERO,
            // A date is as good as too long: clocks differ.
            Some(value) => Duration::from_secs(value.to_str().ok()?.parse().ok()?),
        };
        if asked > RETRY_AFTER_MAX {
            return None;
        }
        Some(self.next()?.max(asked))
    }

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let wait = FIRST_WAIT * 2_u32.pow(self.done);
        self.done += 1;
        let chance = (RandomState::new().hash_one(self.done) % 1000) as u32;
        Some(wait / 2 + wait / 2 * chance / 1000)
    }
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

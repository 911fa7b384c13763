//! What a request over HTTP/2 must be beyond what the library sees to (RFC 9113 section 8.2).

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use crate::problem::Problem;

/// Refuses fields that make a request malformed, and makes of the rest what somebody who knows nothing of HTTP/2 expects.
pub(super) fn complete<B>(request: &mut http::Request<B>) -> Result<(), Problem> {
    if request.version() != Version::HTTP_2 {
        return Ok(());
    }
    let bad = |reason| Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    // A tunnel has no content (RFC 9110 section 9.3.6), and so no length of it.
    if request.method() == Method::CONNECT && request.headers().contains_key(CONTENT_LENGTH) {
        return bad("a request for a tunnel has no content");
    }
    let headers = request.headers_mut();
    if !has_one_length(headers) {
        return bad("the length of the content is not clear");
    }
    if headers.values().any(has_space_around) {
        return bad("a field's value begins or ends with a space");
    }
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return bad("the request names two hosts");
    }
    join_cookies(headers);
    Ok(())
}

/// Section 8.1.1; RFC 9110 section 8.6: digits, and where it is said more than once, the same.
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let Some(first) = lengths.next() else { return true };
    !first.is_empty() && first.iter().all(u8::is_ascii_digit) && lengths.all(|length| length == first)
}

/// Section 8.2.1. Over HTTP/1.1 such spaces are no part of the value.
fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Section 8.2.3: clients may send a cookie in crumbs, which compress better.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // What is joined is still a value: its parts were.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], expected: Option<&str>) {
        let mut request = http::Request::new(());
        *request.version_mut() = Version::HTTP_2;
        for &(name, value) in fields {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let is_complete = complete(&mut request).is_ok();
        assert_eq!(is_complete, expected.is_some(), "{fields:?}");
        let fields = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        if let Some(expected) = expected {
            assert_eq!(fields.collect::<Vec<_>>().join(" | "), expected);
        }
    }

    #[test]
    fn requests_are_completed() {
        check(&[], Some(""));
        check(&[("a", "x y"), ("a", "")], Some("a=x y | a="));
        check(&[("cookie", "a=1")], Some("cookie=a=1"));
        check(
            &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")],
            Some("cookie=a=1; b=2; c=3"),
        );
        check(&[("host", "a"), ("host", "a")], None);
        check(&[("content-length", "12")], Some("content-length=12"));
        for (first, second) in [
            ("", "0"),
            ("", ""),
            ("1", "2"),
            ("1", "01"),
            ("1", ""),
            ("1, 1", "1, 1"),
            ("+1", "+1"),
        ] {
            check(&[("content-length", first), ("content-length", second)], None);
        }
        for value in [" x", "x ", "\tx", "x\t", " "] {
            check(&[("a", value)], None);
        }
    }
}

//! What a client sees where no guest answers: a status, a reason that gives nothing away, and an id that is also in the log.
//!
//! Three forms: problem details (RFC 9457) for who asks for JSON, the app's own page where it has one, else a line of text.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use wharf_host::http::Payload;

use crate::accept::{Form, form};

/// Names a failure in the response and in the log.
const ERROR_ID: HeaderName = HeaderName::from_static("wharf-error-id");

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds after which a refused client may come again. What refuses it is looked at many times a second; more would leave
/// capacity unused once the crowd is gone.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Pages of an app's own for statuses that no guest of its answers with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// By status, such as 404.
    pub statuses: BTreeMap<u16, Page>,
    /// By first digit, such as 5, where there is none for the status itself.
    pub classes: BTreeMap<u16, Page>,
}

/// A page, held in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is before, between and after the places where the error's id goes.
    parts: Vec<Bytes>,
    content_type: HeaderValue,
}

impl Page {
    /// What stands in a page for the error's id.
    const ID: &str = "{error-id}";

    /// A page with this content, which is of this media type. Where it is a text with `{error-id}` in it, clients see the id of the
    /// error that is theirs there, or nothing where it has none.
    pub fn new(content: Bytes, content_type: HeaderValue) -> Self {
        let parts = match std::str::from_utf8(&content) {
            Ok(text) => text
                .split(Self::ID)
                .map(|part| content.slice_ref(part.as_bytes()))
                .collect(),
            Err(_) => vec![content],
        };
        Self { parts, content_type }
    }

    fn content(&self, id: Option<&ErrorId>) -> Bytes {
        match &self.parts[..] {
            [whole] => whole.clone(),
            parts => Bytes::from(parts.join(id.map_or("", ErrorId::as_str).as_bytes())),
        }
    }
}

/// What is kept of a request for the case that no guest answers it.
pub(crate) struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    accept: Option<HeaderValue>,
    trace: Option<HeaderValue>,
}

impl Asked {
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            accept: request.headers().get(header::ACCEPT).cloned(),
            trace: request.headers().get(TRACE_PARENT).cloned(),
        }
    }

    /// The trace that the request is part of (W3C Trace Context section 3.2).
    pub fn trace(&self) -> Option<&str> {
        let parent = self.trace.as_ref()?.to_str().ok()?;
        let trace = parent.split('-').nth(1)?;
        let is_trace = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_trace.then_some(trace)
    }
}

/// An answer that comes from no guest.
pub(crate) struct Problem {
    pub status: StatusCode,
    /// For the client.
    pub reason: &'static str,
    /// In what the log says of it, too.
    pub id: Option<ErrorId>,
    /// Methods that would be taken.
    pub allow: Option<HeaderValue>,
    /// Where it is instead. Boxed: problems are passed on by value, and few have it.
    pub location: Option<Box<HeaderValue>>,
}

impl ErrorPages {
    fn page(&self, status: StatusCode) -> Option<&Page> {
        let status = status.as_u16();
        self.statuses.get(&status).or_else(|| self.classes.get(&(status / 100)))
    }
}

/// Unguessable and unlike any other; nothing hangs on more than that.
#[derive(Clone, Debug)]
pub(crate) struct ErrorId(String);

impl ErrorId {
    pub fn new() -> Self {
        Self(format!("{:016x}", RandomState::new().build_hasher().finish()))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ErrorId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Problem {
    pub fn new(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            id: None,
            allow: None,
            location: None,
        }
    }

    /// The response, in the form that the request wants most.
    pub fn response(self, asked: &Asked, pages: Option<&ErrorPages>) -> Response<Payload> {
        let page = pages.and_then(|pages| pages.page(self.status));
        let page_kind = page.map(|page| page.content_type.to_str().unwrap_or_default());
        let (content, content_type) = match (form(asked.accept.as_ref(), page_kind), page) {
            (Form::Problem, _) => (Bytes::from(self.json()), PROBLEM),
            (Form::Page, Some(page)) => (page.content(self.id.as_ref()), page.content_type.clone()),
            (Form::Page | Form::Text, _) => (Bytes::from(self.text()), TEXT),
        };
        let mut response = Response::new(Payload::from(content));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Some(id) = self.id.and_then(|id| HeaderValue::try_from(id.0).ok()) {
            headers.insert(ERROR_ID, id);
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, *location);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }

    fn text(&self) -> String {
        match &self.id {
            Some(id) => format!("{}: {} (error {id})\n", self.status, self.reason),
            None => format!("{}: {}\n", self.status, self.reason),
        }
    }

    /// RFC 9457 section 3; `about:blank` means that the status says it all (section 4.2.1). Nothing in it needs escaping: the
    /// reasons are this crate's own.
    fn json(&self) -> String {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut json = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}""#,
            self.status.as_u16(),
            self.reason
        );
        if let Some(id) = &self.id {
            json += &format!(r#","instance":"urn:wharf:error:{id}""#);
        }
        json + "}\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_from_its_parent() {
        #[track_caller]
        fn check(parent: &str, expected: Option<&str>) {
            let request = Request::builder().header("traceparent", parent).body(()).unwrap();
            assert_eq!(Asked::of(&request).trace(), expected, "{parent}");
        }
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        check(&format!("00-{trace}-00f067aa0ba902b7-01"), Some(trace));
        check("00-short-00f067aa0ba902b7-01", None);
        check("", None);
    }

    #[test]
    fn an_apps_page_is_the_statuss_before_the_classs() {
        let page = |content: &'static str| Page::new(Bytes::from_static(content.as_bytes()), TEXT);
        let pages = ErrorPages {
            statuses: [(404, page("lost"))].into(),
            classes: [(4, page("four")), (5, page("five"))].into(),
        };
        let content = |status: u16| {
            pages
                .page(StatusCode::from_u16(status).unwrap())
                .map(|page| page.content(None))
        };
        assert_eq!(content(404), Some("lost".into()));
        assert_eq!(content(403), Some("four".into()));
        assert_eq!(content(502), Some("five".into()));
        assert_eq!(content(301), None);
    }

    #[test]
    fn a_page_names_the_error() {
        #[track_caller]
        fn check(content: &'static [u8], id: Option<&str>, expected: &[u8]) {
            let id = id.map(|id| ErrorId(id.to_owned()));
            let page = Page::new(Bytes::from_static(content), TEXT);
            assert_eq!(page.content(id.as_ref()), expected);
        }
        check(b"sorry", Some("1f"), b"sorry");
        check(
            b"<a href='?{error-id}'>{error-id}</a>",
            Some("1f"),
            b"<a href='?1f'>1f</a>",
        );
        check(b"{error-id}", None, b"");
        check(b"\xff{error-id}", Some("1f"), b"\xff{error-id}");
        check(b"", Some("1f"), b"");
    }
}

//! What a server adds while somebody develops what it serves: a page in the place of what does not build, and news for pages
//! that are open. Nothing of it is there unless [`ServerOptions::development`](crate::ServerOptions) asks for it.
//!
//! Whoever builds tells it what came of that ([`Development::built`], [`Development::loaded`]). Only what a browser asks for to show
//! it as a page is answered otherwise than in production: scripts, styles and programs meet the last version that was good.

mod body;
mod page;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wharf_host::http::Payload;

use crate::accept::names_html;
use body::{Appended, events};

/// Where pages hear of news.
const EVENTS: &str = "/.wharf/dev/events";

/// What listens to them, for pages.
const SCRIPT: &str = "/.wharf/dev/reload.js";

const SCRIPT_TEXT: &str = include_str!("development/reload.js");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What a browser says that the answer is for (Fetch Metadata, section 2.1).
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What says of content what is not true of it with a script behind it, or would have a browser keep it.
const OF_THE_CONTENT: [HeaderName; 6] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// Cheap to clone: a clone is the same.
#[derive(Clone, Debug)]
pub struct Development {
    state: Arc<watch::Sender<State>>,
    /// Pages are given the script that listens to the events.
    scripts: bool,
}

/// What there is to know at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// Unlike that of another server that has been here before.
    server: u64,
    /// How often what is served has changed.
    changes: u64,
    /// Why the newest source does not build.
    not_built: Option<Arc<str>>,
    /// Why what was built is not served.
    not_loaded: Option<Arc<str>>,
}

impl State {
    fn version(&self) -> String {
        format!("{:x}-{}", self.server, self.changes)
    }

    fn trouble(&self) -> Option<&str> {
        self.not_built.as_deref().or(self.not_loaded.as_deref())
    }
}

/// What is to be done with a request.
pub(crate) enum Met {
    /// It is answered already.
    Answered(Response<Payload>),
    /// A browser shows what comes: it goes through [`Development::with_script`].
    Page,
    /// Nothing.
    Other,
}

impl Development {
    /// Nothing is wrong yet. With `scripts`, pages are given the script that listens to the events.
    #[must_use]
    pub fn new(scripts: bool) -> Self {
        let state = State {
            server: RandomState::new().build_hasher().finish(),
            changes: 0,
            not_built: None,
            not_loaded: None,
        };
        Self {
            state: Arc::new(watch::Sender::new(state)),
            scripts,
        }
    }

    /// The newest source was built, or `trouble` says why not.
    pub fn built(&self, trouble: Option<String>) {
        self.change(|state| state.not_built = trouble.map(Into::into));
    }

    /// What was built is served by now, unless `trouble` says why not; `changed`, where something else is served than before.
    pub fn loaded(&self, trouble: Option<String>, changed: bool) {
        self.change(|state| {
            state.not_loaded = trouble.map(Into::into);
            state.changes += u64::from(changed);
        });
    }

    /// Something changed that was not built, such as a file of a folder: pages show it once they are loaded again.
    pub fn touched(&self) {
        self.change(|state| state.changes += 1);
    }

    /// Tells only those who listen what is new to them.
    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// Looks at a request before any app does. Events end with `drain`.
    pub(crate) fn meet<B>(&self, request: &mut Request<B>, drain: &CancellationToken) -> Met {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Met::Other;
        }
        match request.uri().path() {
            EVENTS => Met::Answered(self.events(request.method(), drain)),
            SCRIPT => Met::Answered(answer(StatusCode::OK, JAVASCRIPT, SCRIPT_TEXT.into(), request.method())),
            _ if !is_for_a_page(request.headers()) => Met::Other,
            _ => {
                let state = self.state.borrow();
                if let Some(trouble) = state.trouble() {
                    let page = page::of(trouble, &self.script(&state));
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    return Met::Answered(answer(status, HTML, page, request.method()));
                }
                if self.scripts {
                    // What is compressed cannot be added to.
                    request.headers_mut().remove(header::ACCEPT_ENCODING);
                }
                Met::Page
            }
        }
    }

    fn events(&self, method: &Method, drain: &CancellationToken) -> Response<Payload> {
        let body = match *method {
            Method::HEAD => Payload::default(),
            _ => Payload::from(events(self.state.subscribe(), drain.clone()).boxed_unsync()),
        };
        with_head(StatusCode::OK, EVENT_STREAM, body)
    }

    /// Puts the script behind a page. What is no HTML, or compressed, or a part of a page, is as it was.
    pub(crate) fn with_script(&self, method: &Method, response: Response<Payload>) -> Response<Payload> {
        if !self.scripts || !takes_script(&response) {
            return response;
        }
        let script = self.script(&self.state.borrow());
        let (mut head, body) = response.into_parts();
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = length {
            let length = HeaderValue::from(length + script.len() as u64);
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        OF_THE_CONTENT.iter().for_each(|name| drop(head.headers.remove(name)));
        // A page that is shown from memory would be of another version than what it says.
        head.headers.insert(header::CACHE_CONTROL, NO_STORE);
        let body = match *method {
            Method::HEAD => body,
            _ => Payload::from(Appended::new(body, script.into()).boxed_unsync()),
        };
        Response::from_parts(head, body)
    }

    fn script(&self, state: &State) -> String {
        match self.scripts {
            true => format!(
                "<script src=\"{SCRIPT}\" data-version=\"{}\" async></script>\n",
                state.version()
            ),
            false => String::new(),
        }
    }
}

/// Whether a browser shows what comes as a page. Browsers that do not say it (those of before 2023, and any over plain HTTP from
/// another machine) are known by their asking for HTML by name.
fn is_for_a_page(headers: &HeaderMap) -> bool {
    match headers.get(FETCH_DEST) {
        Some(destination) => matches!(destination.as_bytes(), b"document" | b"iframe" | b"frame"),
        None => names_html(headers),
    }
}

fn takes_script(response: &Response<Payload>) -> bool {
    let headers = response.headers();
    let is_html = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let kind = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    });
    let status = response.status();
    let is_whole = !matches!(
        status,
        StatusCode::PARTIAL_CONTENT
            | StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::SWITCHING_PROTOCOLS
    );
    is_html && is_whole && !headers.contains_key(header::CONTENT_ENCODING)
}

fn answer(status: StatusCode, kind: HeaderValue, text: String, method: &Method) -> Response<Payload> {
    let length = HeaderValue::from(text.len());
    let body = match *method {
        Method::HEAD => Payload::default(),
        _ => Payload::from(Bytes::from(text)),
    };
    let mut response = with_head(status, kind, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

fn with_head(status: StatusCode, kind: HeaderValue, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    #[test]
    fn pages_are_told_from_what_they_load() {
        #[track_caller]
        fn check(fields: &[(&str, &str)], expected: bool) {
            let mut request = Request::builder();
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            assert_eq!(
                is_for_a_page(request.body(()).unwrap().headers()),
                expected,
                "{fields:?}"
            );
        }
        check(&[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], true);
        check(&[("accept", "text/html"), ("sec-fetch-dest", "document")], true);
        check(&[("accept", "text/html"), ("sec-fetch-dest", "iframe")], true);
        check(&[("accept", "text/html"), ("sec-fetch-dest", "empty")], false);
        check(&[("accept", "*/*"), ("sec-fetch-dest", "script")], false);
        check(&[("accept", "*/*")], false);
        check(&[("accept", "application/json")], false);
        check(&[], false);
    }

    #[test]
    fn only_whole_pages_are_added_to() {
        #[track_caller]
        fn check(status: u16, fields: &[(&str, &str)], expected: Option<u64>) {
            let mut response = Response::builder().status(status).header("content-length", "5");
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            let response = response.body(Payload::from(Bytes::from_static(b"hello"))).unwrap();
            let development = Development::new(true);
            let got = development.with_script(&Method::GET, response);
            let length = got.headers()["content-length"].to_str().unwrap().parse().ok();
            assert_eq!(got.body().size_hint().exact(), length);
            let script = development.script(&development.state.borrow()).len() as u64;
            assert_eq!(length, expected.map(|more| 5 + more * script), "{fields:?}");
            assert!(!got.headers().contains_key("etag"));
        }
        check(
            200,
            &[("content-type", "text/html; charset=utf-8"), ("etag", "\"a\"")],
            Some(1),
        );
        check(404, &[("content-type", "Text/HTML")], Some(1));
        check(206, &[("content-type", "text/html")], Some(0));
        check(
            200,
            &[("content-type", "text/html"), ("content-encoding", "gzip")],
            Some(0),
        );
        check(200, &[("content-type", "text/plain")], Some(0));
        check(200, &[], Some(0));
    }
}

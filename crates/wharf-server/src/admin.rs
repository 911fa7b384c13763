//! The listener for those who run the server: whether it lives, whether it takes requests, what it has counted.
//!
//! It answers without any guest, also while the server drains.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use crate::door::Door;
use crate::listener::Socket;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many may be connected. Those who watch a server are a handful; past it the one that came first has to go, so that nobody
/// keeps the others from asking whether the server lives.
const CONNECTIONS_MAX: usize = 64;

/// How long each may stay, whatever it does: neither who asks nothing nor who does not take what it asked for is kept. Who asks
/// again and again connects again.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);

/// What it tells of.
#[derive(Clone)]
pub(crate) struct Admin {
    door: Arc<Door>,
    connected: Arc<Mutex<VecDeque<AbortHandle>>>,
}

impl Admin {
    pub fn new(door: Arc<Door>) -> Self {
        Self {
            door,
            connected: Arc::default(),
        }
    }

    /// Answers whoever connects; never ends.
    pub async fn serve(self, listener: Socket) {
        let tcp = |stream, _| self.take(stream);
        #[cfg(unix)]
        let unix = |stream| self.take(stream);
        listener
            .serve(
                tcp,
                #[cfg(unix)]
                unix,
            )
            .await;
    }

    fn take(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.retain(|connection| !connection.is_finished());
        if connected.len() >= CONNECTIONS_MAX
            && let Some(first) = connected.pop_front()
        {
            tracing::debug!("closed the eldest connection to the admin listener: there are too many");
            first.abort();
        }
        let admin = self.clone();
        let connection = tokio::spawn(async move {
            let conversation = tokio::time::timeout(CONNECTION_TIME_MAX, admin.converse(stream));
            if conversation.await.is_err() {
                tracing::debug!("closed a connection to the admin listener: its time is over");
            }
        });
        connected.push_back(connection.abort_handle());
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let answer = service_fn(|request| {
            let response = self.answer(&request);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), answer);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the admin listener ended");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => self.ready(request.uri().query()),
            "/metrics" => match self.door.metrics.write(&self.door.apps().all) {
                Ok(metrics) => text(StatusCode::OK, OPEN_METRICS, metrics),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                TEXT,
                "there are /livez, /readyz and /metrics\n".into(),
            ),
        }
    }
}

impl Admin {
    /// Whether requests are taken. An app that cannot answer does not keep the others from answering: it is named, and
    /// `?app=NAME` asks for one alone. One that answers in an older version than the last that was to be, is ready, and said.
    fn ready(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        if self.door.drain.is_cancelled() {
            return text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into());
        }
        let apps = self.door.apps();
        let name = query.and_then(|query| query.strip_prefix("app="));
        if let Some(name) = name {
            return match apps.all.iter().find(|app| app.name() == name) {
                None => text(StatusCode::NOT_FOUND, TEXT, "there is no such app\n".into()),
                Some(app) => match app.trouble() {
                    None => text(
                        StatusCode::OK,
                        TEXT,
                        format!("ok\n{}", self.stale(|stale| stale == name)),
                    ),
                    Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{trouble}\n")),
                },
            };
        }
        let is_served = |name: &str| apps.all.iter().any(|app| app.name() == name && app.trouble().is_none());
        let mut said = format!("ok\n{}", self.stale(|stale| stale.is_empty() || is_served(stale)));
        for app in &apps.all {
            if let Some(trouble) = app.trouble() {
                let _ = writeln!(said, "except {}: {trouble}", app.name());
            }
        }
        text(StatusCode::OK, TEXT, said)
    }

    /// A line for each app that is chosen of those whose newest version was refused; an empty name is that of all.
    fn stale(&self, is_chosen: impl Fn(&str) -> bool) -> String {
        let mut said = String::new();
        for (name, trouble) in self.door.stale.load().iter().filter(|(name, _)| is_chosen(name)) {
            let _ = match name.as_str() {
                "" => writeln!(said, "as before, since the new manifest is wrong: {trouble}"),
                name => writeln!(said, "{name} as before, since its new version is wrong: {trouble}"),
            };
        }
        said
    }
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! The listener for those who run the server: whether it lives, whether it takes requests, what it has counted.
//!
//! It answers without any guest, also while the server drains.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wharf_host::Service;

use crate::listener::Listener;
use crate::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What it tells of.
#[derive(Clone)]
pub(crate) struct Admin {
    pub service: Service,
    pub metrics: Arc<Metrics>,
    /// The server takes no more requests.
    pub drain: CancellationToken,
}

impl Admin {
    /// Answers whoever connects; never ends.
    pub async fn serve(self, listener: Listener) {
        let take = |stream| {
            tokio::spawn(self.clone().converse(stream));
        };
        listener.serve(take).await;
    }

    async fn converse(self, stream: TcpStream) {
        let answer = service_fn(|request| {
            let response = self.answer(&request);
            async { Ok::<_, Infallible>(response) }
        });
        // hyper's limit on heads: nobody stays who asks nothing.
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
            "/readyz" if self.drain.is_cancelled() => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into()),
            "/readyz" => text(StatusCode::OK, TEXT, "ok\n".into()),
            "/metrics" => match self.metrics.write(&self.service) {
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

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

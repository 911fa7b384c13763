//! A request meets an app; the one place where failures become responses.

mod http2;
mod target;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use wharf_host::http::{ErrorCode, Payload};
use wharf_host::{Failure, Refused, Service};

use crate::app::{App, Target};
use crate::connection::activity::Begun;
use crate::connection::answer::Answer;
use crate::connection::content::Content;
use crate::connection::reading::{Fault, Reading, Verdict};
use crate::development::{Development, Met};
use crate::door::{Door, Route};
use crate::files::{self, Files};
use crate::forwarded::Known;
use crate::inbound::Inbound;
use crate::limits::Limit;
use crate::problem::{Asked, ErrorId, Problem};
use crate::refusals::Kind;
use crate::route::{Found, normal};
use crate::tls::{Client, Misdirected, Tls};
use crate::turns::NoTime;
use crate::websocket;
use target::{complete, host, secure};

/// Answers `request`, whatever happens.
pub(crate) fn answer(
    inbound: Arc<(Arc<Door>, Inbound)>,
    mut request: http::Request<Content>,
    mut begun: Begun,
) -> impl Future<Output = http::Response<Answer>> + Send + 'static {
    async move {
        let (door, inbound) = &*inbound;
        let version = request.version();
        let asked = Asked::of(&request);
        if let Some(answer) = challenge(door, inbound, &request) {
            begun.responded(StatusCode::OK);
            return answer.map(|body| begun.with(body));
        }
        let mut page: Option<&Development> = None;
        if let Some(development) = &door.development {
            match development.meet(&mut request, &door.drain) {
                Met::Answered(answer) => {
                    begun.responded(answer.status());
                    return answer.map(|body| begun.with(body));
                }
                Met::Page => page = Some(development),
                Met::Other => {}
            }
        }
        let mut response = match meet(door, &mut request, inbound, &mut begun, &asked) {
            Ok((route, taken)) => match &route.target {
                Target::Service(service) if service.takes_websockets() && websocket::is_wanted(&request) => {
                    Box::pin(websocket::answer(door, &route.app, service, request, &asked, &begun)).await
                }
                Target::Service(_) if request.method() == Method::CONNECT => {
                    Problem::new(StatusCode::NOT_IMPLEMENTED, NO_PROXY)
                        .response(&asked, Some(&route.app.inner().error_pages))
                }
                Target::Service(service) => ask(door, &route.app, service, request, &asked, &begun).await,
                // Boxed, as everything is that few requests need: the rest of them would be moved about with room for it.
                Target::Files(files) => Box::pin(read(&route.app, files, taken, &request, &asked)).await,
                Target::Broken => {
                    let broken = (StatusCode::SERVICE_UNAVAILABLE, "the app is not available");
                    failed(&route.app, &asked, broken, &NotLoaded)
                }
            },
            Err(problem) => {
                let pages = begun.app().map(|app| &app.inner().error_pages);
                let mut response = problem.response(&asked, pages);
                // Whoever sends such a request may mean something else by what follows it.
                if version < Version::HTTP_2 && is_of_framing(response.status()) {
                    close(&mut response);
                }
                response
            }
        };
        if let Some(development) = page {
            response = development.with_script(&asked.method, response);
        }
        if begun.is_last && version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            close(&mut response);
        }
        begun.responded(response.status());
        if !response.body().is_whole() {
            begun.may_break_off(asked.uri.path());
        }
        response.map(|body| begun.with(body))
    }
}

/// What an authority is to find under a name before it gives out a certificate for it: over plain HTTP, before all apps.
fn challenge(door: &Door, inbound: &Inbound, request: &http::Request<Content>) -> Option<http::Response<Payload>> {
    let tls = door.tls.as_ref().filter(|_| !inbound.is_tls)?;
    let answer = tls.challenge(request.uri().path())?;
    Some(http::Response::new(Payload::from(Bytes::from(answer))))
}

/// Whether a refusal is about what the request is, rather than about what it asks for.
fn is_of_framing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED | StatusCode::MISDIRECTED_REQUEST
    )
}

fn close(response: &mut http::Response<Payload>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

/// Finds who is to answer, or why nobody does.
fn meet(
    door: &Door,
    request: &mut http::Request<Content>,
    inbound: &Inbound,
    begun: &mut Begun,
    asked: &Asked,
) -> Result<(Arc<Route>, usize), Problem> {
    let known = Known::take(&door.proxies, inbound, request.headers_mut());
    http2::complete(request)?;
    complete(request, &known, inbound.local)?;
    if request.headers().len() > door.limits.head_fields_max {
        door.metrics.reached(Limit::HeadFields);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::new(status, "the request has too many header fields"));
    }
    // Few come with more than that, so that few have to be counted; but over HTTP/2 they come packed.
    let head_bytes_max = door.limits.head_bytes_max;
    let is_packed = request.version() == Version::HTTP_2;
    if (is_packed || begun.head_bytes_max > head_bytes_max as u64) && head_bytes(request) > head_bytes_max {
        door.metrics.reached(Limit::HeadBytes);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::new(status, "the request's header fields are too large"));
    }
    if let Some(port) = inbound.https_port.filter(|_| !known.is_https()) {
        return Err(Problem {
            location: secure(request, port).map(Box::new),
            ..Problem::new(StatusCode::PERMANENT_REDIRECT, "this server is at https")
        });
    }
    if let Err(misdirected) = show_client(door.tls.as_ref(), inbound, request) {
        if misdirected == Misdirected::OtherPolicy {
            // Over HTTP/2 as well: there is nothing left that this client could ask for here.
            begun.activity().takes_no_more();
        }
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, reason_of(misdirected)));
    }
    let (route, taken) = find(door, request, begun)?;
    known.tell(request.headers_mut());
    begun.belongs_to(&route.app);
    if usize::try_from(door.metrics.requests.get()).is_ok_and(|requests| requests > door.limits.requests_max) {
        return Err(crowded(door, &route.app, Limit::Requests, asked));
    }
    Ok((route, taken))
}

/// Tells guests which certificate the client has shown, if it was asked for the right one.
fn show_client(tls: Option<&Tls>, inbound: &Inbound, request: &mut http::Request<Content>) -> Result<(), Misdirected> {
    match (&inbound.shown, tls) {
        (Some(client), Some(tls)) => {
            tls.admits(client, host(request))?;
            client.tell(request.headers_mut());
        }
        _ if inbound.is_believed_certificates => {}
        (None, Some(tls)) if tls.requires_certificate(host(request)) => return Err(Misdirected::WithoutTls),
        _ => Client::default().tell(request.headers_mut()),
    }
    Ok(())
}

fn reason_of(misdirected: Misdirected) -> &'static str {
    match misdirected {
        Misdirected::OtherHost => "this host asks for another client certificate, on a connection of its own",
        Misdirected::OtherPolicy => "this host asks for another client certificate than it did, on a new connection",
        Misdirected::WithoutTls => "this host asks for a client certificate, which takes TLS",
    }
}

/// What a request's head has without its punctuation.
fn head_bytes(request: &http::Request<Content>) -> usize {
    let fields = request.headers().iter();
    let fields: usize = fields.map(|(name, value)| name.as_str().len() + value.len()).sum();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    request.method().as_str().len() + path + fields
}

/// The route, and how many bytes of the path are its prefix. Where there is none, the request is still the app's that alone answers
/// for its host, or its path.
fn find(door: &Door, request: &http::Request<Content>, begun: &mut Begun) -> Result<(Arc<Route>, usize), Problem> {
    let apps = door.apps();
    let found = apps.routes.find(
        || host(request),
        &normal(request.uri().path()),
        websocket::method(request),
    );
    let (routes, problem) = match found {
        Found::Route(route, taken) => return Ok((route.clone(), taken)),
        Found::NoPath(routes) => (
            routes,
            Problem::new(StatusCode::NOT_FOUND, "nothing is served under this path"),
        ),
        Found::NoHost => (
            Vec::new(),
            Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not answer for this host",
            ),
        ),
        Found::NoMethod(routes, methods) => {
            let methods: Vec<&str> = methods.into_iter().collect();
            let problem = Problem {
                allow: HeaderValue::try_from(methods.join(", ")).ok(),
                ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
            };
            (routes, problem)
        }
    };
    if let Some((first, others)) = routes.split_first()
        && others.iter().all(|other| other.app.is(&first.app))
    {
        begun.belongs_to(&first.app);
    }
    Err(problem)
}

/// There is more to do than can be done: the client may come again.
pub(crate) fn crowded(door: &Door, app: &App, limit: Limit, asked: &Asked) -> Problem {
    door.metrics.reached_by(app, limit);
    Problem {
        id: door
            .refused
            .say(app, Kind::Crowded(limit), asked.uri.path(), asked.trace()),
        ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is more to do than can be done")
    }
}

/// A folder answers.
async fn read(
    app: &App,
    files: &Files,
    taken: usize,
    request: &http::Request<Content>,
    asked: &Asked,
) -> http::Response<Payload> {
    let path = normal(request.uri().path());
    let rest = path.get(taken..).unwrap_or_default();
    if rest.is_empty()
        && let Some(response) = files::redirect_to_folder(&with_query(&path, request))
    {
        return response;
    }
    let answer = files
        .answer(request.method(), &with_query(rest, request), request.headers())
        .await;
    let is_busy = answer.is_busy();
    let problem = match answer {
        files::Answer::Response(response) => return in_words(app, asked, response),
        files::Answer::NotFound => Problem::new(StatusCode::NOT_FOUND, "there is no such file"),
        files::Answer::BadPath(reason) => Problem::new(StatusCode::BAD_REQUEST, reason),
        files::Answer::Forbidden => Problem::new(StatusCode::FORBIDDEN, "the file may not be read"),
        files::Answer::MethodNotAllowed => Problem {
            allow: Some(HeaderValue::from_static(files::ALLOW)),
            ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "files can only be read")
        },
        files::Answer::Failed(error) => {
            let status = match is_busy {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return failed(app, asked, (status, "the file could not be read"), &error);
        }
    };
    problem.response(asked, Some(&app.inner().error_pages))
}

/// Gives those answers about a file words that have none.
fn in_words(app: &App, asked: &Asked, response: http::Response<Payload>) -> http::Response<Payload> {
    let reason = match response.status() {
        StatusCode::PRECONDITION_FAILED => "the file is another than the request wants it to be",
        StatusCode::RANGE_NOT_SATISFIABLE => "the file has none of the bytes that the request wants",
        _ => return response,
    };
    let problem = Problem::new(response.status(), reason);
    let mut said = problem.response(asked, Some(&app.inner().error_pages));
    said.headers_mut().extend(response.into_parts().0.headers);
    said
}

/// The query decides nothing, but a client that is sent elsewhere takes it along.
fn with_query<'a>(path: &'a str, request: &http::Request<Content>) -> Cow<'a, str> {
    match request.uri().query() {
        Some(query) => Cow::Owned(format!("{path}?{query}")),
        None => Cow::Borrowed(path),
    }
}

/// A component answers.
fn ask<'a>(
    door: &'a Door,
    app: &'a App,
    service: &'a Service,
    request: http::Request<Content>,
    asked: &'a Asked,
    begun: &'a Begun,
) -> impl Future<Output = http::Response<Payload>> + Send + 'a {
    async move {
        // From here on: what comes before a guest is asked is part of the wait.
        let deadline = service.deadline();
        let limits = &app.inner().limits;
        if request.body().size_hint().lower() > limits.body_bytes_max {
            return held_up(door, app, asked, Fault::Met(Limit::Body));
        }
        let mut verdict = None;
        let request = match request.body().is_end_stream() {
            // As most requests are: there is nothing to limit.
            true => request.map(|_| Payload::default()),
            false => {
                let (head, body) = request.into_parts();
                let reading = Reading::new(body, limits, begun.activity());
                let verdict = verdict.insert(reading.verdict());
                let is_to_be_asked_for = head.headers.contains_key(header::EXPECT);
                let body = Box::pin(reading.payload(is_to_be_asked_for, service, deadline));
                let left = service.time_left(deadline).unwrap_or_default();
                let Ok(body) = tokio::time::timeout(left, body).await else {
                    return held_up(door, app, asked, Fault::Met(Limit::ResponseTime));
                };
                if let Some(fault) = verdict.fault() {
                    return held_up(door, app, asked, fault);
                }
                match body {
                    Ok(body) => http::Request::from_parts(head, body),
                    Err(failure) => return conclude(door, app, asked, Err(failure)),
                }
            }
        };
        let wants_turn = AtomicBool::new(false);
        // Pinned here: a future that is passed on by value is in the caller's, too.
        let work = pin!(service.handle_by_turns(request, deadline, &wants_turn));
        let answered = match door.turns.drive(app.key(), &wants_turn, work) {
            Ok(work) => work.await,
            Err(NoTime) => {
                let problem = crowded(door, app, Limit::Load, asked);
                return problem.response(asked, Some(&app.inner().error_pages));
            }
        };
        // Whatever the guest made of it: its client has not kept to what it may send.
        if let Some(fault) = verdict.as_ref().and_then(Verdict::fault) {
            return held_up(door, app, asked, fault);
        }
        conclude(door, app, asked, answered)
    }
}

/// What a guest's answer becomes.
pub(crate) fn conclude(
    door: &Door,
    app: &App,
    asked: &Asked,
    answered: Result<http::Response<Payload>, Failure>,
) -> http::Response<Payload> {
    match answered {
        Ok(response) if response.status().is_informational() => {
            let broken = (StatusCode::BAD_GATEWAY, BROKEN);
            failed(app, asked, broken, &Informational(response.status()))
        }
        Ok(response) => fit(&asked.method, response),
        Err(failure) => {
            let limit = limit_of(&failure);
            if let Some(limit @ (Limit::Queue | Limit::QueueTime)) = limit {
                return crowded(door, app, limit, asked).response(asked, Some(&app.inner().error_pages));
            }
            if let Some(limit) = limit {
                door.metrics.reached_by(app, limit);
            }
            failed(app, asked, meaning(&failure), &failure)
        }
    }
}

/// The client sends more than it may, or too slowly, or what is no body. What is left of its request is not read.
fn held_up(door: &Door, app: &App, asked: &Asked, fault: Fault) -> http::Response<Payload> {
    let (path, mut id) = (asked.uri.path(), None);
    match fault {
        Fault::Met(limit) => {
            door.metrics.reached_by(app, limit);
            tracing::debug!(app = app.name(), limit = limit.name(), path, "request refused");
        }
        Fault::Malformed => id = door.refused.say(app, Kind::Malformed, path, asked.trace()),
        Fault::CutShort => id = door.refused.say(app, Kind::CutShort, path, asked.trace()),
    }
    let (status, reason) = match fault {
        Fault::Met(Limit::Body) => (StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large"),
        Fault::Met(_) => (StatusCode::REQUEST_TIMEOUT, "the request's body came too slowly"),
        Fault::Malformed => (StatusCode::BAD_REQUEST, "the request's body is malformed"),
        Fault::CutShort => (StatusCode::BAD_REQUEST, "the request's body ends too soon"),
    };
    let problem = Problem {
        id,
        ..Problem::new(status, reason)
    };
    let mut response = problem.response(asked, Some(&app.inner().error_pages));
    if asked.version < Version::HTTP_2 {
        close(&mut response);
    }
    response
}

#[derive(Debug, thiserror::Error)]
#[error("the app could not be loaded")]
struct NotLoaded;

#[derive(Debug, thiserror::Error)]
#[error("the guest answered with {0}, which announces a response and is none")]
struct Informational(StatusCode);

/// Some responses have no body on the wire (RFC 9110 section 6.4.1), whatever the guest writes.
fn fit(method: &Method, response: http::Response<Payload>) -> http::Response<Payload> {
    let status = response.status();
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if method != Method::HEAD && !bodiless {
        return response;
    }
    let (mut head, body) = response.into_parts();
    if let (false, Some(bytes)) = (bodiless, body.size_hint().exact()) {
        head.headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(bytes));
    }
    body.discard();
    http::Response::from_parts(head, Payload::default())
}

const BROKEN: &str = "the app failed";

const NO_PROXY: &str = "CONNECT is for proxies";

/// The table: what a client sees of a failure. 500 means the operator should look, 502 that the component broke, 503 that
/// trying again later helps, 504 that time ran out.
fn meaning(failure: &Failure) -> (StatusCode, &'static str) {
    match failure {
        Failure::Guest(code) => (status_of_code(code), "the app could not answer"),
        Failure::Trap { .. } | Failure::Exited(_) | Failure::NoResponse | Failure::SharedInstanceEnded { .. } => {
            (StatusCode::BAD_GATEWAY, BROKEN)
        }
        Failure::ResponseTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "the app did not answer in time"),
        Failure::CpuTime(_) => (StatusCode::GATEWAY_TIMEOUT, "the app computed for too long"),
        Failure::Busy { .. } | Failure::QueueFull { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "there is more to do than can be done")
        }
        Failure::Instantiate(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the app could not be started"),
    }
}

/// The limit behind a failure.
fn limit_of(failure: &Failure) -> Option<Limit> {
    match failure {
        Failure::ResponseTimeout { .. } => Some(Limit::ResponseTime),
        Failure::CpuTime(_) => Some(Limit::CpuTime),
        Failure::Busy { .. } => Some(Limit::QueueTime),
        Failure::QueueFull { .. } => Some(Limit::Queue),
        Failure::Trap {
            refused: Some(Refused::Memory { .. }),
            ..
        } => Some(Limit::Memory),
        _ => None,
    }
}

/// What a guest's `error-code` says of the exchange it stands for: a guest that passes an origin's failure on is a
/// gateway (RFC 9110 section 15.6.3). A guest that finds fault with the request says so in a response.
fn status_of_code(code: &ErrorCode) -> StatusCode {
    match code {
        ErrorCode::ConnectionLimitReached | ErrorCode::DestinationUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        // The component's own fault, or its operator's.
        ErrorCode::InternalError(_)
        | ErrorCode::ConfigurationError
        | ErrorCode::LoopDetected
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError => StatusCode::BAD_GATEWAY,
    }
}

pub(crate) fn failed(
    app: &App,
    asked: &Asked,
    (status, reason): (StatusCode, &'static str),
    failure: &dyn std::error::Error,
) -> http::Response<Payload> {
    let id = ErrorId::new();
    let trace = asked.trace().map(tracing::field::display);
    tracing::error!(
        %id, app = app.name(), method = %asked.method, path = asked.uri.path(), status = status.as_u16(), trace, %failure,
        "request failed"
    );
    let problem = Problem {
        id: Some(id),
        ..Problem::new(status, reason)
    };
    problem.response(asked, Some(&app.inner().error_pages))
}

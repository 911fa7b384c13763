//! The handshake of a WebSocket: over HTTP/1.1 (RFC 6455 section 4.2) and as an extended CONNECT of HTTP/2 (RFC 8441).
//!
//! The guest decides before the handshake is answered; whatever it refuses with is an ordinary response. A component that
//! takes no WebSockets gets the request as it is. What happens once a connection stands is in `websocket/drive.rs`, which
//! pages may connect is said by `wharf_app::origin`.

mod carrier;
mod count;
mod drive;
mod patience;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use h2::ext::Protocol;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version, request};
use http_body::Body as _;
use wharf_app::origin::Origins;
use wharf_host::Service;
use wharf_host::http::Payload;
use wharf_host::websocket::{Accepted, Decision, handshake};

use crate::app::App;
use crate::connection::activity::Begun;
use crate::connection::content::Content;
use crate::connection::http2::Opening;
use crate::dispatch::{conclude, crowded, failed};
use crate::door::Door;
use crate::limits::Limit;
use crate::problem::{Asked, Problem};
use crate::turns::NoTime;

use carrier::Promised;
pub(crate) use count::{Counts, Open};

const WEBSOCKET: &str = "websocket";

/// What a handshake's fields begin with. Those of the answer are the server's.
const FIELDS_OF_HANDSHAKE: &str = "sec-websocket-";

/// Whether the request asks for a WebSocket: by an upgrade that names it, which HTTP/1.0 does not have (RFC 9110 section 7.8), or
/// by an extended CONNECT.
pub(crate) fn is_wanted<B>(request: &Request<B>) -> bool {
    match request.version() {
        Version::HTTP_11 => names(request.headers(), &header::UPGRADE, WEBSOCKET),
        version => version >= Version::HTTP_2 && is_extended_connect(request),
    }
}

/// Whether it is one over HTTP/2 (RFC 8441 section 4).
pub(crate) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    request.method() == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

/// The method by which a request's route is found: a handshake is a GET, whatever carries it.
pub(crate) fn method<B>(request: &Request<B>) -> &Method {
    match is_extended_connect(request) {
        true => &Method::GET,
        false => request.method(),
    }
}

/// Whether a list in the head has this word.
fn names(headers: &HeaderMap, field: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(field).iter().filter_map(|line| line.to_str().ok());
    let mut words = lines.flat_map(|line| line.split(',')).map(str::trim);
    words.any(|other| other.eq_ignore_ascii_case(word))
}

/// A handshake that is one.
struct Handshake {
    /// What the answer shows that the key was read. None over HTTP/2.
    accept: Option<HeaderValue>,
    /// What the client offers, in its order.
    subprotocols: Vec<String>,
}

impl Handshake {
    /// RFC 6455 section 4.2.1, by its letter.
    fn of(request: &Request<Content>) -> Result<Self, Refusal> {
        let headers = request.headers();
        if headers.get_all(header::SEC_WEBSOCKET_VERSION).iter().ne(["13"]) {
            return Err(Refusal::Version);
        }
        let accept = match request.version() < Version::HTTP_2 {
            true => Some(accept(request)?),
            false => None,
        };
        if !request.body().is_end_stream() && request.version() < Version::HTTP_2 {
            return Err(Refusal::Malformed("a handshake has no content"));
        }
        Ok(Self {
            accept,
            subprotocols: subprotocols(headers)?,
        })
    }

    /// The request as a guest sees it: the same over every version of HTTP, without what is the server's.
    fn request(mut head: request::Parts) -> Request<()> {
        for field in [
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_EXTENSIONS,
        ] {
            head.headers.remove(field);
        }
        head.method = Method::GET;
        head.extensions.clear();
        Request::from_parts(head, ())
    }

    /// The answer to a guest's yes, or what is wrong with it.
    fn answer(&self, accepted: &Accepted) -> Result<Response<Payload>, Unfit> {
        let mut response = Response::new(Payload::default());
        let headers = response.headers_mut();
        for (name, value) in &accepted.headers {
            let is_of_handshake = name.as_str().starts_with(FIELDS_OF_HANDSHAKE);
            if is_of_handshake || [header::CONTENT_LENGTH, header::TRAILER].contains(name) {
                return Err(Unfit::Field(name.clone()));
            }
            headers.append(name.clone(), value.clone());
        }
        if let Some(chosen) = &accepted.subprotocol {
            let offered = self.subprotocols.contains(chosen);
            let value = HeaderValue::try_from(chosen).ok().filter(|_| offered);
            let value = value.ok_or_else(|| Unfit::Subprotocol(chosen.clone()))?;
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        if let Some(accept) = &self.accept {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        Ok(response)
    }
}

/// What a client's key is answered with, if the request is an upgrade with a key.
fn accept(request: &Request<Content>) -> Result<HeaderValue, Refusal> {
    let bad = |reason| Err(Refusal::Malformed(reason));
    let headers = request.headers();
    if request.method() != Method::GET {
        return bad("a handshake is a GET");
    }
    if !names(headers, &header::CONNECTION, "upgrade") {
        return bad("a handshake's Connection header names the upgrade");
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return bad("a handshake has one Sec-WebSocket-Key");
    };
    let accept = handshake::accept(key.as_bytes()).and_then(|accept| HeaderValue::try_from(accept).ok());
    accept.ok_or(Refusal::Malformed("a Sec-WebSocket-Key is 16 bytes in base64"))
}

/// Each a token, and none twice (RFC 6455 section 4.1).
fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let bad = Refusal::Malformed("a Sec-WebSocket-Protocol is a list of different tokens");
    let mut all: Vec<String> = Vec::new();
    for line in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let Ok(line) = line.to_str() else { return Err(bad) };
        for word in line.split(',').map(str::trim) {
            if !handshake::is_token(word) || all.iter().any(|other| other == word) {
                return Err(bad);
            }
            all.push(word.to_owned());
        }
    }
    Ok(all)
}

/// Why a handshake is none.
enum Refusal {
    /// Another version of the protocol, or none.
    Version,
    Malformed(&'static str),
}

impl Refusal {
    fn response(self, asked: &Asked, app: &App) -> Response<Payload> {
        let pages = Some(&app.inner().error_pages);
        let reason = match self {
            Self::Malformed(reason) => reason,
            Self::Version => {
                // RFC 6455 section 4.4. An upgrade cannot be required over HTTP/2.
                let (status, over_http1) = match asked.version < Version::HTTP_2 {
                    true => (StatusCode::UPGRADE_REQUIRED, true),
                    false => (StatusCode::BAD_REQUEST, false),
                };
                let problem = Problem::new(status, "this server speaks version 13 of the WebSocket protocol");
                let mut response = problem.response(asked, pages);
                let headers = response.headers_mut();
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                if over_http1 {
                    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
                }
                return response;
            }
        };
        Problem::new(StatusCode::BAD_REQUEST, reason).response(asked, pages)
    }
}

/// What is wrong with a guest's yes.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the guest chose the subprotocol {0:?}, which the client did not offer")]
    Subprotocol(String),
    #[error("the guest refuses a handshake with {0}, by which HTTP/2 accepts it")]
    Refusal(StatusCode),
    #[error("the guest sets the field {0}, which is the server's in the answer to a handshake")]
    Field(HeaderName),
}

/// Whether the page that asks may, or no page asks (RFC 6455 section 10.2).
fn is_allowed(origins: &Origins, request: &Request<Content>) -> bool {
    let mut origin = request.headers().get_all(header::ORIGIN).iter();
    let (origin, second) = (origin.next(), origin.next());
    let Some(origin) = origin else { return true };
    let of_target = request.uri().authority().map(|authority| authority.as_str());
    let host = of_target.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    let origin = origin.to_str().unwrap_or_default();
    second.is_none() && origins.allow(origin, host.unwrap_or_default())
}

/// A handshake meets a component that takes WebSockets.
pub(crate) async fn answer(
    door: &Arc<Door>,
    app: &App,
    service: &Service,
    mut request: Request<Content>,
    asked: &Asked,
    begun: &Begun,
) -> Response<Payload> {
    let deadline = service.deadline();
    let handshake = match Handshake::of(&request) {
        Ok(handshake) => handshake,
        Err(refusal) => return refusal.response(asked, app),
    };
    let pages = Some(&app.inner().error_pages);
    let limits = &app.inner().sockets;
    if !is_allowed(&limits.origins, &request) {
        door.metrics.reached_by(app, Limit::WebsocketOrigins);
        tracing::debug!(app = app.name(), origin = ?request.headers().get(header::ORIGIN), "handshake refused");
        let problem = Problem::new(StatusCode::FORBIDDEN, "WebSockets are not open to pages of this origin");
        return problem.response(asked, pages);
    }
    let Some(open) = Open::take(door, app, begun.activity()) else {
        return crowded(door, app, Limit::Websockets, asked).response(asked, pages);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, content) = request.into_parts();
    let request = Handshake::request(head);
    let wants_turn = AtomicBool::new(false);
    let work = pin!(service.accept_by_turns(request, deadline, &wants_turn));
    let decided = match door.turns.drive(app.key(), &wants_turn, work) {
        Ok(work) => work.await,
        Err(NoTime) => return crowded(door, app, Limit::Load, asked).response(asked, pages),
    };
    let accepted = match decided {
        Ok(Decision::Accepted(accepted)) => accepted,
        Ok(Decision::Refused(response)) if response.status().is_success() => {
            let broken = (StatusCode::INTERNAL_SERVER_ERROR, "the app failed");
            return failed(app, asked, broken, &Unfit::Refusal(response.status()));
        }
        Ok(Decision::Refused(response)) => return conclude(door, app, asked, Ok(response)),
        Err(failure) => return conclude(door, app, asked, Err(failure)),
    };
    let mut response = match handshake.answer(&accepted) {
        Ok(response) => response,
        Err(unfit) => {
            let broken = (StatusCode::INTERNAL_SERVER_ERROR, "the app failed");
            return failed(app, asked, broken, &unfit);
        }
    };
    let promised = match content {
        Content::Http1(_) => {
            begun.activity().gives_up_connection();
            Promised::Connection(upgrade)
        }
        Content::Http2(content) => {
            let (opening, send) = Opening::new();
            response.extensions_mut().insert(opening);
            Promised::Stream {
                receive: content.into_stream(),
                send,
                stream: begun.activity().socket_begins(app),
            }
        }
    };
    tokio::spawn(drive::begin(promised, accepted.socket, open));
    response
}

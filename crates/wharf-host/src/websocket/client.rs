//! `wharf:websocket/client`: connections that a guest opens.
//!
//! Where one may lead is decided by the [`HttpClient`](crate::http::HttpClient) that its instance was admitted with, as for
//! every other request. The handshake is here, what happens after it in `websocket/client/drive.rs`.

mod drive;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use wasmtime::component::{Accessor, ComponentType, FutureReader, Lift, Linker, Lower, Resource, StreamReader};

use super::Socket;
use super::handshake;
use super::link::{CloseSaid, Closed, Incoming, Link, Written};
use super::types::{CloseInfo, Message};
use crate::http::fields::Fields;
use crate::http::{ErrorCode, RequestOptions, Upgraded};
use crate::state::InstanceState;
use drive::Bounds;

type Params = (
    String,
    Resource<Fields>,
    Vec<String>,
    StreamReader<Message>,
    FutureReader<CloseInfo>,
);

/// The record `connection`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Connection {
    subprotocol: Option<String>,
    incoming: StreamReader<Message>,
    closed: FutureReader<CloseInfo>,
}

/// The variant `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "invalid-request")]
    InvalidRequest(String),
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "connection-failed")]
    ConnectionFailed(String),
    #[component(name = "rejected")]
    Rejected(u16),
    #[component(name = "protocol-error")]
    Protocol(String),
    #[component(name = "timeout")]
    Timeout,
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Self::AccessDenied,
            ErrorCode::ConnectionTimeout
            | ErrorCode::DnsTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::HttpResponseTimeout => Self::Timeout,
            ErrorCode::HttpRequestUriInvalid => Self::InvalidRequest("the URL is none".to_owned()),
            ErrorCode::HttpProtocolError => Self::Protocol("the answer is no HTTP".to_owned()),
            code => Self::ConnectionFailed(format!("{code:?}")),
        }
    }
}

/// Adds the interface to what components may import.
pub(crate) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut client = linker.instance("wharf:websocket/client@0.1.0")?;
    client.func_wrap_concurrent("connect", |accessor, params: Params| {
        Box::pin(async move { Ok((connect(accessor, params).await?,)) })
    })
}

async fn connect(
    accessor: &Accessor<InstanceState>,
    (url, headers, subprotocols, outgoing, close): Params,
) -> wasmtime::Result<Result<Connection, Error>> {
    let (link, headers, client, bounds) = accessor.with(|mut store| {
        let state = store.get();
        let headers = state.table.delete(headers)?.into_map();
        let client = state.http.client.clone();
        let bounds = Bounds {
            limits: state.http.limits.clone(),
            reached: state.http.sockets_reached.clone(),
        };
        // Nothing of the guest's waits for what comes here by itself: no message is a reason for more processor time.
        let link = Link::new(state.http.ledger.clone(), Arc::new(AtomicU64::new(0)));
        outgoing.pipe(&mut store, Written(link.clone()))?;
        close.pipe(&mut store, CloseSaid(link.clone()))?;
        Ok::<_, wasmtime::Error>((link, headers, client, bounds))
    })?;
    // Dropped where there is no connection: then nothing is taken from the guest.
    let socket = Socket::new(link.clone());
    let Ok(key) = handshake::key() else {
        let reason = "the system gives no random bytes".to_owned();
        return Ok(Err(Error::ConnectionFailed(reason)));
    };
    let request = match request(&url, headers, &subprotocols, &key) {
        Ok(request) => request,
        Err(wrong) => return Ok(Err(Error::InvalidRequest(wrong.to_owned()))),
    };
    let Some(client) = client else {
        return Ok(Err(Error::AccessDenied));
    };
    let upgraded = match client.upgrade(request, RequestOptions::default()).await {
        Ok(upgraded) => upgraded,
        Err(code) => return Ok(Err(code.into())),
    };
    let (stream, subprotocol) = match opened(upgraded, &key, &subprotocols) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    tokio::spawn(drive::drive(stream, socket, bounds));
    accessor.with(|mut store| {
        Ok(Ok(Connection {
            subprotocol,
            incoming: StreamReader::new(&mut store, Incoming(link.clone()))?,
            closed: FutureReader::new(&mut store, Closed(link))?,
        }))
    })
}

/// The client's part of the handshake (RFC 6455 section 4.1).
fn request(url: &str, mut headers: HeaderMap, subprotocols: &[String], key: &str) -> Result<Request<()>, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("ws") => "http",
        _ if scheme.eq_ignore_ascii_case("wss") => "https",
        _ => return Err("the URL's scheme is neither `ws` nor `wss`"),
    };
    if rest.contains('#') {
        return Err("the URL has a fragment");
    }
    let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| "the URL is none")?;
    if headers.keys().any(|name| name.as_str().starts_with("sec-websocket-")) {
        return Err("the fields `sec-websocket-*` are the host's");
    }
    let is_unlike_those_before = |nth: usize| !subprotocols[..nth].contains(&subprotocols[nth]);
    let are_tokens = subprotocols.iter().all(|one| handshake::is_token(one));
    if !are_tokens || !(0..subprotocols.len()).all(is_unlike_those_before) {
        return Err("the subprotocols are not different tokens");
    }
    let mut set = |name: HeaderName, value: &str| match HeaderValue::try_from(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => debug_assert!(false, "tokens and base64 are values"),
    };
    set(header::CONNECTION, "Upgrade");
    set(header::UPGRADE, "websocket");
    set(header::SEC_WEBSOCKET_VERSION, "13");
    set(header::SEC_WEBSOCKET_KEY, key);
    if !subprotocols.is_empty() {
        set(header::SEC_WEBSOCKET_PROTOCOL, &subprotocols.join(", "));
    }
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

type Opened = (Box<dyn crate::http::Duplex>, Option<String>);

/// Checks the answer (RFC 6455 section 4.1, "once the client's opening handshake has been sent").
fn opened(upgraded: Upgraded, key: &str, subprotocols: &[String]) -> Result<Opened, Error> {
    let Upgraded { head, stream } = upgraded;
    if head.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::Rejected(head.status().as_u16()));
    }
    let wrong = |what: &str| Err(Error::Protocol(what.to_owned()));
    let text = |name: HeaderName| header_text(&head, &name);
    if !text(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return wrong("the answer upgrades to something else");
    }
    let accept = handshake::accept(key.as_bytes());
    if accept.is_none_or(|accept| text(header::SEC_WEBSOCKET_ACCEPT) != accept) {
        return wrong("the answer is not to this handshake's key");
    }
    if head.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return wrong("the answer has an extension that was not offered");
    }
    let chosen = head.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let subprotocol = chosen.then(|| text(header::SEC_WEBSOCKET_PROTOCOL).to_owned());
    if subprotocol
        .as_ref()
        .is_some_and(|chosen| !subprotocols.contains(chosen))
    {
        return wrong("the answer has a subprotocol that was not offered");
    }
    match stream {
        Some(stream) => Ok((stream, subprotocol)),
        None => wrong("the connection ended with the answer"),
    }
}

fn header_text<'a>(head: &'a Response<()>, name: &HeaderName) -> &'a str {
    let value = head.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

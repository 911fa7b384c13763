//! The functions of `wasi:http/types` beside fields, and `wasi:http/client`.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode};
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::bindings::wasi::http::{client, types};
use super::body::{Direction, GuestTrailers, Payload, adopt, consume};
use super::callers::{caller, send_for};
use super::fields::Fields;
use super::{Body, RequestOptions};
use crate::state::InstanceState;
use types::{ErrorCode, RequestOptionsError};

/// The `request` resource.
pub struct Request {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<Authority>,
    pub(crate) path_with_query: Option<PathAndQuery>,
    pub(crate) headers: Fields,
    pub(crate) options: Option<Arc<RequestOptions>>,
    pub(crate) body: Payload,
}

/// The `response` resource.
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: Fields,
    pub(crate) body: Payload,
}

/// The `request-options` resource: immutable once it belongs to a request.
pub struct Options {
    values: Arc<RequestOptions>,
    mutable: bool,
}

type BodyAndTrailers = (StreamReader<u8>, GuestTrailers);
type Store<'a> = Access<'a, InstanceState, HasSelf<InstanceState>>;

impl Request {
    /// A request as it came over the wire. `scheme` and an authority found elsewhere (the `host` header) fill what the
    /// request line lacked.
    pub(crate) fn received<B: Into<Payload>>(request: http::Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let uri = head.uri.into_parts();
        let authority = uri.authority.or_else(|| {
            let host = head.headers.get(http::header::HOST)?;
            Authority::try_from(host.as_bytes()).ok()
        });
        Self {
            method: head.method,
            scheme: uri.scheme.or(Some(Scheme::HTTP)),
            authority,
            path_with_query: uri.path_and_query,
            headers: Fields::received(head.headers),
            options: None,
            body: body.into(),
        }
    }

    /// The same without a body. It has the same fields, and no copy of them.
    pub(crate) fn without_body(&self) -> Self {
        Self {
            method: self.method.clone(),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            path_with_query: self.path_with_query.clone(),
            headers: self.headers.clone(),
            options: self.options.clone(),
            body: Payload::default(),
        }
    }

    pub(crate) fn into_http(self) -> Result<http::Request<Payload>, ErrorCode> {
        let authority = self.authority.ok_or(ErrorCode::HttpRequestUriInvalid)?;
        // Without a scheme, the one that keeps the request from being read by others.
        let scheme = self.scheme.unwrap_or(Scheme::HTTPS);
        let path = self.path_with_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = http::Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path)
            .build();
        let mut request = http::Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        *request.headers_mut() = self.headers.into_map();
        Ok(request)
    }
}

fn boxed(body: Payload) -> Body {
    http_body_util::BodyExt::boxed_unsync(body)
}

impl Response {
    pub(crate) fn into_http(self) -> http::Response<Payload> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.into_map();
        response
    }
}

/// The `content-length` a guest declares, if it is one (RFC 9110 section 8.6).
fn declared_length(headers: &Fields) -> Option<u64> {
    let value = headers.map().get(http::header::CONTENT_LENGTH)?.as_bytes();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl types::HostRequestWithStore<InstanceState> for HasSelf<InstanceState> {
    fn new(
        mut store: Store<'_>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: GuestTrailers,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<(Resource<Request>, FutureReader<Result<(), ErrorCode>>)> {
        let headers = store.get().table.delete(headers)?.frozen();
        let options = match options {
            Some(options) => Some(store.get().table.delete(options)?.values),
            None => None,
        };
        let declared = declared_length(&headers);
        let (body, outcome) = adopt(store.as_context_mut(), contents, trailers, declared, Direction::Request)?;
        let request = Request {
            method: Method::GET,
            scheme: None,
            authority: None,
            path_with_query: None,
            headers,
            options,
            body: Payload::guest(body),
        };
        Ok((store.get().table.push(request)?, outcome))
    }

    fn consume_body(
        mut store: Store<'_>,
        request: Resource<Request>,
        result: FutureReader<Result<(), ErrorCode>>,
    ) -> wasmtime::Result<BodyAndTrailers> {
        let request = store.get().table.delete(request)?;
        consume(store.as_context_mut(), request.body, result)
    }

    fn drop(mut store: Store<'_>, request: Resource<Request>) -> wasmtime::Result<()> {
        store.get().table.delete(request)?;
        Ok(())
    }
}

impl types::HostRequest for InstanceState {
    fn get_method(&mut self, request: Resource<Request>) -> wasmtime::Result<types::Method> {
        Ok((&self.table.get(&request)?.method).into())
    }

    fn set_method(&mut self, request: Resource<Request>, method: types::Method) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&request)?;
        Ok(Method::try_from(method)
            .map(|method| request.method = method)
            .map_err(drop))
    }

    fn get_path_with_query(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self
            .table
            .get(&request)?
            .path_with_query
            .as_ref()
            .map(|path| path.as_str().to_owned()))
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<Request>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&request)?;
        Ok(parse_optional(path, parse_path).map(|path| request.path_with_query = path))
    }

    fn get_scheme(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<types::Scheme>> {
        Ok(self.table.get(&request)?.scheme.as_ref().map(Into::into))
    }

    fn set_scheme(
        &mut self,
        request: Resource<Request>,
        scheme: Option<types::Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&request)?;
        Ok(parse_optional(scheme, |scheme| Scheme::try_from(scheme).ok()).map(|scheme| request.scheme = scheme))
    }

    fn get_authority(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self
            .table
            .get(&request)?
            .authority
            .as_ref()
            .map(|authority| authority.as_str().to_owned()))
    }

    fn set_authority(
        &mut self,
        request: Resource<Request>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&request)?;
        Ok(parse_optional(authority, parse_authority).map(|authority| request.authority = authority))
    }

    fn get_options(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<Resource<Options>>> {
        let Some(values) = self.table.get(&request)?.options.clone() else {
            return Ok(None);
        };
        Ok(Some(self.table.push(Options { values, mutable: false })?))
    }

    fn get_headers(&mut self, request: Resource<Request>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.table.get(&request)?.headers.clone().frozen();
        Ok(self.table.push(headers)?)
    }
}

fn parse_optional<T, U>(value: Option<T>, parse: impl FnOnce(T) -> Option<U>) -> Result<Option<U>, ()> {
    value.map(|value| parse(value).ok_or(())).transpose()
}

/// Origin form (RFC 9112 section 3.2.1), or nothing at all: any other form would address another origin than the
/// request's own.
fn parse_path(path: String) -> Option<PathAndQuery> {
    if path.is_empty() {
        return Some(PathAndQuery::from_static("/"));
    }
    if !path.starts_with(['/', '?']) {
        return None;
    }
    PathAndQuery::try_from(path).ok()
}

/// Host and port without user information; `http` lets ports pass that are no numbers.
fn parse_authority(authority: String) -> Option<Authority> {
    let authority = Authority::try_from(authority).ok()?;
    let after_host = authority.as_str().rsplit(']').next()?;
    let has_port = after_host.contains(':');
    (!has_port || authority.port_u16().is_some()).then_some(authority)
}

type OptionsResult = wasmtime::Result<Result<(), RequestOptionsError>>;

impl InstanceState {
    fn edit_options(&mut self, options: Resource<Options>, edit: impl FnOnce(&mut RequestOptions)) -> OptionsResult {
        let options = self.table.get_mut(&options)?;
        if !options.mutable {
            return Ok(Err(RequestOptionsError::Immutable));
        }
        edit(Arc::make_mut(&mut options.values));
        Ok(Ok(()))
    }
}

/// Nanoseconds, as the interface counts; 584 years are as good as any longer time.
fn nanoseconds(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

impl types::HostRequestOptions for InstanceState {
    fn new(&mut self) -> wasmtime::Result<Resource<Options>> {
        Ok(self.table.push(Options {
            values: Arc::default(),
            mutable: true,
        })?)
    }

    fn get_connect_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(nanoseconds(self.table.get(&options)?.values.connect_timeout))
    }

    fn set_connect_timeout(&mut self, options: Resource<Options>, timeout: Option<u64>) -> OptionsResult {
        self.edit_options(options, |options| {
            options.connect_timeout = timeout.map(Duration::from_nanos)
        })
    }

    fn get_first_byte_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(nanoseconds(self.table.get(&options)?.values.first_byte_timeout))
    }

    fn set_first_byte_timeout(&mut self, options: Resource<Options>, timeout: Option<u64>) -> OptionsResult {
        self.edit_options(options, |options| {
            options.first_byte_timeout = timeout.map(Duration::from_nanos)
        })
    }

    fn get_between_bytes_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(nanoseconds(self.table.get(&options)?.values.between_bytes_timeout))
    }

    fn set_between_bytes_timeout(&mut self, options: Resource<Options>, timeout: Option<u64>) -> OptionsResult {
        self.edit_options(options, |options| {
            options.between_bytes_timeout = timeout.map(Duration::from_nanos)
        })
    }

    fn clone(&mut self, options: Resource<Options>) -> wasmtime::Result<Resource<Options>> {
        let values = self.table.get(&options)?.values.clone();
        Ok(self.table.push(Options { values, mutable: true })?)
    }

    fn drop(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}

impl types::HostResponseWithStore<InstanceState> for HasSelf<InstanceState> {
    fn new(
        mut store: Store<'_>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: GuestTrailers,
    ) -> wasmtime::Result<(Resource<Response>, FutureReader<Result<(), ErrorCode>>)> {
        let headers = store.get().table.delete(headers)?.frozen();
        let declared = declared_length(&headers);
        let (body, outcome) = adopt(
            store.as_context_mut(),
            contents,
            trailers,
            declared,
            Direction::Response,
        )?;
        let response = Response {
            status: StatusCode::OK,
            headers,
            body: Payload::guest(body),
        };
        Ok((store.get().table.push(response)?, outcome))
    }

    fn consume_body(
        mut store: Store<'_>,
        response: Resource<Response>,
        result: FutureReader<Result<(), ErrorCode>>,
    ) -> wasmtime::Result<BodyAndTrailers> {
        let response = store.get().table.delete(response)?;
        consume(store.as_context_mut(), response.body, result)
    }

    fn drop(mut store: Store<'_>, response: Resource<Response>) -> wasmtime::Result<()> {
        store.get().table.delete(response)?;
        Ok(())
    }
}

impl types::HostResponse for InstanceState {
    fn get_status_code(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.status.as_u16())
    }

    fn set_status_code(&mut self, response: Resource<Response>, status: u16) -> wasmtime::Result<Result<(), ()>> {
        let response = self.table.get_mut(&response)?;
        // RFC 9110 section 15: 100 to 599.
        Ok(match StatusCode::from_u16(status) {
            Ok(known) if status < 600 => {
                response.status = known;
                Ok(())
            }
            _ => Err(()),
        })
    }

    fn get_headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.table.get(&response)?.headers.clone().frozen();
        Ok(self.table.push(headers)?)
    }
}

impl types::Host for InstanceState {}
impl client::Host for InstanceState {}

impl client::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn send(
        accessor: &Accessor<InstanceState, Self>,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let (request, client, caller) = accessor.with(|mut store| {
            let caller = caller(&mut store)?;
            let state = store.get();
            Ok::<_, wasmtime::Error>((state.table.delete(request)?, state.http.client.clone(), caller))
        })?;
        let receipt = request.body.as_guest().map(|body| body.sending());
        let options = request.options.as_deref().copied().unwrap_or_default();
        let request = request.into_http().map(|request| request.map(boxed));
        let sent = match (client, request) {
            (_, Err(error)) => Err(error),
            (None, _) => Err(ErrorCode::HttpRequestDenied),
            (Some(client), Ok(request)) => match caller {
                None => client.send(request, options).await,
                Some(caller) => send_for(&caller, client.send(request, options)).await,
            },
        };
        if let Some(receipt) = receipt {
            match &sent {
                Ok(_) => receipt.sent(),
                Err(error) => receipt.failed(error.clone()),
            }
        }
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        let (head, body) = response.into_parts();
        let response = Response {
            status: head.status,
            headers: Fields::received(head.headers),
            body: body.into(),
        };
        accessor.with(|mut store| Ok(Ok(store.get().table.push(response)?)))
    }
}

impl From<&Method> for types::Method {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            Method::CONNECT => Self::Connect,
            Method::OPTIONS => Self::Options,
            Method::TRACE => Self::Trace,
            Method::PATCH => Self::Patch,
            _ => Self::Other(method.as_str().to_owned()),
        }
    }
}

impl TryFrom<types::Method> for Method {
    type Error = http::method::InvalidMethod;

    fn try_from(method: types::Method) -> Result<Self, Self::Error> {
        Ok(match method {
            types::Method::Get => Self::GET,
            types::Method::Head => Self::HEAD,
            types::Method::Post => Self::POST,
            types::Method::Put => Self::PUT,
            types::Method::Delete => Self::DELETE,
            types::Method::Connect => Self::CONNECT,
            types::Method::Options => Self::OPTIONS,
            types::Method::Trace => Self::TRACE,
            types::Method::Patch => Self::PATCH,
            types::Method::Other(name) => name.parse()?,
        })
    }
}

impl From<&Scheme> for types::Scheme {
    fn from(scheme: &Scheme) -> Self {
        match scheme.as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl TryFrom<types::Scheme> for Scheme {
    type Error = http::uri::InvalidUri;

    fn try_from(scheme: types::Scheme) -> Result<Self, Self::Error> {
        match scheme {
            types::Scheme::Http => Ok(Self::HTTP),
            types::Scheme::Https => Ok(Self::HTTPS),
            types::Scheme::Other(name) => name.parse(),
        }
    }
}

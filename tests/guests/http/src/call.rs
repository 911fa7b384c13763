//! Outgoing requests.

use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::http::{client, types};
use wasip3::{wit_bindgen, wit_future, wit_stream};

use crate::{Reply, collect, fields};

/// The parts of `http://AUTHORITY/PATH`.
pub struct Url {
    /// `http` or `https` or another word.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: String,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Url {
    /// Takes `url` apart.
    pub fn parse(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or_else(|| panic!("{url} has no scheme"));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        Self {
            scheme,
            authority: authority.to_owned(),
            path: path.to_owned(),
        }
    }
}

/// An outgoing request and the writing side of its body.
pub struct Outgoing {
    /// To be sent.
    pub request: Request,
    /// What it carries.
    pub body: Reply,
}

/// A request to `url`, with a body still to be written.
pub fn request_to(url: &str, method: Method, headers: Fields, options: Option<RequestOptions>) -> Outgoing {
    let url = Url::parse(url);
    let (body, body_reader) = wit_stream::new();
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, sent) = Request::new(headers, Some(body_reader), trailers_reader, options);
    request.set_method(&method).expect("the test's method is valid");
    request
        .set_scheme(Some(&url.scheme))
        .expect("the test's scheme is valid");
    request
        .set_authority(Some(&url.authority))
        .expect("the test's authority is valid");
    if !url.path.is_empty() {
        request
            .set_path_with_query(Some(&url.path))
            .expect("the test's path is valid");
    }
    Outgoing {
        request,
        body: Reply { body, trailers, sent },
    }
}

/// Calls `url` and reads the answer's body to its end.
pub async fn get(url: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let Outgoing { request, body } = request_to(url, Method::Get, Fields::new(), None);
    drop(body);
    read(client::send(request).await?).await
}

/// Sends `text` to `url`: how a guest tells a test what happened.
pub async fn post(url: &str, text: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let headers = fields(&[("content-type", "text/plain")]);
    let Outgoing { request, mut body } = request_to(url, Method::Post, headers, None);
    let bytes = text.as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        body.write(bytes).await;
        body.finish(Ok(None)).await;
    });
    read(client::send(request).await?).await
}

async fn read(response: Response) -> Result<(u16, Vec<u8>), ErrorCode> {
    let status = response.get_status_code();
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = types::Response::consume_body(response, done);
    let bytes = collect(body).await;
    trailers.await?;
    Ok((status, bytes))
}

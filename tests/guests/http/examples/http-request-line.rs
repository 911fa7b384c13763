//! Reports the request's line and headers as the guest sees them, one `name: value` line each.

use guests_http::{describe, text};
use wasip3::http::types::{ErrorCode, Method, Request, Response, Scheme};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let method = match request.get_method() {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(name) => format!("other {name}"),
    };
    let scheme = match request.get_scheme() {
        None => "none".to_owned(),
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(name)) => format!("other {name}"),
    };
    let authority = request.get_authority().unwrap_or_else(|| "none".to_owned());
    let path = request.get_path_with_query().unwrap_or_else(|| "none".to_owned());
    let options = if request.get_options().is_some() {
        "some"
    } else {
        "none"
    };
    let headers = describe(&request.get_headers());
    Ok(text(format!(
        "method: {method}\nscheme: {scheme}\nauthority: {authority}\npath: {path}\noptions: {options}\n\n{headers}"
    )))
}

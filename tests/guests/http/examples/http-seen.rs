//! Says what it saw of a request, in its answer and as a line on stdout: `METHOD AUTHORITY PATH {HEADERS} "CONTENT"
//! {TRAILERS}`, where what is empty is left out. The line is written once the request has been read to its end, and
//! before the answer, so that it is there for a request whose answer nobody gets. A request that breaks off is
//! answered with 400, and its line ends in `broken off`. `unread` answers without taking the content.

use guests_http::{collect, text, text_with_status};
use wasip3::cli::stdout;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{wit_future, wit_stream};

/// Longer values are told by their length.
const SHOWN_BYTES_MAX: usize = 64;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = request.get_path_with_query().unwrap_or_else(|| "none".to_owned());
    let mut line = format!(
        "{} {}{} {target}",
        method(&request),
        scheme(&request),
        authority(&request)
    );
    line += &braced(&request.get_headers());
    if target.ends_with("?unread") {
        say(&format!("{line} unread\n")).await;
        return Ok(text(format!("{line} unread")));
    }
    let (_told, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let content = collect(body).await;
    if !content.is_empty() {
        line += &format!(" {}", quoted(&content));
    }
    match trailers.await {
        Ok(trailers) => line += &trailers.map_or_else(String::new, |trailers| braced(&trailers)),
        Err(_) => {
            say(&format!("{line} broken off\n")).await;
            return Ok(text_with_status(400, "broken off"));
        }
    }
    say(&format!("{line}\n")).await;
    Ok(text(line))
}

fn method(request: &Request) -> String {
    match request.get_method() {
        Method::Other(name) => name,
        known => format!("{known:?}").trim_start_matches("Method::").to_uppercase(),
    }
}

/// Nothing for `http`, which is what the tests speak.
fn scheme(request: &Request) -> String {
    match request.get_scheme() {
        Some(Scheme::Http) => String::new(),
        Some(Scheme::Https) => "https://".to_owned(),
        Some(Scheme::Other(name)) => format!("{name}://"),
        None => "none://".to_owned(),
    }
}

fn authority(request: &Request) -> String {
    request.get_authority().unwrap_or_else(|| "none".to_owned())
}

fn braced(fields: &Fields) -> String {
    // In an order of its own: only that of equal names means anything.
    let mut entries = fields.copy_all();
    entries.sort_by(|(first, _), (second, _)| first.cmp(second));
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(name, value)| format!("{name}: {}", shown(&value)))
        .collect();
    match entries.is_empty() {
        true => String::new(),
        false => format!(" {{{}}}", entries.join(", ")),
    }
}

fn quoted(bytes: &[u8]) -> String {
    match bytes.len() > SHOWN_BYTES_MAX {
        true => shown(bytes),
        false => format!("\"{}\"", shown(bytes)),
    }
}

fn shown(bytes: &[u8]) -> String {
    match bytes.len() > SHOWN_BYTES_MAX {
        true => format!("{} bytes", bytes.len()),
        false => bytes.escape_ascii().to_string(),
    }
}

async fn say(line: &str) {
    let (mut out, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    out.write_all(line.as_bytes().to_vec()).await;
    drop(out);
    let _ = written.await;
}

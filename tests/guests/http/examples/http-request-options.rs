//! Calls every function of `request-options` and those of `request` around it; one `what: outcome` line each.

use std::fmt::Debug;

use guests_http::text;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    let mut report = Report::default();
    options(&mut report);
    owned_by_a_request(&mut report);
    parts_of_a_request(&mut report);
    status_of_a_response(&mut report);
    Ok(text(report.lines))
}

#[derive(Default)]
struct Report {
    lines: String,
}

impl Report {
    fn line(&mut self, what: &str, outcome: impl Debug) {
        self.lines.push_str(&format!("{what}: {outcome:?}\n"));
    }
}

fn timeouts(options: &RequestOptions) -> [Option<u64>; 3] {
    [
        options.get_connect_timeout(),
        options.get_first_byte_timeout(),
        options.get_between_bytes_timeout(),
    ]
}

fn options(report: &mut Report) {
    let options = RequestOptions::new();
    report.line("constructor", timeouts(&options));
    report.line("set-connect-timeout", options.set_connect_timeout(Some(1)));
    report.line("set-first-byte-timeout", options.set_first_byte_timeout(Some(2)));
    report.line("set-between-bytes-timeout", options.set_between_bytes_timeout(Some(3)));
    report.line("set", timeouts(&options));
    let copy = options.clone();
    report.line("clone", timeouts(&copy));
    report.line("unset", copy.set_connect_timeout(None).map(|()| timeouts(&copy)));
    report.line("clone is apart", timeouts(&options));
    report.line(
        "longest",
        options.set_connect_timeout(Some(u64::MAX)).map(|()| timeouts(&options)),
    );
}

fn new_request(options: Option<RequestOptions>) -> Request {
    let (_, trailers) = wit_future::new(|| Ok(None));
    Request::new(Fields::new(), None, trailers, options).0
}

fn owned_by_a_request(report: &mut Report) {
    report.line("request without options", new_request(None).get_options().is_none());
    let options = RequestOptions::new();
    options
        .set_connect_timeout(Some(1))
        .expect("connect timeouts are supported");
    let request = new_request(Some(options));
    let options = request.get_options().expect("the request has options");
    report.line("request's options", timeouts(&options));
    report.line("request's set-connect-timeout", options.set_connect_timeout(Some(2)));
    report.line(
        "request's set-first-byte-timeout",
        options.set_first_byte_timeout(Some(2)),
    );
    report.line(
        "request's set-between-bytes-timeout",
        options.set_between_bytes_timeout(Some(2)),
    );
    let copy = options.clone();
    report.line(
        "clone of the request's",
        copy.set_connect_timeout(Some(2)).map(|()| timeouts(&copy)),
    );
    report.line("request keeps", timeouts(&options));
}

fn parts_of_a_request(report: &mut Report) {
    let request = new_request(None);
    report.line("default method", request.get_method());
    report.line("default path", request.get_path_with_query());
    report.line("default scheme", request.get_scheme());
    report.line("default authority", request.get_authority());
    let methods = [
        Method::Put,
        Method::Other("PURGE".to_owned()),
        Method::Other("GET".to_owned()),
        Method::Other("a b".to_owned()),
    ];
    for method in methods {
        let set = request.set_method(&method);
        report.line(&format!("set-method {method:?}"), (set, request.get_method()));
    }
    for path in [Some("/a?b=c"), Some("/"), Some("*"), Some("/a b"), None] {
        let set = request.set_path_with_query(path);
        report.line(&format!("set-path {path:?}"), (set, request.get_path_with_query()));
    }
    for scheme in [
        Some(Scheme::Https),
        Some(Scheme::Other("ftp".to_owned())),
        Some(Scheme::Other("a b".to_owned())),
        None,
    ] {
        let set = request.set_scheme(scheme.as_ref());
        report.line(&format!("set-scheme {scheme:?}"), (set, request.get_scheme()));
    }
    for authority in [
        Some("a.test:80"),
        Some("[::1]:80"),
        Some("a b"),
        Some("a.test:port"),
        None,
    ] {
        let set = request.set_authority(authority);
        report.line(&format!("set-authority {authority:?}"), (set, request.get_authority()));
    }
}

fn status_of_a_response(report: &mut Report) {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), None, trailers);
    report.line("default status", response.get_status_code());
    for status in [100, 200, 299, 599, 999, 99, 1000, 0] {
        let set = response.set_status_code(status);
        report.line(&format!("set-status {status}"), (set, response.get_status_code()));
    }
}

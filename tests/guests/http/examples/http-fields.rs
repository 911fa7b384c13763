//! Calls every function of `fields` and answers with one `what: outcome` line each; the test knows what is right.

use std::fmt::Debug;

use guests_http::{fields, text};
use wasip3::http::types::{ErrorCode, Fields, HeaderError, Request, Response};
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mut report = Report::default();
    construction(&mut report);
    reading(&mut report);
    writing(&mut report);
    copies(&mut report);
    immutability(&mut report, &request);
    limits(&mut report);
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

fn entry(name: &str, value: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), value.to_vec())
}

/// The entries as `name=value`, in order.
fn all(fields: &Fields) -> Vec<String> {
    let entries = fields.copy_all().into_iter();
    entries
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value)))
        .collect()
}

fn texts(values: Vec<Vec<u8>>) -> Vec<String> {
    values
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

fn construction(report: &mut Report) {
    report.line("constructor", all(&Fields::new()));
    let cases: [(&str, (String, Vec<u8>)); 10] = [
        ("plain", entry("x-a", b"1")),
        ("empty value", entry("x-a", b"")),
        ("bytes above ascii", entry("x-a", b"\xff\xfe")),
        ("tab in value", entry("x-a", b"a\tb")),
        ("empty name", entry("", b"1")),
        ("space in name", entry("x a", b"1")),
        ("colon in name", entry("x:a", b"1")),
        ("letter above ascii in name", entry("x-\u{e4}", b"1")),
        ("newline in value", entry("x-a", b"a\r\nx-b: c")),
        ("zero byte in value", entry("x-a", b"a\0b")),
    ];
    for (what, entry) in cases {
        report.line(
            &format!("from-list {what}"),
            Fields::from_list(&[entry]).map(|fields| fields.copy_all().len()),
        );
    }
    for name in [
        "connection",
        "host",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "Transfer-Encoding",
        "upgrade",
    ] {
        report.line(
            &format!("from-list {name}"),
            Fields::from_list(&[entry(name, b"x")]).map(|_| ()),
        );
        report.line(&format!("append {name}"), Fields::new().append(name, b"x"));
        report.line(&format!("set {name}"), Fields::new().set(name, &[b"x".to_vec()]));
    }
    let repeated = Fields::from_list(&[entry("x-a", b"1"), entry("x-b", b"2"), entry("x-a", b"3")]);
    report.line("from-list repeated", repeated.map(|fields| texts(fields.get("x-a"))));
    let mixed = Fields::from_list(&[entry("X-Mixed", b"1"), entry("x-a", b"2")]);
    report.line("from-list in lower case and in order", mixed.map(|fields| all(&fields)));
}

fn reading(report: &mut Report) {
    let fields = fields(&[("x-a", "1"), ("X-A", "2"), ("x-empty", "")]);
    report.line("get", texts(fields.get("x-a")));
    report.line("get other case", texts(fields.get("X-a")));
    report.line("get empty", texts(fields.get("x-empty")));
    report.line("get missing", texts(fields.get("x-missing")));
    report.line("get invalid name", texts(fields.get("x a")));
    report.line("has", fields.has("x-a"));
    report.line("has other case", fields.has("X-EMPTY"));
    report.line("has missing", fields.has("x-missing"));
    report.line("has invalid name", fields.has("x a"));
}

fn writing(report: &mut Report) {
    let fields = fields(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
    report.line("append", fields.append("x-a", b"4").map(|()| texts(fields.get("x-a"))));
    report.line("append invalid name", fields.append("x a", b"4"));
    report.line("append invalid value", fields.append("x-a", b"4\n5"));
    report.line(
        "set",
        fields
            .set("X-A", &[b"5".to_vec(), b"6".to_vec()])
            .map(|()| texts(fields.get("x-a"))),
    );
    report.line("set invalid name", fields.set("x a", &[b"5".to_vec()]));
    report.line("set invalid value", fields.set("x-a", &[b"5\0".to_vec()]));
    report.line("a refused set changes nothing", texts(fields.get("x-a")));
    report.line("set to nothing", fields.set("x-a", &[]).map(|()| fields.has("x-a")));
    report.line("delete", fields.delete("X-B").map(|()| fields.has("x-b")));
    report.line("delete missing", fields.delete("x-missing"));
    report.line("delete invalid name", fields.delete("x a"));
    fields.append("x-c", b"7").expect("a valid field");
    fields.append("x-c", b"8").expect("a valid field");
    report.line("get-and-delete", fields.get_and_delete("X-C").map(texts));
    report.line("get-and-delete again", fields.get_and_delete("x-c").map(texts));
    report.line("get-and-delete invalid name", fields.get_and_delete("x a").map(texts));
    report.line("nothing left", all(&fields));
}

fn copies(report: &mut Report) {
    let original = fields(&[("x-a", "1")]);
    let copy = original.clone();
    report.line("clone", all(&copy));
    report.line("clone is mutable", copy.append("x-b", b"2"));
    report.line("clone is apart", (all(&original), all(&copy)));
}

fn immutability(report: &mut Report, incoming: &Request) {
    report.line("incoming", outcomes(&incoming.get_headers()));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(&[("x-a", "1")]), None, trailers);
    report.line("response", outcomes(&response.get_headers()));
    report.line("response keeps", all(&response.get_headers()));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(fields(&[("x-a", "1")]), None, trailers, None);
    report.line("request", outcomes(&request.get_headers()));
    let copy = request.get_headers().clone();
    report.line(
        "clone of immutable",
        copy.set("x-a", &[b"2".to_vec()]).map(|()| all(&copy)),
    );
    report.line("request keeps", all(&request.get_headers()));
}

/// What each changing function answers, once if all say the same.
fn outcomes(fields: &Fields) -> Vec<String> {
    let name = |outcome: Result<(), HeaderError>| format!("{outcome:?}");
    let mut outcomes = vec![
        name(fields.set("x-a", &[b"2".to_vec()])),
        name(fields.append("x-a", b"2")),
        name(fields.delete("x-a")),
        name(fields.get_and_delete("x-a").map(|_| ())),
    ];
    outcomes.dedup();
    outcomes
}

fn limits(report: &mut Report) {
    const MIB: usize = 1024 * 1024;
    let outcome = |result: Result<(), HeaderError>| result.map_err(|error| format!("{error:?}"));
    let huge = vec![b'v'; MIB];
    report.line("append 1 MiB", outcome(Fields::new().append("x-huge", &huge)));
    report.line(
        "set 1 MiB",
        outcome(Fields::new().set("x-huge", std::slice::from_ref(&huge))),
    );
    report.line(
        "from-list 1 MiB",
        outcome(Fields::from_list(&[entry("x-huge", &huge)]).map(|_| ())),
    );
    let many = Fields::new();
    let refused = (0..100_000).find_map(|_| many.append("x-many", &[b'v'; 64]).err());
    report.line("append 64 bytes without end", refused);
}

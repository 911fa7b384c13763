//! `fields`, `request-options` and the parts of messages, function by function: a guest calls them all, and what each
//! answered is compared here.

use wharf_tests::Server;
use wharf_tests::http::get;

/// What `http-fields` must say.
const FIELDS: &str = include_str!("fields.expected");

/// What `http-request-options` must say.
const REQUEST_OPTIONS: &str = include_str!("request_options.expected");

/// Line by line, so that a difference names what it is about.
fn check(guest: &str, expected: &str) {
    let server = Server::start(guest, &[]);
    let reply = get(server.addr(), "/");
    assert_eq!(reply.status, 200, "{guest}");
    let text = reply.text();
    let wrong: Vec<_> = text
        .lines()
        .filter(|line| !expected.lines().any(|known| known == *line))
        .collect();
    assert!(
        wrong.is_empty(),
        "{guest} says what it should not:\n{}",
        wrong.join("\n")
    );
    assert_eq!(text.trim_end(), expected.trim_end(), "{guest}");
}

#[test]
fn every_function_of_fields() {
    check("http-fields", FIELDS);
}

#[test]
fn every_function_of_request_options_and_of_messages() {
    check("http-request-options", REQUEST_OPTIONS);
}

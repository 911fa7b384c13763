//! What the middleware asks for. It knows nothing of HTTP, so that `cargo test` tests it without a server.

/// Fields that every response gets.
pub const FIELDS: [(&str, &str); 2] = [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")];

/// Whether a request for this path comes through.
pub fn is_allowed(path: &str) -> bool {
    path != "/private" && !path.starts_with("/private/") && !path.starts_with("/private?")
}

#[test]
fn what_is_private_does_not_come_through() {
    for (path, expected) in [
        ("/", true),
        ("/privateer", true),
        ("/private", false),
        ("/private?x", false),
        ("/private/a", false),
    ] {
        assert_eq!(is_allowed(path), expected, "{path}");
    }
}

//! What the service says. It knows nothing of WebSockets, so that `cargo test` tests it without a server.

/// Greets whoever says who they are.
pub fn reply(text: &str) -> String {
    format!("Hello, {}!", text.trim())
}

#[test]
fn whoever_says_who_they_are_is_greeted() {
    assert_eq!(reply("Ada\n"), "Hello, Ada!");
}

//! What the service says. It knows nothing of HTTP, so that `cargo test` tests it without a server.

/// Greets whom the path names: `/Ada` is `Hello, Ada!`.
pub fn greeting(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "Hello, world!\n".to_owned(),
        name => format!("Hello, {name}!\n"),
    }
}

#[test]
fn whom_the_path_names_is_greeted() {
    assert_eq!(greeting("/"), "Hello, world!\n");
    assert_eq!(greeting("/Ada"), "Hello, Ada!\n");
}

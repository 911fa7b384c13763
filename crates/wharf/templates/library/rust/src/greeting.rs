//! What the library says. It knows nothing of components, so that `cargo test` tests it without a host.

/// Greets somebody, or says why not.
pub fn greeting(name: &str) -> Result<String, &'static str> {
    match name.trim() {
        "" => Err("there is nobody to greet"),
        name => Ok(format!("Hello, {name}!")),
    }
}

#[test]
fn whoever_has_a_name_is_greeted() {
    assert_eq!(greeting(" Ada "), Ok("Hello, Ada!".to_owned()));
    assert_eq!(greeting(" "), Err("there is nobody to greet"));
}

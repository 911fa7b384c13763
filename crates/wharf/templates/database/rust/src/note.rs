//! What a note is. It knows nothing of HTTP and databases, so that `cargo test` tests it without either.

use serde::Serialize;

/// A note as clients see it.
#[derive(Debug, Serialize)]
pub struct Note {
    pub id: i64,
    pub text: String,
}

/// The text of a note in what a client sent, or why it is none.
pub fn text(sent: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(sent).map_err(|_| "a note is text in UTF-8")?;
    match text.trim() {
        "" => Err("a note has a text"),
        text if text.contains('\n') => Err("a note is one line"),
        text => Ok(text.to_owned()),
    }
}

#[test]
fn a_note_is_a_line_of_text() {
    assert_eq!(text(b" Buy tea.\n"), Ok("Buy tea.".to_owned()));
    assert_eq!(text(b" \n"), Err("a note has a text"));
    assert_eq!(text(b"one\ntwo"), Err("a note is one line"));
    assert_eq!(text(b"\xff"), Err("a note is text in UTF-8"));
}

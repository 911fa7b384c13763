//! What the program does. It reads from anywhere, so that `cargo test` tests it.

use std::io::{self, BufRead};

#[derive(Debug, Default, PartialEq)]
pub struct Counted {
    pub lines: usize,
    pub words: usize,
    pub bytes: usize,
}

/// Counts what there is to read, a line at a time.
pub fn count(input: &mut impl BufRead) -> io::Result<Counted> {
    let mut counted = Counted::default();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        counted.lines += 1;
        counted.words += String::from_utf8_lossy(&line).split_whitespace().count();
        counted.bytes += line.len();
        line.clear();
    }
    Ok(counted)
}

#[test]
fn lines_words_and_bytes_are_counted() {
    let counted = count(&mut &b"one two\nthree\n"[..]).unwrap();
    assert_eq!((counted.lines, counted.words, counted.bytes), (2, 3, 14));
    assert_eq!(count(&mut &b""[..]).unwrap(), Counted::default());
}

//! How calls and their results are written in arguments and in lines: words between spaces.

use std::fmt::Debug;

/// The words of one call. `''` is the empty word, `*N` a text of N bytes.
pub fn words(call: &str) -> Vec<String> {
    call.split(' ').filter(|word| !word.is_empty()).map(word).collect()
}

fn word(word: &str) -> String {
    if word == "''" {
        return String::new();
    }
    match word.strip_prefix('*').and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) => "x".repeat(bytes),
        None => word.to_owned(),
    }
}

/// Received bytes as a word: the text itself, or `*N` when it is long.
pub fn received(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "''".to_owned()
    } else if bytes.len() > 64 {
        format!("*{}", bytes.len())
    } else {
        String::from_utf8_lossy(bytes).replace('\0', "\\0")
    }
}

/// The name of a variant as WIT spells it: `NotPermitted` is `not-permitted`.
pub fn kebab(variant: impl Debug) -> String {
    // The bindings print an error as `ErrorCode::NotPermitted`, or with a payload behind it.
    let name = format!("{variant:?}");
    let name = name.split('(').next().unwrap_or_default();
    let name = name.rsplit("::").next().unwrap_or_default();
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// `ok`, `ok VALUE` or `err CODE`.
pub fn outcome<T: AsRef<str>, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(value) if value.as_ref().is_empty() => "ok".to_owned(),
        Ok(value) => format!("ok {}", value.as_ref()),
        Err(code) => format!("err {}", kebab(code)),
    }
}

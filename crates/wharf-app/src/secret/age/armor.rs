//! The format as lines of text, which survive where bytes do not: Base64 between two lines that say what it is.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::AgeError;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// As in RFC 7468.
const COLUMNS: usize = 64;

pub(super) fn put_on(file: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(file);
    let mut lines = format!("{BEGIN}\n").into_bytes();
    for line in encoded.as_bytes().chunks(COLUMNS) {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines.extend_from_slice(END.as_bytes());
    lines.push(b'\n');
    lines
}

/// What is inside, or the file itself where there are no such lines.
pub(super) fn take_off(file: &[u8]) -> Result<Cow<'_, [u8]>, AgeError> {
    let trimmed = file.trim_ascii();
    let Some(rest) = trimmed.strip_prefix(BEGIN.as_bytes()) else {
        return Ok(Cow::Borrowed(file));
    };
    let damaged = AgeError::Damaged("its lines of text are not whole");
    let Some(inside) = rest.strip_suffix(END.as_bytes()) else {
        return Err(damaged);
    };
    let encoded: Vec<u8> = inside.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    STANDARD.decode(encoded).map(Cow::Owned).map_err(|_| damaged)
}

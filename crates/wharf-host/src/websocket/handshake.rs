//! What both ends of a handshake compute (RFC 6455 section 4).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

/// Stands behind the key in what it is answered with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client's key is answered with; `None` where it is none: 16 bytes in base64.
pub fn accept(key: &[u8]) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(key).ok()?;
    if bytes.len() != 16 {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Some(BASE64_STANDARD.encode(digest))
}

/// A key unlike any other.
pub(super) fn key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// RFC 9110 section 5.6.2.
pub fn is_token(word: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word.bytes().all(is_of_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        let accepted = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accepted.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let [one, other] = [key().unwrap(), key().unwrap()];
        assert!(accept(one.as_bytes()).is_some());
        assert_ne!(one, other);
        for wrong in ["", "dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ=", "!"] {
            assert_eq!(accept(wrong.as_bytes()), None, "{wrong}");
        }
    }
}

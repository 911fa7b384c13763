//! The second part of a file: its content in chunks, each of which shows where it belongs, so that none is missing, moved or left out at
//! the end.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};

use super::{AgeError, FileKey, derived, random};

const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;

pub(super) fn seal(file_key: &FileKey, content: &[u8]) -> Result<Vec<u8>, AgeError> {
    let nonce = random::<NONCE_BYTES>()?;
    let cipher = cipher(file_key, &nonce);
    let mut payload = nonce.to_vec();
    // An empty content is one chunk of nothing.
    let mut chunks = content.chunks(CHUNK_BYTES).peekable();
    let mut place = Place::default();
    loop {
        let mut chunk = chunks.next().unwrap_or_default().to_vec();
        place.is_last = chunks.peek().is_none();
        let sealed = cipher.encrypt_in_place(&place.nonce().into(), b"", &mut chunk);
        sealed.map_err(|_| AgeError::Damaged("it is too long"))?;
        payload.extend(chunk);
        if place.is_last {
            return Ok(payload);
        }
        place.chunk += 1;
    }
}

pub(super) fn open(file_key: &FileKey, payload: &[u8]) -> Result<Vec<u8>, AgeError> {
    let damaged = AgeError::Damaged("its content was changed, or is not whole");
    let Some((nonce, sealed)) = payload.split_first_chunk::<NONCE_BYTES>() else {
        return Err(damaged);
    };
    let cipher = cipher(file_key, nonce);
    let mut content = Vec::with_capacity(sealed.len());
    let mut chunks = sealed.chunks(CHUNK_BYTES + TAG_BYTES).peekable();
    let mut place = Place::default();
    while let Some(chunk) = chunks.next() {
        place.is_last = chunks.peek().is_none();
        let mut chunk = chunk.to_vec();
        let opened = cipher.decrypt_in_place(&place.nonce().into(), b"", &mut chunk);
        let is_superfluous = chunk.is_empty() && place.chunk > 0;
        if opened.is_err() || is_superfluous {
            return Err(damaged);
        }
        content.extend(chunk);
        place.chunk += 1;
    }
    match place.is_last {
        true => Ok(content),
        false => Err(damaged),
    }
}

fn cipher(file_key: &FileKey, nonce: &[u8; NONCE_BYTES]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&derived(file_key, nonce, b"payload").into())
}

/// Where a chunk belongs.
#[derive(Default)]
struct Place {
    chunk: u64,
    is_last: bool,
}

impl Place {
    /// Eleven bytes of the chunk's number, the highest first, and one that says whether it is the last.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.chunk.to_be_bytes());
        nonce[11] = u8::from(self.is_last);
        nonce
    }
}

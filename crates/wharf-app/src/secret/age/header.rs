//! The first part of a file: lines that hold the file's key once per recipient, and a code that shows that nobody changed them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use ed25519_compact::x25519::{PublicKey, SecretKey};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{AgeError, FileKey, Identity, Recipient, derived, random};

const VERSION: &str = "age-encryption.org/v1\n";
const TYPE: &str = "X25519";
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";

/// The key that wraps is used once.
const WRAP_NONCE: [u8; 12] = [0; 12];

/// Longer lines there are none; a shorter one ends a body.
const COLUMNS: usize = 64;

/// For how many keys a file may be. Each costs a multiplication on the curve, so a file of many would take seconds.
const STANZAS_MAX: usize = 1024;

/// A file's key, wrapped for one recipient whose type is ours.
struct Stanza {
    share: [u8; 32],
    wrapped: Vec<u8>,
}

/// A header, and what comes after it.
pub(super) struct Header<'a> {
    stanzas: Vec<Stanza>,
    signed: &'a [u8],
    code: Vec<u8>,
    pub payload: &'a [u8],
}

/// The lines for a new file.
pub(super) fn write(recipients: &[Recipient], file_key: &FileKey) -> Result<Vec<u8>, AgeError> {
    let mut header = VERSION.to_owned();
    for recipient in recipients {
        let stanza = Stanza::wrap(recipient, file_key)?;
        let (share, wrapped) = (
            STANDARD_NO_PAD.encode(stanza.share),
            STANDARD_NO_PAD.encode(stanza.wrapped),
        );
        // Shorter than a line, since thirty-two bytes are.
        header += &format!("-> {TYPE} {share}\n{wrapped}\n");
    }
    header += "---";
    let code = code(file_key, header.as_bytes())?.finalize().into_bytes();
    header += &format!(" {}\n", STANDARD_NO_PAD.encode(code));
    Ok(header.into_bytes())
}

impl<'a> Header<'a> {
    pub fn parse(file: &'a [u8]) -> Result<Self, AgeError> {
        let mut rest = file.strip_prefix(VERSION.as_bytes()).ok_or(AgeError::OtherFormat)?;
        let mut stanzas = Vec::new();
        let mut count = 0;
        loop {
            let before = file.len() - rest.len();
            let line = take_line(&mut rest)?;
            if let Some(code) = line.strip_prefix("--- ") {
                return Ok(Self {
                    stanzas,
                    signed: &file[..before + "---".len()],
                    code: decoded(code)?,
                    payload: rest,
                });
            }
            let arguments = line
                .strip_prefix("-> ")
                .ok_or(AgeError::Damaged("its header has a line of no known kind"))?;
            stanzas.extend(Stanza::parse(arguments, &take_body(&mut rest)?)?);
            count += 1;
            if count > STANZAS_MAX {
                return Err(AgeError::Damaged("its header is for too many keys"));
            }
        }
    }

    /// The file's key, which one of `identities` unwraps.
    pub fn file_key(&self, identities: &[Identity]) -> Result<FileKey, AgeError> {
        let mut unwrapped = self
            .stanzas
            .iter()
            .flat_map(|stanza| identities.iter().filter_map(|identity| stanza.unwrap(identity)));
        let file_key = unwrapped.next().ok_or(AgeError::OtherKey)?;
        let checked = code(&file_key, self.signed)?.verify_slice(&self.code);
        checked.map_err(|_| AgeError::Damaged("its header was changed"))?;
        Ok(file_key)
    }
}

impl Stanza {
    fn wrap(recipient: &Recipient, file_key: &FileKey) -> Result<Self, AgeError> {
        let ephemeral = SecretKey::new(random()?);
        let share = ephemeral.recover_public_key().map_err(|_| AgeError::Random)?;
        let key = wrap_key(&ephemeral, &recipient.0, &share, &recipient.0).ok_or(AgeError::WeakRecipient)?;
        let mut wrapped = file_key.to_vec();
        let sealed = ChaCha20Poly1305::new(&key.into()).encrypt_in_place(&WRAP_NONCE.into(), b"", &mut wrapped);
        sealed.map_err(|_| AgeError::WeakRecipient)?;
        Ok(Self { share: *share, wrapped })
    }

    /// `None` where it is for a key of another type.
    fn parse(arguments: &str, body: &[u8]) -> Result<Option<Self>, AgeError> {
        let damaged = || AgeError::Damaged("its header has a key that is not whole");
        let mut arguments = arguments.split(' ');
        if arguments.next() != Some(TYPE) {
            return Ok(None);
        }
        let (Some(share), None) = (arguments.next(), arguments.next()) else {
            return Err(damaged());
        };
        let share = decoded(share)?.try_into().map_err(|_| damaged())?;
        // The file's key and a tag; another length would let one header mean several keys.
        if body.len() != size_of::<FileKey>() + 16 {
            return Err(damaged());
        }
        let wrapped = body.to_vec();
        Ok(Some(Self { share, wrapped }))
    }

    /// `None` where it is for somebody else.
    fn unwrap(&self, identity: &Identity) -> Option<FileKey> {
        let theirs = PublicKey::new(self.share);
        let key = wrap_key(&identity.0, &theirs, &self.share, &identity.recipient().0)?;
        let mut wrapped = self.wrapped.clone();
        let opened = ChaCha20Poly1305::new(&key.into()).decrypt_in_place(&WRAP_NONCE.into(), b"", &mut wrapped);
        opened.ok()?;
        wrapped.try_into().ok()
    }
}

/// What both sides come to; `None` where anybody would.
fn wrap_key(own: &SecretKey, theirs: &PublicKey, share: &[u8; 32], recipient: &PublicKey) -> Option<[u8; 32]> {
    // It fails where the outcome is zero, whatever the secret.
    let shared = theirs.dh(own).ok()?;
    let salt = [&share[..], &recipient[..]].concat();
    Some(derived(&shared[..], &salt, WRAP_INFO))
}

fn code(file_key: &FileKey, signed: &[u8]) -> Result<Hmac<Sha256>, AgeError> {
    let key = derived(file_key, b"", b"header");
    // It takes keys of every length.
    let mut code = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| AgeError::Damaged("its header has no code"))?;
    code.update(signed);
    Ok(code)
}

/// The next line, without its end.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, AgeError> {
    let damaged = AgeError::Damaged("its header is not whole");
    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
        return Err(damaged);
    };
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    str::from_utf8(line).map_err(|_| damaged)
}

/// A body: full lines, and a shorter one at its end, which may be empty.
fn take_body(rest: &mut &[u8]) -> Result<Vec<u8>, AgeError> {
    let mut body = String::new();
    loop {
        let line = take_line(rest)?;
        body += line;
        match line.len() {
            COLUMNS => {}
            ..COLUMNS => return decoded(&body),
            _ => return Err(AgeError::Damaged("its header has a line that is too long")),
        }
    }
}

/// Base64 without padding, in the one form that a value has.
fn decoded(text: &str) -> Result<Vec<u8>, AgeError> {
    let decoded = STANDARD_NO_PAD.decode(text);
    decoded.map_err(|_| AgeError::Damaged("its header has something that is no Base64"))
}

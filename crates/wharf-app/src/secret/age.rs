//! Files in age's format, version 1 (age-encryption.org/v1, specified at c2sp.org/age), for keys of its type `X25519`: what `age
//! --recipient age1...` writes, and what it reads.
//!
//! This is the format alone, put together from the primitives of others; why not the crate of that name is in
//! `docs/decisions/0015-encrypted-secrets.md`. Other types of keys (passphrases, SSH, plugins, post-quantum) are passed over: a file
//! that is for one of ours as well can be read. Contents are held whole, and so have to be small. Where keys come from is for
//! `encrypted.rs` to say.

mod armor;
mod header;
mod payload;

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use ed25519_compact::x25519::{PublicKey, SecretKey};
use hkdf::Hkdf;
use sha2::Sha256;

use header::Header;

/// A key of a file, which opens its content; each recipient has it wrapped in the header.
type FileKey = [u8; 16];

const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-";
const RECIPIENT_PREFIX: &str = "age";

/// Why a file cannot be written or read. Shows nothing of what is in it, nor of keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// It does not begin as such files do.
    #[error("it is not in age's format")]
    OtherFormat,
    /// It begins so, and goes on otherwise.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is for others.
    #[error("it was encrypted for another key")]
    OtherKey,
    /// A recipient whose secret anybody knows.
    #[error("a public key that everybody can read for")]
    WeakRecipient,
    /// The system gives no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no key")]
pub struct NotAKey;

/// A key that reads: `AGE-SECRET-KEY-1...`. It has no debug form, and is overwritten when it is dropped.
pub struct Identity(SecretKey, Recipient);

/// A key that only writes: `age1...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(PublicKey);

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, AgeError> {
        Self::of(random()?).map_err(|_| AgeError::Random)
    }

    fn of(bytes: [u8; 32]) -> Result<Self, NotAKey> {
        let secret = SecretKey::new(bytes);
        let public = secret.recover_public_key().map_err(|_| NotAKey)?;
        Ok(Self(secret, Recipient(public)))
    }

    /// Whoever encrypts for this key.
    pub fn recipient(&self) -> Recipient {
        self.1.clone()
    }

    /// The key itself, as its file holds it.
    pub fn secret_text(&self) -> String {
        // Thirty-two bytes are never too long for the encoding.
        bech32::encode_upper::<Bech32>(Hrp::parse_unchecked(IDENTITY_PREFIX), &self.0[..]).unwrap_or_default()
    }
}

impl FromStr for Identity {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        Self::of(bytes_of(text, IDENTITY_PREFIX)?)
    }
}

impl FromStr for Recipient {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        Ok(Self(PublicKey::new(bytes_of(text, RECIPIENT_PREFIX)?)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse_unchecked(RECIPIENT_PREFIX);
        bech32::encode_lower_to_fmt::<Bech32, _>(f, prefix, &self.0[..]).map_err(|_| fmt::Error)
    }
}

/// The bytes of a key in BIP 173's encoding, whose case belongs to the prefix.
fn bytes_of(text: &str, prefix: &str) -> Result<[u8; 32], NotAKey> {
    let parsed = CheckedHrpstring::new::<Bech32>(text).map_err(|_| NotAKey)?;
    if parsed.hrp().as_str() != prefix {
        return Err(NotAKey);
    }
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    bytes.try_into().map_err(|_| NotAKey)
}

/// `content`, encrypted for each of `recipients`, as lines of text.
///
/// # Errors
/// When there are no random numbers, or a recipient would let everybody read.
pub fn encrypt(recipients: &[Recipient], content: &[u8]) -> Result<Vec<u8>, AgeError> {
    let file_key: FileKey = random()?;
    let mut file = header::write(recipients, &file_key)?;
    file.extend(payload::seal(&file_key, content)?);
    Ok(armor::put_on(&file))
}

/// The content of `file`, for the first of `identities` that it was encrypted for.
///
/// # Errors
/// When none of them is, or the file is not whole, or no such file.
pub fn decrypt(identities: &[Identity], file: &[u8]) -> Result<Vec<u8>, AgeError> {
    let file = armor::take_off(file)?;
    let header = Header::parse(&file)?;
    let file_key = header.file_key(identities)?;
    payload::open(&file_key, header.payload)
}

fn random<const N: usize>() -> Result<[u8; N], AgeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AgeError::Random)?;
    Ok(bytes)
}

/// HKDF with SHA-256 (RFC 5869), as the format uses it: always for thirty-two bytes.
fn derived(key: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut derived = [0; 32];
    // It fails for more than 8160 bytes alone.
    let _ = Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut derived);
    derived
}

#[cfg(test)]
mod tests;

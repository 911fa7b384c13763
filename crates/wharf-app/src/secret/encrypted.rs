//! Secrets in an encrypted file: in age's format (`age.rs`), with a table of TOML's inside: `NAME = "value"`.
//!
//! The server's key is one that age makes as well, `AGE-SECRET-KEY-1...`, in a file that a variable of its environment names, or in a
//! variable itself. Both files are read anew each time. Neither what is inside nor the key is ever part of an error.

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::age::{self, AgeError};
pub use super::age::{Identity, Recipient};
use crate::read;

/// Names the file that holds the key: lines, of which those that begin with `#` are comments.
pub const KEY_FILE_VARIABLE: &str = "WHARF_SECRETS_KEY_FILE";

/// Holds the key, where there is no such file.
pub const KEY_VARIABLE: &str = "WHARF_SECRETS_KEY";

/// Why a secret in an encrypted file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EncryptedError {
    /// Nobody said where the key is.
    #[error("there is no key: set {KEY_FILE_VARIABLE} to the path of its file, or {KEY_VARIABLE} to the key")]
    NoKey,
    /// The key's file cannot be read.
    #[error("the key's file {}, which {KEY_FILE_VARIABLE} names, cannot be read: {error}", file.display())]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What is there is no key.
    #[error("{0} is no key: write a line that begins with AGE-SECRET-KEY-1, as `wharf secrets key` makes it")]
    NotAKey(KeyLine),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is for other keys.
    #[error(
        "it was encrypted for another key: give the server that one, or encrypt the file anew for {}",
        list(.0)
    )]
    OtherKey(Vec<Recipient>),
    /// It is no encrypted file, or not whole.
    #[error("{0}; `wharf secrets encrypt` writes such files anew")]
    Format(AgeError),
    /// There is nothing to encrypt, which in a pipe means that what came before has failed.
    #[error("there is no secret to encrypt: write lines of `NAME = \"value\"`")]
    Empty,
    /// It cannot be encrypted.
    #[error("it cannot be encrypted: {0}")]
    Encrypt(AgeError),
    /// What is inside is not what is expected there.
    #[error("line {0} of what is encrypted is no `NAME = \"value\"`")]
    NotATable(usize),
    /// What is inside is no text.
    #[error("what is encrypted is not UTF-8: write lines of `NAME = \"value\"`")]
    NotUtf8,
    /// It holds no such secret.
    #[error("it holds no `{0}`: add it, or write the name of another; `wharf secrets names` says which there are")]
    NoSuch(String),
}

/// Where a key should be, and something else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLine {
    /// In the variable itself.
    Variable,
    /// On this line of this file, or nowhere in it.
    File(PathBuf, Option<usize>),
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(KEY_VARIABLE),
            Self::File(file, Some(line)) => write!(f, "{}:{line}", file.display()),
            Self::File(file, None) => write!(f, "{}", file.display()),
        }
    }
}

/// The secret `name` of the encrypted file `file`.
///
/// # Errors
/// When there is no key, or none that fits, or no such secret.
pub fn read(file: &Path, name: &str) -> Result<String, EncryptedError> {
    let text = decrypt(&read::regular(file, read::FILE_BYTES_MAX)?)?;
    let value = table(&text)?.into_iter().find(|(found, _)| found == name);
    value
        .map(|(_, value)| value)
        .ok_or_else(|| EncryptedError::NoSuch(name.to_owned()))
}

/// What an encrypted file holds, as it was written.
///
/// # Errors
/// When there is no key, or none that fits, or the file is not whole.
pub fn decrypt(encrypted: &[u8]) -> Result<String, EncryptedError> {
    let identities = identities()?;
    let content = age::decrypt(&identities, encrypted).map_err(|error| match error {
        AgeError::OtherKey => EncryptedError::OtherKey(identities.iter().map(Identity::recipient).collect()),
        other => EncryptedError::Format(other),
    })?;
    String::from_utf8(content).map_err(|_| EncryptedError::NotUtf8)
}

/// Encrypts the content of a file for `recipients`, or for the first of the server's keys where there are none.
///
/// # Errors
/// When there is nobody to encrypt for, or `text` is no table of texts.
pub fn encrypt(recipients: &[Recipient], text: &str) -> Result<Vec<u8>, EncryptedError> {
    if table(text)?.is_empty() {
        return Err(EncryptedError::Empty);
    }
    let own = match recipients {
        [] => identities()?.first().map(Identity::recipient),
        _ => None,
    };
    let recipients: Vec<Recipient> = recipients.iter().cloned().chain(own).collect();
    age::encrypt(&recipients, text.as_bytes()).map_err(EncryptedError::Encrypt)
}

/// A new key, as the lines of its file, and its public half.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_key() -> Result<(String, Recipient), EncryptedError> {
    let identity = Identity::new().map_err(EncryptedError::Encrypt)?;
    let recipient = identity.recipient();
    let lines = format!("# public key: {recipient}\n{}\n", identity.secret_text());
    Ok((lines, recipient))
}

/// What the secrets in a decrypted file are called.
///
/// # Errors
/// When `text` is no table of texts.
pub fn names(text: &str) -> Result<Vec<String>, EncryptedError> {
    Ok(table(text)?.into_iter().map(|(name, _)| name).collect())
}

/// The file that the key is in, where one is named.
pub fn key_file() -> Option<PathBuf> {
    env::var_os(KEY_FILE_VARIABLE).map(PathBuf::from)
}

/// All keys that the server has. A file may hold several, for the time in which one takes another's place.
fn identities() -> Result<Vec<Identity>, EncryptedError> {
    match (key_file(), env::var(KEY_VARIABLE)) {
        (Some(file), _) => match read::regular(&file, read::FILE_BYTES_MAX) {
            Ok(bytes) => keys(&bytes).map_err(|line| EncryptedError::NotAKey(KeyLine::File(file, line))),
            Err(error) => Err(EncryptedError::KeyFile { file, error }),
        },
        (None, Ok(key)) => keys(key.as_bytes()).map_err(|_| EncryptedError::NotAKey(KeyLine::Variable)),
        (None, Err(env::VarError::NotUnicode(_))) => Err(EncryptedError::NotAKey(KeyLine::Variable)),
        (None, Err(env::VarError::NotPresent)) => Err(EncryptedError::NoKey),
    }
}

/// The keys on the lines of a file, at least one; else the line that is none.
fn keys(lines: &[u8]) -> Result<Vec<Identity>, Option<usize>> {
    let text = str::from_utf8(lines).map_err(|_| None)?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<Identity>, _> = lines
        .map(|(nth, line)| line.parse().map_err(|_| Some(nth + 1)))
        .collect();
    keys.and_then(|keys| if keys.is_empty() { Err(None) } else { Ok(keys) })
}

/// The secrets of a decrypted file.
fn table(text: &str) -> Result<Vec<(String, String)>, EncryptedError> {
    let line = |at: usize| EncryptedError::NotATable(text[..at].matches('\n').count() + 1);
    let table = DeTable::parse(text).map_err(|error| line(error.span().map_or(0, |span| span.start)))?;
    let secrets = table.get_ref().iter().map(|(name, value)| {
        let text = value.get_ref().as_str().ok_or_else(|| line(name.span().start))?;
        Ok((name.get_ref().to_string(), text.to_owned()))
    });
    secrets.collect()
}

fn list(recipients: &[Recipient]) -> String {
    let recipients: Vec<String> = recipients.iter().map(Recipient::to_string).collect();
    recipients.join(" or ")
}

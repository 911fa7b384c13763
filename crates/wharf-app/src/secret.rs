//! Values that stand elsewhere than in a manifest, because whoever reads the manifest is not to know them.

mod age;
pub mod encrypted;

use std::env;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::app::SecretSource;
use crate::read;
use crate::section::{Fault, Written};

/// Where a secret's value stands: in a file, in a variable of the server's own environment, or in an encrypted file. One of the
/// three.
// The mark says what problems with a manifest are not to show, should somebody write the value itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("writeOnly" = true))]
pub struct WrittenSecret {
    /// The file whose content is the value, without the line's end at its end.
    pub file: Option<String>,
    /// The variable of the server's own environment whose value it is.
    pub variable: Option<String>,
    /// The encrypted file that holds it, among others.
    pub encrypted: Option<String>,
    /// What it is called in the encrypted file.
    pub name: Option<String>,
}

/// Why a secret's value cannot be had. Never shows the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read, or holds no text.
    #[error("cannot read {}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The server's environment does not have it as text.
    #[error("the server's environment has no variable {0}, or not as text")]
    Variable(String),
    /// The encrypted file does not give it out.
    #[error("cannot read the secret {name} of {}: {error}", file.display())]
    Encrypted {
        /// The file.
        file: PathBuf,
        /// What the secret is called there.
        name: String,
        /// Why not.
        error: encrypted::EncryptedError,
    },
}

impl WrittenSecret {
    /// Where the value is, as seen from the section that says it.
    ///
    /// # Errors
    /// When its keys name no place, or more than one.
    pub fn source(&self, written: &Written) -> Result<SecretSource, Fault> {
        match (&self.file, &self.variable, &self.encrypted, &self.name) {
            (Some(file), None, None, None) => Ok(SecretSource::File(written.path(file))),
            (None, Some(variable), None, None) => Ok(SecretSource::Variable(variable.clone())),
            (None, None, Some(file), Some(name)) => Ok(SecretSource::Encrypted(written.path(file), name.clone())),
            _ => Err(Fault::new([], "a secret stands in one place")
                .with_help("say either `file`, or `variable`, or `encrypted` with `name`")),
        }
    }
}

impl SecretSource {
    /// The value, as it is now.
    ///
    /// # Errors
    /// When there is none, or it is not UTF-8.
    pub fn read(&self) -> Result<String, SecretError> {
        match self {
            Self::File(file) => text(file).map_err(|error| SecretError::File {
                file: file.clone(),
                error,
            }),
            Self::Variable(variable) => env::var(variable).map_err(|_| SecretError::Variable(variable.clone())),
            Self::Encrypted(file, name) => encrypted::read(file, name).map_err(|error| SecretError::Encrypted {
                file: file.clone(),
                name: name.clone(),
                error,
            }),
        }
    }

    /// The files that it comes from: what changes there may change it.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(file) => vec![file.clone()],
            Self::Encrypted(file, _) => [file.clone()].into_iter().chain(encrypted::key_file()).collect(),
            Self::Variable(_) => Vec::new(),
        }
    }
}

fn text(file: &std::path::Path) -> std::io::Result<String> {
    let bytes = read::regular(file, read::FILE_BYTES_MAX)?;
    // Not the error's own text: it would show where in the value it stopped.
    let mut text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

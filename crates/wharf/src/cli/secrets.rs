//! The words of `wharf secrets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make keys and encrypted files for secrets
///
/// A manifest names a secret of such a file as `{ encrypted = "secrets.age", name = "database" }`. The server's key is in the
/// file that the variable WHARF_SECRETS_KEY_FILE names, or else in WHARF_SECRETS_KEY itself. Files are in the format of age
/// (age-encryption.org), which reads and writes them too.
#[derive(Debug, Args)]
pub struct Secrets {
    #[command(subcommand)]
    pub command: SecretsCommand,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Make a key, in a new file that only its owner can read, and print its public half
    Key {
        /// The file to make
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Encrypt what comes on standard input, lines of `NAME = "value"`
    Encrypt {
        /// A public key, `age1...`, that the file is for; may be given several times. Default: that of the server's key
        #[arg(long = "recipient", short, value_name = "KEY")]
        recipients: Vec<String>,
        /// The file to write
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what the secrets in a file are called
    Names {
        /// The encrypted file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

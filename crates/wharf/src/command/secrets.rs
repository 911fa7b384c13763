//! `wharf secrets`: a key for encrypted secrets, and the files that they are in. Values come in, and never out.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use wharf_server::manifest::encrypted::{self, Recipient};
use wharf_server::manifest::read;

use crate::cli::secrets::{Secrets, SecretsCommand};

/// Does what is asked, and says why not.
pub fn secrets(secrets: &Secrets) -> ExitCode {
    let done = match &secrets.command {
        SecretsCommand::Key { file } => key(file),
        SecretsCommand::Encrypt { recipients, file } => encrypt(recipients, file),
        SecretsCommand::Names { file } => names(file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "wharf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Never over a file that is there: with the old key, all that it opens would be lost.
fn key(file: &Path) -> Result<()> {
    let (lines, recipient) = encrypted::new_key()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(file)
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .with_context(|| format!("cannot make {}", file.display()))?;
    Ok(writeln!(io::stdout(), "{recipient}")?)
}

fn encrypt(recipients: &[String], file: &Path) -> Result<()> {
    let recipients: Vec<Recipient> = recipients.iter().map(|text| recipient(text)).collect::<Result<_>>()?;
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the secrets from standard input")?;
    let content = encrypted::encrypt(&recipients, &text)?;
    // A server may be looking: whole or not at all.
    let next = file.with_added_extension("next");
    fs::write(&next, content)
        .and_then(|()| fs::rename(&next, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn recipient(text: &str) -> Result<Recipient> {
    // What is given may be the secret half by mistake: it is not repeated.
    text.parse().map_err(|_| {
        anyhow!("`--recipient` takes a public key: it begins with age1, and `wharf secrets key` printed it")
    })
}

fn names(file: &Path) -> Result<()> {
    let of_file = || file.display().to_string();
    let content = read::regular(file, read::FILE_BYTES_MAX).with_context(of_file)?;
    let names = encrypted::names(&encrypted::decrypt(&content).with_context(of_file)?).with_context(of_file)?;
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    Ok(io::stdout().write_all(lines.as_bytes())?)
}

//! What outlives the server: the account's key, and certificates with theirs, for this user alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls::crypto::CryptoProvider;
use wharf_app::app::CertificateFiles;
use wharf_app::read;

use crate::tls::certificate::{Certificate, CertificateError, Fault};

/// A folder for what came from one authority. Cheap enough to clone.
#[derive(Clone, Debug)]
pub(in crate::tls) struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// A folder for the authority of this directory in `folder`. Certificates for tests and real ones stay apart.
    pub fn open(folder: &Path, directory: &str) -> Result<Self, CertificateError> {
        let name = directory.trim_start_matches("https://");
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        let folder = folder.join(name);
        make_folder(&folder).map_err(|error| {
            let message = format!("certificates and the account's key cannot be kept there: {error}");
            Fault::Unusable(message).of(&folder)
        })?;
        Ok(Self { folder })
    }

    /// The account, if there is one.
    pub fn account(&self) -> Result<Option<AccountCredentials>, CertificateError> {
        let file = self.account_file();
        match read::regular(&file, read::FILE_BYTES_MAX) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(account) => Ok(Some(account)),
                Err(error) => {
                    Err(Fault::Unusable(format!("is no account: {error}; remove it to open another")).of(&file))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Unreadable(error).of(&file)),
        }
    }

    pub fn keep_account(&self, account: &AccountCredentials) -> Result<(), CertificateError> {
        let file = self.account_file();
        let text = serde_json::to_vec_pretty(account);
        let written = text.map_err(io::Error::from).and_then(|text| write(&file, &text));
        written.map_err(|error| Fault::Unusable(format!("cannot be written: {error}")).of(&file))
    }

    pub fn forget_account(&self) {
        let _ = fs::remove_file(self.account_file());
    }

    /// The certificate that is kept for `name`.
    pub fn certificate(&self, name: &str, provider: &CryptoProvider) -> Result<Certificate, CertificateError> {
        let file = self.certificate_file(name);
        let files = CertificateFiles {
            certificate: file.clone(),
            key: file,
            is_default: false,
        };
        Certificate::read(&files, provider)
    }

    /// Chain and key are one file, so that nobody finds one of them without the other.
    pub fn keep_certificate(&self, name: &str, chain: &str, key: &str) -> Result<(), CertificateError> {
        let file = self.certificate_file(name);
        let text = format!("{}\n{}\n", chain.trim_end(), key.trim_end());
        write(&file, text.as_bytes()).map_err(|error| Fault::Unusable(format!("cannot be written: {error}")).of(&file))
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    fn certificate_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes a file as a whole or not at all, whatever happens meanwhile.
fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(&new)?;
    opened.write_all(content)?;
    opened.sync_all()?;
    fs::rename(&new, file)?;
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

//! Folders of certificates: which pairs of files there are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharf_app::app::CertificateFiles;

/// The pairs in `folder`, in the order of their names: `NAME.crt` or `NAME.pem` with `NAME.key`, and folders with
/// `fullchain.pem` and `privkey.pem`, as certbot lays them out. Names that begin with a dot are passed over.
pub(super) fn pairs(folder: &Path) -> io::Result<Vec<CertificateFiles>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    let mut pairs = Vec::new();
    for path in paths {
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let extension = path.extension().unwrap_or_default();
        let (certificate, key) = match path.is_dir() {
            true => (path.join("fullchain.pem"), path.join("privkey.pem")),
            false if extension == "crt" || extension == "pem" => (path.clone(), path.with_extension("key")),
            false => continue,
        };
        // Folders of other things, and notes on the certificates, are nobody's mistake.
        let is_there = !path.is_dir() || certificate.exists();
        if !is_hidden && is_there {
            pairs.push(CertificateFiles {
                certificate,
                key,
                is_default: false,
            });
        }
    }
    Ok(pairs)
}

/// All files and folders whose change may mean another certificate.
pub(crate) fn watched(folder: &Path) -> Vec<PathBuf> {
    let pairs = pairs(folder).unwrap_or_default();
    let files = pairs.into_iter().flat_map(|pair| [pair.certificate, pair.key]);
    files.chain([folder.to_owned()]).collect()
}

//! A socket at a path.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A listening socket.
pub(crate) struct Socket {
    socket: UnixListener,
    path: PathBuf,
    /// Its file is this server's, and goes with it.
    is_own: bool,
}

impl Socket {
    /// At `path`, open to those whom `mode` permits to write there.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        remove_deserted(path)?;
        let socket = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            is_own: true,
        })
    }

    /// Somebody else's.
    pub fn on(socket: StdListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // One of Linux's abstract names has no path.
        let path = address
            .as_pathname()
            .unwrap_or(Path::new("(without a path)"))
            .to_owned();
        Ok(Self {
            socket: UnixListener::from_std(socket)?,
            path,
            is_own: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A server that was killed leaves its socket's file behind. Nobody listens there any more.
fn remove_deserted(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_deserted = || {
        let answer = StdStream::connect(path);
        answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    match is_socket && is_deserted() {
        true => fs::remove_file(path),
        false => Ok(()),
    }
}

//! What the supervisor of this process has to say and wants to know (systemd's protocols; any other may speak them).

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

/// Everything can be reached.
pub fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Ready]);
}

/// Something is being read anew; [`ready`] follows.
pub fn reloading() {
    #[cfg(target_os = "linux")]
    if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
        tell(&[sd_notify::NotifyState::Reloading, now]);
    }
}

/// No more connections are taken.
pub fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[sd_notify::NotifyState::Stopping]);
}

#[cfg(target_os = "linux")]
fn tell(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!(%error, "cannot notify the supervisor");
    }
}

/// Sockets that listen already, which the supervisor opened.
///
/// # Errors
/// When one of them is none that connections come from.
pub fn sockets() -> io::Result<Vec<TcpListener>> {
    let mut passed_on = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for nth in 0..passed_on.len() {
        sockets.extend(passed_on.take_tcp_listener(nth)?);
    }
    Ok(sockets)
}

/// The folder for what lives as long as this process: the service's, else the user's.
pub fn runtime_folder() -> Option<PathBuf> {
    // Of several folders, which stand apart by colons, the first.
    let first = |folders: std::ffi::OsString| std::env::split_paths(&folders).next();
    let service = std::env::var_os("RUNTIME_DIRECTORY").and_then(first);
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut folders = service.into_iter().chain(user);
    folders.find(|folder| folder.is_absolute() && folder.is_dir())
}

/// The folder for what outlives this process: the service's, else one of the user's.
pub fn state_folder() -> Option<PathBuf> {
    let first = |folders: std::ffi::OsString| std::env::split_paths(&folders).next();
    let service = std::env::var_os("STATE_DIRECTORY").and_then(first);
    let user = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let users = user.into_iter().chain(home).map(|folder| folder.join("wharf"));
    let mut folders = service.into_iter().chain(users);
    folders.find(|folder| folder.is_absolute())
}

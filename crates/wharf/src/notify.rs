//! What the supervisor of this process has to say and wants to know (systemd's protocols; any other may speak them).

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use wharf_server::ListenOn;

/// Everything can be reached; `status` is for those who look at the service.
pub fn ready(status: &str) {
    #[cfg(target_os = "linux")]
    tell(&[
        sd_notify::NotifyState::Ready,
        // A line of the protocol ends with the line.
        sd_notify::NotifyState::Status(&status.replace(['\n', '\r'], " ")),
    ]);
    #[cfg(not(target_os = "linux"))]
    let _ = status;
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

/// Sockets that listen already, which the supervisor opened, with their names (`LISTEN_FDNAMES`, sd_listen_fds(3)).
///
/// # Errors
/// When one of them is none that connections come from.
pub fn sockets() -> anyhow::Result<Vec<(String, ListenOn)>> {
    // They are meant for this process if the numbers are, which is looked at with those.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut passed_on = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for nth in 0..passed_on.len() {
        let name = names.next().unwrap_or_default();
        let socket = take(&mut passed_on, nth).with_context(|| {
            format!(
                "the socket number {} that was handed over, {name:?}, takes no connections",
                nth + 1
            )
        })?;
        sockets.extend(socket.map(|socket| (name, socket)));
    }
    Ok(sockets)
}

#[cfg(unix)]
fn take(passed_on: &mut listenfd::ListenFd, nth: usize) -> io::Result<Option<ListenOn>> {
    // What is none of the one kind is left where it is.
    if let Ok(socket) = passed_on.take_unix_listener(nth) {
        return Ok(socket.map(ListenOn::UnixSocket));
    }
    Ok(passed_on.take_tcp_listener(nth)?.map(ListenOn::TcpSocket))
}

#[cfg(not(unix))]
fn take(passed_on: &mut listenfd::ListenFd, nth: usize) -> io::Result<Option<ListenOn>> {
    Ok(passed_on.take_tcp_listener(nth)?.map(ListenOn::TcpSocket))
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

//! Notices that a client has left while parts of its request are still unread.
//!
//! Reading would tell, but whoever does not want more of a body does not read; and the end of the stream stands behind
//! what is unread. Linux tells it beside the data (`EPOLLRDHUP`). Elsewhere the next write tells.

use super::stream::Socket;

/// Ready once the client has closed its side, whatever is still unread.
#[cfg(target_os = "linux")]
pub(super) async fn wait(socket: &Socket) {
    // Tokio reports a closed read side to whoever waits for priority data, and only there apart from readable data.
    match socket.ready(tokio::io::Interest::PRIORITY).await {
        Ok(ready) if ready.is_read_closed() => {}
        // Urgent data has no meaning in HTTP; waiting for more of it would spin.
        Ok(_) | Err(_) => std::future::pending().await,
    }
}

/// Never ready.
#[cfg(not(target_os = "linux"))]
pub(super) async fn wait(_: &Socket) {
    std::future::pending().await
}

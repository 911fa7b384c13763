//! What connections and requests may use of the server, before any guest is asked.
//!
//! What an instance may use is in `wharf-host`'s own limits. Every limit that is reached is counted under its name
//! ([`Limit::name`]), which is also its key in the manifest.

use std::time::Duration;

use wharf_app::origin::Origins;

/// The bounds of all connections of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections that are open at a time. For one more, a hundredth part of them makes room, of those that have been without a
    /// request for the longest time; where all have requests, it is answered with 503 and closed. A connection that waits costs about 10 KiB.
    pub connections_max: usize,
    /// The same for one address. Half of all: no client alone keeps others out, and a proxy in front has enough.
    pub connections_per_client_max: usize,
    /// Requests that one connection carries before it is closed, so that clients spread anew over servers and cores.
    pub requests_per_connection_max: u64,
    /// Requests under way at a time, of all apps. One more is answered with 503 at once.
    pub requests_max: usize,
    /// Bytes of a request's head: past it 431. At least 8 KiB.
    pub head_bytes_max: usize,
    /// Fields of a request's head: past it 431. Browsers send twenty, proxies add ten.
    pub head_fields_max: usize,
    /// From a connection's beginning until its first request can come, where something stands before it: TLS, a PROXY header.
    /// Past it the connection is closed. Some packets there and back; the slowest links take seconds for each.
    pub handshake_timeout: Duration,
    /// From the first byte of a request's head to its last: past it 408. A head is a packet or two; the slowest honest client
    /// sends it within seconds.
    pub head_timeout: Duration,
    /// How long a connection may be without a request. Longer than the minute that proxies and browsers keep theirs, so that
    /// they are the ones to close it.
    pub idle_timeout: Duration,
    /// Bytes per second that a client takes at least while a response waits for it, on the average of `write_timeout`. Past
    /// it the connection is closed. The slowest links in use carry ten times as much.
    pub write_rate_min: u64,
    /// See `write_rate_min`.
    pub write_timeout: Duration,
    /// Streams that are open in one HTTP/2 connection; the client is told, and one more is refused. Browsers open a hundred.
    pub streams_max: u32,
    /// Requests that the client of an HTTP/2 connection takes back within half a minute: past it the connection is closed.
    /// Leaving a page with hundreds of pictures is far below.
    pub resets_max: u32,
    /// Frames of an HTTP/2 connection within half a minute that carry nothing (PING, SETTINGS, WINDOW_UPDATE and such), beyond
    /// ten for each request, and one for each piece and each 256 bytes of a response: past it the connection is closed. Each costs about as
    /// much as a small packet; no honest client comes near.
    pub control_frames_max: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_client_max: 10_000,
            requests_per_connection_max: 100_000,
            requests_max: 20_000,
            head_bytes_max: 128 << 10,
            head_fields_max: 100,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_rate_min: 256,
            write_timeout: Duration::from_secs(30),
            streams_max: 200,
            resets_max: 1000,
            control_frames_max: 10_000,
        }
    }
}

/// The bounds of an app's WebSockets, and who may open them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    /// WebSockets that are open at a time. One more is answered with 503. Each takes an instance, or a place among the requests
    /// of a shared one: this only keeps it from taking all of those.
    pub sockets_max: usize,
    /// Bytes of one message from a client, all its fragments together: past it 1009. Messages are held in full, and few are
    /// larger.
    pub message_bytes_max: usize,
    /// Frames a second that a client sends on the average of ten seconds: past it 1008. No person and no game makes so many;
    /// whoever streams more sends larger ones.
    pub messages_per_second_max: u32,
    /// How long there may be no message either way: past it 1001. A page that was forgotten gives its instance back.
    pub idle_timeout: Duration,
    /// After how long a silent client is asked whether it is there. Shorter than the minute after which proxies and routers
    /// forget a connection.
    pub ping_interval: Duration,
    /// How long it may take to answer: past it the connection is over.
    pub pong_timeout: Duration,
    /// How long a client may take to close a connection that the guest has closed.
    pub close_timeout: Duration,
    /// How long a guest may go on sending once the server stops or its app was replaced, before the connection is closed with 1012.
    pub restart_timeout: Duration,
    /// Pages of which other hosts may open WebSockets.
    pub origins: Origins,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            sockets_max: 10_000,
            message_bytes_max: 1 << 20,
            messages_per_second_max: 1000,
            idle_timeout: Duration::from_secs(3600),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            restart_timeout: Duration::from_secs(5),
            origins: Origins::default(),
        }
    }
}

/// The bounds of an app's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of a request's body: past it 413. Bodies are never held in full, so this bounds time and traffic, not memory.
    pub body_bytes_max: u64,
    /// Bytes per second of a request's body that arrive at least while the guest waits for them, once it has waited for ten
    /// seconds in all. Past it 408. 0 allows any.
    pub body_rate_min: u64,
    /// How long a guest waits for the next piece of a request's body: past it 408.
    pub body_idle_timeout: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 30,
            body_rate_min: 256,
            body_idle_timeout: Duration::from_secs(30),
        }
    }
}

/// A limit that can be reached, in the order of [`Limit::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerClient,
    RequestsPerConnection,
    Requests,
    Instances,
    HeadBytes,
    HeadFields,
    HandshakeTime,
    HeadTimeout,
    IdleTimeout,
    WriteRate,
    Streams,
    Resets,
    ControlFrames,
    Address,
    Body,
    BodyRate,
    BodyIdleTime,
    /// Its requests at a time, or its instances, whichever are fewer.
    RequestsOfApp,
    Queue,
    QueueTime,
    ResponseTime,
    CpuTime,
    Memory,
    Descriptors,
    BackgroundTime,
    HttpClientConnections,
    HttpClientConnectionsPerOrigin,
    HttpClientWaiting,
    Load,
    SlowClients,
    Websockets,
    WebsocketMessage,
    WebsocketRate,
    WebsocketIdleTime,
    WebsocketPongTime,
    WebsocketCloseTime,
    WebsocketOrigins,
    OpenedWebsocketMessage,
    OpenedWebsocketIdleTime,
    OpenedWebsocketPongTime,
    OpenedWebsocketCloseTime,
}

impl Limit {
    pub const ALL: [Self; 42] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::RequestsPerConnection,
        Self::Requests,
        Self::Instances,
        Self::HeadBytes,
        Self::HeadFields,
        Self::HandshakeTime,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::WriteRate,
        Self::Streams,
        Self::Resets,
        Self::ControlFrames,
        Self::Address,
        Self::Body,
        Self::BodyRate,
        Self::BodyIdleTime,
        Self::RequestsOfApp,
        Self::Queue,
        Self::QueueTime,
        Self::ResponseTime,
        Self::CpuTime,
        Self::Memory,
        Self::Descriptors,
        Self::BackgroundTime,
        Self::HttpClientConnections,
        Self::HttpClientConnectionsPerOrigin,
        Self::HttpClientWaiting,
        Self::Load,
        Self::SlowClients,
        Self::Websockets,
        Self::WebsocketMessage,
        Self::WebsocketRate,
        Self::WebsocketIdleTime,
        Self::WebsocketPongTime,
        Self::WebsocketCloseTime,
        Self::WebsocketOrigins,
        Self::OpenedWebsocketMessage,
        Self::OpenedWebsocketIdleTime,
        Self::OpenedWebsocketPongTime,
        Self::OpenedWebsocketCloseTime,
    ];

    /// Whether it is an app's own. The others bound connections, or all apps together.
    pub fn is_of_app(self) -> bool {
        match self {
            Self::Connections
            | Self::ConnectionsPerClient
            | Self::RequestsPerConnection
            | Self::Requests
            | Self::Instances
            | Self::HeadBytes
            | Self::HeadFields
            | Self::HandshakeTime
            | Self::HeadTimeout
            | Self::IdleTimeout
            | Self::WriteRate
            | Self::Streams
            | Self::Resets
            | Self::ControlFrames
            | Self::Address
            | Self::SlowClients => false,
            Self::Body
            | Self::BodyRate
            | Self::BodyIdleTime
            | Self::RequestsOfApp
            | Self::Queue
            | Self::QueueTime
            | Self::ResponseTime
            | Self::CpuTime
            | Self::Memory
            | Self::Descriptors
            | Self::BackgroundTime
            | Self::HttpClientConnections
            | Self::HttpClientConnectionsPerOrigin
            | Self::HttpClientWaiting
            | Self::Load
            | Self::Websockets
            | Self::WebsocketMessage
            | Self::WebsocketRate
            | Self::WebsocketIdleTime
            | Self::WebsocketPongTime
            | Self::WebsocketCloseTime
            | Self::WebsocketOrigins
            | Self::OpenedWebsocketMessage
            | Self::OpenedWebsocketIdleTime
            | Self::OpenedWebsocketPongTime
            | Self::OpenedWebsocketCloseTime => true,
        }
    }

    /// Its label in the metrics, and its key in the manifest: in `[websocket]`, `[websocket.opened]` and `[http-client]` what
    /// stands behind their names. `load`,
    /// `slow-clients` and `address` have none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerClient => "connections-per-client",
            Self::RequestsPerConnection => "requests-per-connection",
            Self::Requests | Self::RequestsOfApp => "requests",
            Self::Instances => "instances",
            Self::HeadBytes => "header-bytes",
            Self::HeadFields => "header-count",
            Self::HandshakeTime => "handshake-time",
            Self::HeadTimeout => "head-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::WriteRate => "write-rate",
            Self::Streams => "streams",
            Self::Resets => "resets",
            Self::ControlFrames => "control-frames",
            Self::Address => "address",
            Self::Body => "body",
            Self::BodyRate => "body-rate",
            Self::BodyIdleTime => "body-idle-time",
            Self::Queue => "queue",
            Self::QueueTime => "queue-time",
            Self::ResponseTime => "response-time",
            Self::CpuTime => "cpu-time",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::BackgroundTime => "background-time",
            Self::HttpClientConnections => "http-client-connections",
            Self::HttpClientConnectionsPerOrigin => "http-client-connections-per-origin",
            Self::HttpClientWaiting => "http-client-waiting-per-origin",
            Self::Load => "load",
            Self::SlowClients => "slow-clients",
            Self::Websockets => "websocket-sockets",
            Self::WebsocketMessage => "websocket-message",
            Self::WebsocketRate => "websocket-rate",
            Self::WebsocketIdleTime => "websocket-idle-time",
            Self::WebsocketPongTime => "websocket-pong-time",
            Self::WebsocketCloseTime => "websocket-close-time",
            Self::WebsocketOrigins => "websocket-origins",
            Self::OpenedWebsocketMessage => "websocket-opened-message",
            Self::OpenedWebsocketIdleTime => "websocket-opened-idle-time",
            Self::OpenedWebsocketPongTime => "websocket-opened-pong-time",
            Self::OpenedWebsocketCloseTime => "websocket-opened-close-time",
        }
    }

    /// The one that services, and capabilities of theirs, count under this name: rather one of the app's than the server's of the
    /// same name, which no service knows.
    pub fn of_service(name: &str) -> Option<Self> {
        let named = || Self::ALL.into_iter().filter(|limit| limit.name() == name);
        named().find(|limit| limit.is_of_app()).or_else(|| named().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_count_their_apps_limits_before_the_servers() {
        for (name, limit) in [
            ("requests", Limit::RequestsOfApp),
            ("instances", Limit::Instances),
            ("cpu-time", Limit::CpuTime),
        ] {
            assert_eq!(Limit::of_service(name), Some(limit));
        }
        assert_eq!(Limit::of_service("none"), None);
    }

    #[test]
    fn all_limits_stand_in_their_order() {
        for (nth, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, nth, "{}", limit.name());
        }
    }
}

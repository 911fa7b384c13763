//! What is measured. A workload is a path that every contestant answers alike, and how it is asked for. Those of what guests reach
//! are in `workloads/data.rs`.

mod data;

pub use data::ROWS;

use crate::place::Place;

/// What is asked of the answers to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How many there are when each client asks again at once.
    Throughput,
    /// How late they are when requests come at a rate that leaves some room.
    Rate,
    /// How long the first one takes, from the start of the program.
    Start,
    /// What it costs to owe ten thousand.
    Parked,
    /// What becomes of requests when there are more than can be answered.
    Overload,
    /// What becomes of requests when their app changes again and again.
    Reloads,
    /// What connections by TLS cost, new ones and those of clients that come again.
    Handshakes,
    /// What it costs to hold ten thousand connections on which nothing happens.
    Idle,
    /// How long it takes from a guest to its client.
    Delivery,
    /// What no client sees, of the engine alone.
    Engine,
    /// What it costs to reach what is outside of the guest.
    Data(Backend),
}

/// What is outside of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A database in a file.
    Sqlite,
    /// A database with a server.
    Postgres,
    /// Stores in the server's memory.
    Memory,
    /// The same in Redis.
    Redis,
    /// Another server of HTTP.
    Origin,
}

/// How a workload's requests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// GET without content.
    Get,
    /// POST with so many bytes.
    Post(usize),
    /// Messages on WebSockets that come back, so many under way on each connection.
    Messages(usize),
    /// A byte on the way to the server or back, in requests that stay open.
    Turns,
    /// Chunks in which the server has written what time it was.
    Times,
    /// A connection for each request.
    Connection(Session),
}

/// What a client of TLS brings from an earlier connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// It does not speak TLS.
    Plain,
    /// Nothing.
    New,
    /// A ticket.
    Resumed,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Http1,
    /// In the clear, with prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// HTTP/1.1 in TLS.
    Tls,
    /// HTTP/2 in TLS.
    TlsHttp2,
}

impl Wire {
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsHttp2)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::TlsHttp2)
    }

    pub fn scheme(self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }
}

/// Which component answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// The smallest service of WASI 0.3.
    Hello,
    /// The smallest of WASI 0.2.
    Hello02,
    /// The one with a path for each workload.
    Bench,
    /// The smallest in Go.
    Go,
    /// The smallest in Python.
    Python,
    /// The one that takes WebSockets.
    Websocket,
    /// The example with a driver of its own beside Wharf's.
    Notes,
    /// The one that looks things up in a cache and a key-value store.
    Store,
}

impl Guest {
    /// Its file's name, without the extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "http-hello",
            Self::Hello02 => "http02-hello",
            Self::Bench => "bench",
            Self::Go => "bench-go",
            Self::Python => "bench-python",
            Self::Websocket => "bench-websocket",
            Self::Notes => "example-own-driver",
            Self::Store => "bench-store",
        }
    }
}

/// One thing that servers do.
#[derive(Debug)]
pub struct Workload {
    pub name: &'static str,
    pub says: &'static str,
    pub kind: Kind,
    pub guest: Guest,
    /// [`ORIGIN`] in it is the address of a server to call.
    pub path: &'static str,
    pub ask: Ask,
    pub wire: Wire,
    /// Connections, each with one request at a time, but for:
    pub connections: usize,
    /// Requests at a time on each, where the protocol allows several.
    pub streams: usize,
    /// Bytes of content a request moves, both ways together; what counts where they are many.
    pub bytes: u64,
    /// What a request consists of, where that is what counts: how many, and what one is called.
    pub parts: (u64, &'static str),
    /// Where it is measured; a quick run takes the first.
    pub places: &'static [Place],
    /// Part of a quick run.
    pub quick: bool,
}

impl Workload {
    /// Whether answering takes calls to another server.
    pub fn calls(&self) -> bool {
        self.path.contains(ORIGIN)
    }
}

/// Workloads that are asked for by one name.
pub const GROUPS: &[(&str, &[&str])] = &[("wire", WIRE), ("data", data::NAMES), ("training", TRAINING)];

const WIRE: &[&str] = &[
    "http2",
    "http2-streams",
    "tls",
    "tls-http2",
    "tls-http2-streams",
    "handshakes",
    "websocket",
    "websocket-many",
    "idle-websockets",
    "idle-streams",
    "delivery",
    "turns",
];

/// From these the compiler learns what counts (`cargo xtask dist`): what servers do day by day, by all ways that lead to them.
const TRAINING: &[&str] = &[
    "hello",
    "hello02",
    "timer",
    "chunks",
    "echo",
    "download",
    "upload",
    "calls",
    "http2",
    "http2-streams",
    "tls",
    "tls-http2",
    "handshakes",
    "websocket-many",
    "sqlite-point",
    "sqlite-stream",
    "postgres-point",
    "postgres-stream",
    "cache-many",
    "cache-redis-many",
    "keyvalue-many",
];

/// Stands for the address of a server to call.
pub const ORIGIN: &str = "ORIGIN";

const MIB: usize = 1 << 20;

const SMALL: Workload = Workload {
    name: "",
    says: "",
    kind: Kind::Throughput,
    guest: Guest::Bench,
    path: "/",
    ask: Ask::Get,
    wire: Wire::Http1,
    connections: 64,
    streams: 1,
    bytes: 0,
    parts: (1, "request"),
    places: &[Place::OneCore],
    quick: false,
};

const HELLO: Workload = Workload {
    guest: Guest::Hello,
    ..SMALL
};

/// All workloads.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    SERVING.iter().chain(data::WORKLOADS)
}

/// What servers do by themselves.
const SERVING: &[Workload] = &[
    Workload {
        name: "hello",
        says: "12 bytes",
        guest: Guest::Hello,
        places: &[Place::OneCore, Place::TwoCores, Place::Unpinned],
        quick: true,
        ..SMALL
    },
    Workload {
        name: "hello02",
        says: "12 bytes from a component of WASI 0.2",
        guest: Guest::Hello02,
        ..SMALL
    },
    Workload {
        name: "hello-go",
        says: "12 bytes from a component in Go",
        guest: Guest::Go,
        ..SMALL
    },
    Workload {
        name: "hello-python",
        says: "12 bytes from a component in Python",
        guest: Guest::Python,
        ..SMALL
    },
    Workload {
        name: "timer",
        says: "12 bytes after 5 ms, 256 connections",
        path: "/timer/5",
        connections: 256,
        quick: true,
        ..SMALL
    },
    Workload {
        name: "cpu",
        says: "about 1 ms of arithmetic",
        path: "/cpu/400000",
        ..SMALL
    },
    Workload {
        name: "chunks",
        says: "100 chunks of 8 bytes",
        path: "/chunks/100",
        ..SMALL
    },
    Workload {
        name: "echo",
        says: "1 KiB there and back",
        path: "/echo",
        ask: Ask::Post(1024),
        ..SMALL
    },
    Workload {
        name: "download",
        says: "64 MiB to each of 8 clients",
        path: "/download/67108864",
        connections: 8,
        bytes: 64 * MIB as u64,
        quick: true,
        ..SMALL
    },
    Workload {
        name: "upload",
        says: "64 MiB from each of 8 clients",
        path: "/upload",
        ask: Ask::Post(64 * MIB),
        connections: 8,
        bytes: 64 * MIB as u64,
        ..SMALL
    },
    Workload {
        name: "echo-large",
        says: "64 MiB there and back for each of 8 clients",
        path: "/echo",
        ask: Ask::Post(64 * MIB),
        connections: 8,
        bytes: 128 * MIB as u64,
        ..SMALL
    },
    Workload {
        name: "calls",
        says: "three calls at once to a server on the other core",
        path: "/calls/ORIGIN",
        ..SMALL
    },
    Workload {
        name: "rate",
        says: "12 bytes, asked for at a part of the server's own peak",
        kind: Kind::Rate,
        guest: Guest::Hello,
        places: &[Place::OneCore, Place::TwoCores],
        ..SMALL
    },
    Workload {
        name: "start",
        says: "from the start of the program to its first answer",
        kind: Kind::Start,
        guest: Guest::Hello,
        places: &[Place::Unpinned],
        quick: true,
        ..SMALL
    },
    Workload {
        name: "parked",
        says: "requests that wait, each on a connection of its own",
        kind: Kind::Parked,
        path: "/timer/MS",
        places: &[Place::Unpinned],
        ..SMALL
    },
    Workload {
        name: "overload",
        says: "once, twice and three times as many requests as can be answered",
        kind: Kind::Overload,
        places: &[Place::TwoCores],
        ..SMALL
    },
    Workload {
        name: "reloads",
        says: "200 changes of an app while clients ask",
        kind: Kind::Reloads,
        places: &[Place::Unpinned],
        ..HELLO
    },
    Workload {
        name: "http2",
        says: "12 bytes by HTTP/2, a request at a time on each connection",
        wire: Wire::Http2,
        ..HELLO
    },
    Workload {
        name: "http2-streams",
        says: "12 bytes by HTTP/2, 100 requests at a time on one connection",
        wire: Wire::Http2,
        connections: 1,
        streams: 100,
        ..HELLO
    },
    Workload {
        name: "tls",
        says: "12 bytes by HTTP/1.1 in TLS",
        wire: Wire::Tls,
        ..HELLO
    },
    Workload {
        name: "tls-http2",
        says: "12 bytes by HTTP/2 in TLS, a request at a time on each connection",
        wire: Wire::TlsHttp2,
        ..HELLO
    },
    Workload {
        name: "tls-http2-streams",
        says: "12 bytes by HTTP/2 in TLS, 100 requests at a time on one connection",
        wire: Wire::TlsHttp2,
        connections: 1,
        streams: 100,
        ..HELLO
    },
    Workload {
        name: "handshakes",
        says: "connections for one request each, 16 at a time, with TLS and without",
        kind: Kind::Handshakes,
        connections: 16,
        ..HELLO
    },
    Workload {
        name: "websocket",
        says: "messages of 64 bytes and back, one under way on each of 64 connections",
        guest: Guest::Websocket,
        path: "/websocket",
        ask: Ask::Messages(1),
        ..SMALL
    },
    Workload {
        name: "websocket-many",
        says: "messages of 64 bytes and back, 16 under way on each of 64 connections",
        guest: Guest::Websocket,
        path: "/websocket",
        ask: Ask::Messages(16),
        ..SMALL
    },
    Workload {
        name: "idle-websockets",
        says: "WebSockets on which nothing happens",
        kind: Kind::Idle,
        guest: Guest::Websocket,
        path: "/websocket",
        places: &[Place::Unpinned],
        ..SMALL
    },
    Workload {
        name: "idle-streams",
        says: "event streams on which nothing happens after the first event",
        kind: Kind::Idle,
        path: "/events",
        places: &[Place::Unpinned],
        ..SMALL
    },
    Workload {
        name: "delivery",
        says: "from a guest's write of 8 bytes to the client's read, one client",
        kind: Kind::Delivery,
        path: "/times",
        ask: Ask::Times,
        connections: 1,
        places: &[Place::TwoCores, Place::OneCore],
        ..SMALL
    },
    Workload {
        name: "turns",
        says: "a byte to the guest and back, again and again in one request, one client",
        path: "/echo",
        ask: Ask::Turns,
        connections: 1,
        places: &[Place::TwoCores, Place::OneCore],
        ..SMALL
    },
    Workload {
        name: "engine",
        says: "calls within a component and between them, apps never touched before, crowds",
        kind: Kind::Engine,
        places: &[Place::Unpinned],
        quick: true,
        ..SMALL
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_thing() {
        let workloads = all().map(|workload| workload.name);
        let mut names: Vec<_> = workloads.chain(GROUPS.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn groups_are_of_workloads() {
        for name in GROUPS.iter().flat_map(|(_, names)| *names) {
            assert!(all().any(|workload| workload.name == *name), "{name}");
        }
        assert!(
            data::WORKLOADS
                .iter()
                .map(|workload| workload.name)
                .eq(data::NAMES.iter().copied())
        );
    }
}

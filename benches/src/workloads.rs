//! What is measured. A workload is a path that every contestant answers alike, and how it is asked for.

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
    /// What no client sees, of the engine alone.
    Engine,
}

/// How a workload's requests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// GET without content.
    Get,
    /// POST with so many bytes.
    Post(usize),
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
}

impl Guest {
    pub const ALL: [Self; 5] = [Self::Hello, Self::Hello02, Self::Bench, Self::Go, Self::Python];

    /// Its file's name, without the extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "http-hello",
            Self::Hello02 => "http02-hello",
            Self::Bench => "bench",
            Self::Go => "bench-go",
            Self::Python => "bench-python",
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
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Bytes of content a request moves, both ways together; what counts where they are many.
    pub bytes: u64,
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
    connections: 64,
    bytes: 0,
    places: &[Place::OneCore],
    quick: false,
};

/// All workloads.
pub const ALL: &[Workload] = &[
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
        quick: true,
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
        quick: true,
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
        name: "engine",
        says: "calls between components, apps never touched before, crowds",
        kind: Kind::Engine,
        places: &[Place::Unpinned],
        quick: true,
        ..SMALL
    },
];

//! What is measured. A workload is a path that every contestant answers alike, and how it is asked for.

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
}

impl Guest {
    /// Its file's name, without the extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "http-hello",
            Self::Hello02 => "http02-hello",
            Self::Bench => "bench",
        }
    }
}

/// One thing that servers do.
#[derive(Debug)]
pub struct Workload {
    pub name: &'static str,
    pub says: &'static str,
    pub guest: Guest,
    pub path: &'static str,
    pub ask: Ask,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Bytes of content a request moves, both ways together; what counts where they are many.
    pub bytes: u64,
    /// Measured also where server and client have cores of their own.
    pub everywhere: bool,
    /// Part of a quick run.
    pub quick: bool,
}

const MIB: usize = 1 << 20;

const SMALL: Workload = Workload {
    name: "",
    says: "",
    guest: Guest::Bench,
    path: "/",
    ask: Ask::Get,
    connections: 64,
    bytes: 0,
    everywhere: false,
    quick: false,
};

/// All workloads.
pub const ALL: &[Workload] = &[
    Workload {
        name: "hello",
        says: "12 bytes",
        guest: Guest::Hello,
        everywhere: true,
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
];

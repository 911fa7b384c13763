//! What guests reach: databases, stores, other servers.

use super::{Ask, Backend, Guest, Kind, SMALL, Workload};

/// The group `data`.
pub const NAMES: &[&str] = &[
    "sqlite-point",
    "sqlite-stream",
    "postgres-point",
    "postgres-stream",
    "cache",
    "cache-many",
    "cache-redis",
    "cache-redis-many",
    "keyvalue",
    "keyvalue-many",
    "outgoing",
];

/// How many there are in the table.
pub const ROWS: u64 = 10_000;

const POINT: Workload = Workload {
    path: "/sql/notes/7",
    guest: Guest::Notes,
    ask: Ask::Get,
    ..SMALL
};

const STREAM: Workload = Workload {
    path: "/sql/notes",
    // Enough to leave nothing unused. With more of them, on a machine that has other work, Wharf refuses some: there is more to do
    // than can be done.
    connections: 4,
    parts: (ROWS, "row"),
    ..POINT
};

const STORE: Workload = Workload {
    kind: Kind::Data(Backend::Memory),
    guest: Guest::Store,
    ..SMALL
};

pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "sqlite-point",
        says: "a row of 10,000 in SQLite by its key",
        kind: Kind::Data(Backend::Sqlite),
        ..POINT
    },
    Workload {
        name: "sqlite-stream",
        says: "10,000 rows of SQLite to each of 4 clients",
        kind: Kind::Data(Backend::Sqlite),
        ..STREAM
    },
    Workload {
        name: "postgres-point",
        says: "a row of 10,000 in PostgreSQL by its key",
        kind: Kind::Data(Backend::Postgres),
        ..POINT
    },
    Workload {
        name: "postgres-stream",
        says: "10,000 rows of PostgreSQL to each of 4 clients",
        kind: Kind::Data(Backend::Postgres),
        ..STREAM
    },
    Workload {
        name: "cache",
        says: "64 bytes from a cache in memory",
        path: "/cache/1",
        ..STORE
    },
    Workload {
        name: "cache-many",
        says: "64 bytes from a cache in memory, 100 times one after the other",
        path: "/cache/100",
        connections: 8,
        parts: (100, "hit"),
        ..STORE
    },
    Workload {
        name: "cache-redis",
        says: "64 bytes from a cache in Redis",
        kind: Kind::Data(Backend::Redis),
        path: "/cache/1",
        ..STORE
    },
    Workload {
        name: "cache-redis-many",
        says: "64 bytes from a cache in Redis, 100 times one after the other",
        kind: Kind::Data(Backend::Redis),
        path: "/cache/100",
        connections: 8,
        parts: (100, "hit"),
        ..STORE
    },
    Workload {
        name: "keyvalue",
        says: "64 bytes from a key-value store in memory",
        path: "/keyvalue/1",
        ..STORE
    },
    Workload {
        name: "keyvalue-many",
        says: "64 bytes from a key-value store in memory, 100 times one after the other",
        path: "/keyvalue/100",
        connections: 8,
        parts: (100, "get"),
        ..STORE
    },
    Workload {
        name: "outgoing",
        says: "100 calls to a server on the other core, 8 at a time, for each of 8 clients",
        kind: Kind::Data(Backend::Origin),
        path: "/fetch/ORIGIN/100/8",
        connections: 8,
        parts: (100, "call"),
        ..SMALL
    },
];

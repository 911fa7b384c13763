//! WASI beside HTTP: filesystem, sockets, clocks, random.

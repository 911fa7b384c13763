//! Reads the monotonic clock and waits on it.

guests_wasi::command!(guests_wasi::clocks::monotonic);

//! Reads the monotonic clock and waits on it; on WASI 0.3.0.

guests_v0_3_0::command!(guests_v0_3_0::clocks::monotonic);

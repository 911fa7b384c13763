//! Reads the system clock.

guests_wasi::command!(guests_wasi::clocks::system);

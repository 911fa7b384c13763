//! Waits for many timers at once.

guests_wasi::command!(guests_wasi::clocks::timers);

//! Asks the unstable timezone interface.

guests_wasi::command!(guests_wasi::timezone::offsets);

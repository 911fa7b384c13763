//! Counts on one output while nobody reads the other.

guests_wasi::command!(guests_wasi::cli::stalled_output);

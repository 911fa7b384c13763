//! Counts on one output while nobody reads the other; on WASI 0.3.0.

guests_v0_3_0::command!(guests_v0_3_0::cli::stalled_output);

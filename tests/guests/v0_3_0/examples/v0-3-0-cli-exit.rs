//! Ends in each way a command can end; on WASI 0.3.0.

guests_v0_3_0::command!(guests_v0_3_0::cli::exit);

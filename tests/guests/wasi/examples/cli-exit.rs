//! Ends in each way a command can end.

guests_wasi::command!(guests_wasi::cli::exit);

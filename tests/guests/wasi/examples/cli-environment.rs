//! Prints its arguments, its environment and its initial directory.

guests_wasi::command!(guests_wasi::cli::environment);

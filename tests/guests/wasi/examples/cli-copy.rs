//! Copies standard input to standard output.

guests_wasi::command!(guests_wasi::cli::copy);

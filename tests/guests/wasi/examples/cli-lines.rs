//! Answers line by line.

guests_wasi::command!(guests_wasi::cli::lines);

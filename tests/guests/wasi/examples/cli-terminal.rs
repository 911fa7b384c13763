//! Says which standard streams are terminals.

guests_wasi::command!(guests_wasi::cli::terminal);

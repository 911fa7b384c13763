//! Opens a named pipe while a timer runs.

guests_wasi::command!(guests_wasi::filesystem::overlap);

//! Opens a named pipe while a timer runs; on WASI 0.3.0.

guests_v0_3_0::command!(guests_v0_3_0::filesystem::overlap);

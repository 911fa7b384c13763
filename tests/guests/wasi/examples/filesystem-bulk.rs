//! Writes and reads a big file.

guests_wasi::command!(guests_wasi::filesystem::bulk);

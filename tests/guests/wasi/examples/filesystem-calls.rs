//! Makes the filesystem calls its arguments name.

guests_wasi::command!(guests_wasi::filesystem_calls::calls);

//! Makes the socket calls its arguments name; on WASI 0.3.0.

guests_v0_3_0::command!(guests_v0_3_0::sockets_calls::calls);

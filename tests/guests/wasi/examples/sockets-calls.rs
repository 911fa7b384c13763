//! Makes the socket calls its arguments name.

guests_wasi::command!(guests_wasi::sockets_calls::calls);

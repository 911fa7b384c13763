//! A TCP server that sends everything back.

guests_wasi::command!(guests_wasi::sockets::echo);

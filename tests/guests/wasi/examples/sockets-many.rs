//! Many TCP connections within one guest.

guests_wasi::command!(guests_wasi::sockets::many);

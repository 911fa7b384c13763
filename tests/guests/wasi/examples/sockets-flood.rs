//! Sends to a peer that may not read.

guests_wasi::command!(guests_wasi::sockets::flood);

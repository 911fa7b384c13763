//! Joins its standard streams to a TCP connection.

guests_wasi::command!(guests_wasi::sockets::pipe);

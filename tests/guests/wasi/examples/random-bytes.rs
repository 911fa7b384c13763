//! Shows random bytes and numbers.

guests_wasi::command!(guests_wasi::random::bytes);

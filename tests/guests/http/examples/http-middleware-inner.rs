//! The middleware called `inner`: see `middleware/forward.rs`.

#[path = "middleware/forward.rs"]
mod forward;

const NAME: &str = "inner";

//! The middleware called `outer`: see `middleware/forward.rs`.

#[path = "middleware/forward.rs"]
mod forward;

const NAME: &str = "outer";

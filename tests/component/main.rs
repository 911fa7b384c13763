//! The component model as this engine is configured.

mod compose;
mod engine;
mod host;
mod matrix;
mod payloads;
mod wast;

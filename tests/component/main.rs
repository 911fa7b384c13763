//! The component model as this engine is configured.

mod compose;
mod ends;
mod engine;
mod flow;
mod host;
mod matrix;
mod payloads;
mod wast;

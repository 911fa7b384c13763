//! The component model as this engine is configured.

mod engine;
mod payloads;
mod wast;

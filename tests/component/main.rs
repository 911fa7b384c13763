//! The component model as this engine is configured.

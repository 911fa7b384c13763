//! What the guests of this folder share: nothing. A command is a plain Rust program.

//! What guests may reach beyond their sandbox: one module per capability, one pattern language for all of them.

pub mod allow;

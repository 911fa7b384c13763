//! What a store holds for one instance.

/// The state of one instance, inside its store.
pub struct InstanceState {}

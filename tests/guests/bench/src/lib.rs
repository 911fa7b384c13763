//! The guests of the benchmarks are in `examples`.

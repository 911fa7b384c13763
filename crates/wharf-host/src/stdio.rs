//! The standard streams that guests are given, and the traits of Wasmtime's that make one.
//!
//! Where the bytes go is the embedder's business; this crate neither reads nor writes any stream of the process.

use std::fmt;
use std::sync::Arc;

pub use wasmtime_wasi::async_trait;
pub use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
pub use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Makes the standard output or error of each new instance. Cheap to clone.
#[derive(Clone)]
pub struct Output(Arc<dyn Fn() -> Box<dyn StdoutStream + Sync> + Send + Sync>);

impl Output {
    /// Takes everything and keeps nothing.
    pub fn discarded() -> Output {
        Output::per_instance(|| Box::new(tokio::io::empty()))
    }

    /// The same stream for all instances; what they write at the same time is mixed.
    pub fn shared(stream: impl StdoutStream + Sync + 'static) -> Output {
        let stream: Arc<dyn StdoutStream + Sync> = Arc::new(stream);
        Output::per_instance(move || Box::new(stream.clone()))
    }

    /// A stream for each instance, made when the instance is.
    pub fn per_instance(open: impl Fn() -> Box<dyn StdoutStream + Sync> + Send + Sync + 'static) -> Output {
        Output(Arc::new(open))
    }

    pub(crate) fn open(&self) -> Box<dyn StdoutStream + Sync> {
        (self.0)()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

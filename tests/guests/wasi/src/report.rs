//! The guest's side of a conversation with a test: lines, each delivered before the guest goes on.

use crate::wasi::cli::{stderr, stdout, types::ErrorCode};
use crate::wit_stream;
use wit_bindgen::{FutureReader, StreamWriter};

/// Lines for the test, on one of the two output streams.
pub struct Report {
    lines: StreamWriter<u8>,
    end: FutureReader<Result<(), ErrorCode>>,
}

impl Report {
    pub fn on_stdout() -> Self {
        let (lines, data) = wit_stream::new();
        Self {
            lines,
            end: stdout::write_via_stream(data),
        }
    }

    pub fn on_stderr() -> Self {
        let (lines, data) = wit_stream::new();
        Self {
            lines,
            end: stderr::write_via_stream(data),
        }
    }

    /// Panics when nobody reads: a test that stops listening must see the guest fail.
    pub async fn line(&mut self, text: impl AsRef<str>) {
        let unsent = self.lines.write_all(format!("{}\n", text.as_ref()).into_bytes()).await;
        assert!(unsent.is_empty(), "nobody reads the report");
    }

    /// Waits until the host has taken everything.
    pub async fn close(self) -> Result<(), ()> {
        drop(self.lines);
        self.end.await.map_err(|_| ())
    }
}

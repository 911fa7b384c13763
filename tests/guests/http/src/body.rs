//! Responses and bodies, on the raw streams and futures.

use wasip3::http::types::{ErrorCode, Fields, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

use crate::CHUNK_BYTES;

/// Fields from pairs that are known to be valid.
pub fn fields(pairs: &[(&str, &str)]) -> Fields {
    let entries: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&entries).expect("the guest's own fields are valid")
}

/// Fields as text: `name: value` lines.
pub fn describe(fields: &Fields) -> String {
    let entries = fields.copy_all().into_iter();
    entries
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(&value)))
        .collect()
}

/// The writing side of a body, a response's or a request's.
pub struct Reply {
    /// Takes the body's bytes.
    pub body: StreamWriter<u8>,
    /// Takes the trailers once the body is closed; dropped, it means none.
    pub trailers: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
    /// Resolves once the message has been sent or could not be.
    pub sent: FutureReader<Result<(), ErrorCode>>,
}

impl Reply {
    /// Writes all of `bytes`; false if nobody reads them any more.
    pub async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.body.write_all(bytes).await.is_empty()
    }

    /// Closes the body and sends trailers, or an error in their place.
    pub async fn finish(self, trailers: Result<Option<Trailers>, ErrorCode>) -> FutureReader<Result<(), ErrorCode>> {
        drop(self.body);
        // Whoever reads the body may leave before the trailers; that is its own affair.
        let _ = self.trailers.write(trailers).await;
        self.sent
    }
}

/// A response with a body still to be written.
pub fn reply(headers: Fields) -> (Response, Reply) {
    let (body, body_reader) = wit_stream::new();
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (response, sent) = Response::new(headers, Some(body_reader), trailers_reader);
    (response, Reply { body, trailers, sent })
}

/// A response without a body.
pub fn empty(headers: Fields) -> Response {
    let (_, trailers) = wit_future::new(|| Ok(None));
    Response::new(headers, None, trailers).0
}

/// A response with `text` as its body.
pub fn text(text: impl Into<String>) -> Response {
    text_with_status(200, text)
}

/// A response with a status and `text` as its body.
pub fn text_with_status(status: u16, text: impl Into<String>) -> Response {
    let bytes = text.into().into_bytes();
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    response
        .set_status_code(status)
        .expect("the guest's own status is valid");
    spawn_local(async move {
        reply.write(bytes).await;
    });
    response
}

/// Reads a body to its end.
pub async fn collect(mut body: StreamReader<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let (result, piece) = body.read(Vec::with_capacity(CHUNK_BYTES)).await;
        bytes.extend_from_slice(&piece);
        if !matches!(result, StreamResult::Complete(_)) {
            return bytes;
        }
    }
}

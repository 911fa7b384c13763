//! What may be said after a body.
//!
//! How trailers are carried is left to the others: whatever body they end, they pass here.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http_body::Frame;

/// Fields that say how a message is framed, where it goes, whether it is to be answered, who asks for it and what its content is:
/// whoever has seen the content has decided that already (RFC 9110 section 6.5.1). Those of the connection are not seen by guests
/// at all.
const TOO_LATE: [HeaderName; 21] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::TE,
    header::HOST,
    header::CACHE_CONTROL,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
];

/// A piece of a body as it is; trailers without what comes too late in them, and not at all where nothing else is in them.
pub(super) fn permitted(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    match frame.into_trailers() {
        Ok(trailers) => in_time(trailers).map(Frame::trailers),
        Err(frame) => Some(frame),
    }
}

fn in_time(mut trailers: HeaderMap) -> Option<HeaderMap> {
    for name in &TOO_LATE {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_comes_too_late_is_left_out() {
        for (names, left) in [
            (&["x-sum", "grpc-status", "etag"][..], 3),
            (&["content-length", "x-sum", "host"], 1),
            (&["content-length", "transfer-encoding"], 0),
        ] {
            let fields = names
                .iter()
                .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
            let trailers = permitted(Frame::trailers(fields.collect()));
            let trailers = trailers.and_then(|frame| frame.into_trailers().ok());
            assert_eq!(trailers.map_or(0, |trailers| trailers.len()), left, "{names:?}");
        }
        assert!(permitted(Frame::data(Bytes::from_static(b"x"))).is_some());
    }
}

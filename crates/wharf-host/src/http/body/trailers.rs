//! What may be said after a body.
//!
//! How trailers are carried is left to the others: whatever body they end, they pass here.

use http::header::{self, HeaderMap, HeaderName};

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

/// Leaves out what comes too late; says whether anything is left.
pub(super) fn permit(trailers: &mut HeaderMap) -> bool {
    for name in &TOO_LATE {
        trailers.remove(name);
    }
    !trailers.is_empty()
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
            let mut trailers: HeaderMap = fields.collect();
            assert_eq!(permit(&mut trailers), left > 0, "{names:?}");
            assert_eq!(trailers.len(), left, "{names:?}");
        }
    }
}

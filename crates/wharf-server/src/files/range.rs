//! Ranges of bytes (RFC 9110 section 14): which of them a request wants, and how several travel in one response.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, RANGE};

/// How many ranges one request may name. Viewers of documents ask for a handful at once; more, or some that overlap, are
/// answered with the whole file, as RFC 9110 section 14.2 asks for: they cost more to send than it.
const RANGES_MAX: usize = 8;

/// One range as it is asked for, before the file's length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// From a byte on, up to and with the last one named.
    From(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

/// What of a file is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    Unsatisfiable,
    One(Range<u64>),
    Several(Vec<Range<u64>>),
}

/// The ranges a request names; `None` where it names none that can be understood: the header is then ignored
/// (RFC 9110 section 14.2).
pub(super) fn read(headers: &HeaderMap) -> Option<Vec<Wanted>> {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (unit, set) = line.to_str().ok()?.split_once('=')?;
    // RFC 9110 section 14.1: other units are others' business.
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    // An element of a list may be empty (RFC 9110 section 5.6.1.2).
    for range in set.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        if ranges.len() == RANGES_MAX {
            return None;
        }
        ranges.push(read_one(range)?);
    }
    (!ranges.is_empty()).then_some(ranges)
}

/// RFC 9110 section 14.1.1.
fn read_one(range: &str) -> Option<Wanted> {
    match range.split_once('-')? {
        ("", last) => Some(Wanted::Last(number(last)?)),
        (first, "") => Some(Wanted::From(number(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wanted::From(first, last))
        }
    }
}

/// Digits, however many: what no file is as long as is as good as the largest number.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// What of a file of `total` bytes answers `wanted`.
pub(super) fn select(wanted: &[Wanted], total: u64) -> Selection {
    // Some clients ask for `bytes=0-` whatever it is. No range of nothing can be named, the whole of it can be sent.
    if total == 0 {
        return Selection::Whole;
    }
    let mut ranges: Vec<_> = wanted.iter().filter_map(|wanted| within(*wanted, total)).collect();
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges.remove(0)),
        _ if overlap(&ranges) => Selection::Whole,
        // In the order asked for (RFC 9110 section 15.3.7.2).
        _ => Selection::Several(ranges),
    }
}

/// The bytes of a range that there are, if any.
fn within(wanted: Wanted, total: u64) -> Option<Range<u64>> {
    let range = match wanted {
        Wanted::From(first, last) => first..last.saturating_add(1).min(total),
        Wanted::Last(count) => total.saturating_sub(count)..total,
    };
    (!range.is_empty()).then_some(range)
}

fn overlap(ranges: &[Range<u64>]) -> bool {
    let mut sorted: Vec<_> = ranges.iter().collect();
    sorted.sort_by_key(|range| range.start);
    sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .any(|(before, after)| before.end > after.start)
}

/// Where a range lies (RFC 9110 section 14.4).
pub(super) fn place(range: &Range<u64>, total: u64) -> String {
    format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1))
}

/// How several ranges are told apart in one response (RFC 9110 section 14.6).
pub(super) struct Parts {
    boundary: String,
    content_type: String,
    total: u64,
}

impl Parts {
    /// For ranges of a file of a type and length.
    pub fn new(content_type: Option<&HeaderValue>, total: u64) -> Self {
        // The boundary must not be in the content: nobody who wrote that can have guessed it.
        let half = || RandomState::new().build_hasher().finish();
        let content_type = content_type.and_then(|kind| kind.to_str().ok());
        Self {
            boundary: format!("{:016x}{:016x}", half(), half()),
            content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
            total,
        }
    }

    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What stands before a range.
    pub fn before(&self, range: &Range<u64>) -> Bytes {
        let (boundary, kind, place) = (&self.boundary, &self.content_type, place(range, self.total));
        format!("\r\n--{boundary}\r\ncontent-type: {kind}\r\ncontent-range: {place}\r\n\r\n").into()
    }

    /// What stands after the last.
    pub fn end(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.boundary).into()
    }
}

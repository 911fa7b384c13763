//! Conditional requests (RFC 9110 section 13): what tells two states of a file apart, and what a request says of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::accept::Coding;

/// How long a file has been left alone before its time of modification tells what it holds: longer than the coarsest clock
/// of a file system ticks (FAT: 2 s). Until then it may be written again without any difference to be seen.
const SETTLED: Duration = Duration::from_secs(2);

/// Times up to 1980-01-02 are no times of modification: archives and package managers that want the same bytes for the same
/// input write 0, 1 or the first day of 1980 into all files. They would call two versions of a file the same.
const TIME_MIN: Duration = Duration::from_secs(315_619_200);

/// An entity tag (RFC 9110 section 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    opaque: String,
}

impl Tag {
    /// RFC 9110 section 8.8.3.2.
    fn is_strongly(&self, other: &Self) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    fn is_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// What tells a state of a file from others.
#[derive(Debug)]
pub(super) struct Validators {
    tag: Option<Tag>,
    /// In whole seconds, as HTTP has it.
    modified: Option<SystemTime>,
}

impl Validators {
    /// For a file of `bytes`, sent as `coding`, at the time `now`.
    ///
    /// The tag is strong where the file cannot have changed since its time was taken (RFC 9110 section 8.8.1). Until then
    /// it is weak, and another one than later, so that nobody who has the first state is told that it is the last. For
    /// the same reason there is no date until then: so the second that a date names is over before anybody hears of it,
    /// which makes dates strong too (section 8.8.2.2). Nor is there one from the future (section 8.8.2.1).
    pub fn new(modified: Option<SystemTime>, bytes: u64, coding: Option<Coding>, now: SystemTime) -> Self {
        let since_epoch = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
        let Some(time) = since_epoch.filter(|time| *time >= TIME_MIN) else {
            return Self {
                tag: None,
                modified: None,
            };
        };
        let is_settled = now.duration_since(UNIX_EPOCH + time).is_ok_and(|age| age >= SETTLED);
        // Distinct per coding, even for variants of one length and time (section 8.8.3.3).
        let coding = coding.map(|coding| format!("-{}", coding.token())).unwrap_or_default();
        let unsettled = if is_settled { "" } else { "-new" };
        let opaque = format!(
            "{:x}.{:x}-{bytes:x}{coding}{unsettled}",
            time.as_secs(),
            time.subsec_nanos()
        );
        Self {
            tag: Some(Tag {
                is_weak: !is_settled,
                opaque,
            }),
            modified: is_settled.then(|| UNIX_EPOCH + Duration::from_secs(time.as_secs())),
        }
    }

    pub fn etag(&self) -> Option<HeaderValue> {
        let tag = self.tag.as_ref()?;
        let weak = if tag.is_weak { "W/" } else { "" };
        HeaderValue::try_from(format!("{weak}\"{}\"", tag.opaque)).ok()
    }

    pub fn last_modified(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(httpdate::fmt_http_date(self.modified?)).ok()
    }
}

/// What a request's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// The conditions of a request.
#[derive(Debug)]
pub(super) struct Preconditions {
    if_match: Option<Tags>,
    if_unmodified_since: Option<SystemTime>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<SystemTime>,
    if_range: Option<IfRange>,
}

#[derive(Debug)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Debug)]
enum IfRange {
    Tag(Tag),
    Date(SystemTime),
    /// Neither, or more than one.
    Malformed,
}

impl Preconditions {
    pub fn read(headers: &HeaderMap) -> Self {
        Self {
            if_match: tags(headers, &header::IF_MATCH),
            if_unmodified_since: date(headers, &header::IF_UNMODIFIED_SINCE),
            if_none_match: tags(headers, &header::IF_NONE_MATCH),
            if_modified_since: date(headers, &header::IF_MODIFIED_SINCE),
            if_range: if_range(headers),
        }
    }

    /// In the order of RFC 9110 section 13.2.2, for a GET or HEAD of a file that is there.
    pub fn judge(&self, current: &Validators) -> Verdict {
        // Section 13.1.1: by the strong comparison.
        if let Some(tags) = &self.if_match {
            if !tags.hold(current, Tag::is_strongly) {
                return Verdict::Failed;
            }
        // Section 13.1.4: ignored beside If-Match, and for a file whose date is not known.
        } else if let (Some(since), Some(modified)) = (self.if_unmodified_since, current.modified)
            && modified > since
        {
            return Verdict::Failed;
        }
        // Section 13.1.2: by the weak comparison.
        if let Some(tags) = &self.if_none_match {
            if tags.hold(current, Tag::is_weakly) {
                return Verdict::NotModified;
            }
        // Section 13.1.3: ignored beside If-None-Match, which is more accurate.
        } else if let (Some(since), Some(modified)) = (self.if_modified_since, current.modified)
            && modified <= since
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether the request's ranges are of the state there is (RFC 9110 section 13.1.5): a tag by the strong comparison, a
    /// date by being the same.
    pub fn ranges_hold(&self, current: &Validators) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => current.tag.as_ref().is_some_and(|current| tag.is_strongly(current)),
            Some(IfRange::Date(date)) => current.modified == Some(*date),
            Some(IfRange::Malformed) => false,
        }
    }
}

impl Tags {
    /// `*` holds for whatever is there.
    fn hold(&self, current: &Validators, is_same: fn(&Tag, &Tag) -> bool) -> bool {
        match (self, &current.tag) {
            (Self::Any, _) => true,
            (Self::These(tags), Some(current)) => tags.iter().any(|tag| is_same(tag, current)),
            (Self::These(_), None) => false,
        }
    }
}

/// All lines of a header as one list. What is malformed is left out: no tag of ours is among it.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    if !headers.contains_key(name) {
        return None;
    }
    let mut tags = Vec::new();
    for line in headers.get_all(name).iter().filter_map(|line| line.to_str().ok()) {
        if line.trim() == "*" {
            return Some(Tags::Any);
        }
        let mut rest = line;
        while let Some((tag, after)) = first_tag(rest) {
            tags.push(tag);
            rest = after;
        }
    }
    Some(Tags::These(tags))
}

/// The tag a list begins with, and what follows it. Tags may hold commas.
fn first_tag(list: &str) -> Option<(Tag, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    let (is_weak, quoted) = match list.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, list),
    };
    let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
    let opaque = opaque.to_owned();
    Some((Tag { is_weak, opaque }, after))
}

/// The header's one date; a list of dates is none (RFC 9110 section 13.1.3).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => httpdate::parse_http_date(line.to_str().ok()?).ok(),
        _ => None,
    }
}

fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    let mut lines = headers.get_all(header::IF_RANGE).iter();
    let line = lines.next()?;
    if lines.next().is_some() {
        return Some(IfRange::Malformed);
    }
    let tag = line.to_str().ok().and_then(first_tag);
    let tag = tag.filter(|(_, after)| after.trim().is_empty());
    let read = match (tag, date(headers, &header::IF_RANGE)) {
        (Some((tag, _)), _) => IfRange::Tag(tag),
        (None, Some(date)) => IfRange::Date(date),
        (None, None) => IfRange::Malformed,
    };
    Some(read)
}

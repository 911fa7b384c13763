//! Which file a request's path means (RFC 3986 section 3.3).
//!
//! Pure: whether there is such a file, and where links lead, is `files/open.rs`'s. A path is refused rather than repaired:
//! a browser has taken out `.` and `..` before it asks, so what still has them was written to find a hole.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands for itself in a path: the unreserved characters (RFC 3986 section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where files begin that are meant to be found though their folder's name begins with a dot (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// What Windows keeps for devices, in every folder and with every extension.
const DEVICES: [&str; 6] = ["aux", "con", "conin$", "conout$", "nul", "prn"];

/// Why a path means no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is answered as if there were no such file.
    Hidden,
    /// It cannot be a file's.
    Malformed(&'static str),
}

/// A file or folder that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The decoded path below the folder, without a slash at either end; empty for the folder itself.
    pub name: String,
    /// The path ends with a slash.
    pub is_folder: bool,
    query: Option<String>,
}

impl Wanted {
    pub fn read(path: &str) -> Result<Self, Refused> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        let below = path
            .strip_prefix('/')
            .ok_or(Refused::Malformed("the path does not begin with a slash"))?;
        let wanted = |name, is_folder| Self { name, is_folder, query };
        if below.is_empty() {
            return Ok(wanted(String::new(), true));
        }
        let (below, is_folder) = match below.strip_suffix('/') {
            Some(below) => (below, true),
            None => (below, false),
        };
        let mut names = Vec::new();
        for segment in below.split('/') {
            let name = decode(segment)?;
            check(&name, names.is_empty())?;
            names.push(name);
        }
        Ok(wanted(names.join("/"), is_folder))
    }

    /// This path with a slash at its end, relative to the folder it lies in.
    pub fn slashed(&self) -> String {
        let last = self.name.rsplit('/').next().unwrap_or_default();
        let query = self.query.as_deref().map(|query| format!("?{query}"));
        format!("{}/{}", utf8_percent_encode(last, ENCODED), query.unwrap_or_default())
    }
}

fn decode(segment: &str) -> Result<Cow<'_, str>, Refused> {
    let mut escapes = segment.split('%').skip(1);
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    if !escapes.all(is_escape) {
        return Err(Refused::Malformed("the path has a % that escapes nothing"));
    }
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refused::Malformed("the path is not UTF-8"))
}

fn check(name: &str, is_first: bool) -> Result<(), Refused> {
    // A backslash separates on Windows, and browsers write it as a slash.
    if name.contains(['/', '\\']) {
        return Err(Refused::Malformed("the path has a separator inside a name"));
    }
    if name.contains(char::is_control) {
        return Err(Refused::Malformed("the path has a control character"));
    }
    match name {
        "." | ".." => return Err(Refused::Malformed("the path leads upwards")),
        // No file has an empty name; taken as one slash, two would give every file many addresses.
        "" => return Err(Refused::Hidden),
        _ => {}
    }
    // `.git`, `.env` and their like were never meant to be seen.
    let is_hidden = name.starts_with('.') && !(is_first && name == WELL_KNOWN);
    if is_hidden || (cfg!(windows) && means_another_file(name)) {
        return Err(Refused::Hidden);
    }
    Ok(())
}

/// Whether Windows takes `name` for another file's: a device, a stream of a file, a short name, or one whose dots and spaces
/// at the end it drops.
pub(super) fn means_another_file(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase();
    let is_port = |stem: &str| {
        let digit = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
        digit.is_some_and(|digit| digit.chars().count() == 1 && digit.contains(|c: char| "0123456789¹²³".contains(c)))
    };
    let is_short = name
        .split_once('~')
        .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    name.contains(['<', '>', ':', '"', '|', '?', '*'])
        || name.ends_with(['.', ' '])
        || DEVICES.contains(&stem.as_str())
        || is_port(&stem)
        || is_short
}

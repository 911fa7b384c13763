//! Which app answers a request: by host, then by path, then by method.
//!
//! Pure data: built once from the routes of all apps, then only read. A reload builds a new table and puts it in the old
//! one's place, so no request sees half of each. What a route may say, and when two overlap, is in [`wharf_app::route`].
//!
//! The most specific host decides first: where any route names `shop.example.com`, only routes that name it answer there,
//! and a path that none of them has is not looked for elsewhere. So whoever has a host has all of it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use http::Method;
use wharf_app::route::{HostPattern, RoutePattern, answered, takes};

/// Finds a `T` for a request.
pub(crate) struct RouteTable<T> {
    exact: HashMap<String, Paths<T>>,
    /// The longest, which is the most specific, first.
    wildcards: Vec<(String, Paths<T>)>,
    any: Option<Paths<T>>,
}

/// The routes of one host, by their prefix.
struct Paths<T> {
    by_prefix: HashMap<String, Vec<Entry<T>>>,
    longest: usize,
}

struct Entry<T> {
    /// `None` takes all.
    methods: Option<BTreeSet<String>>,
    target: T,
}

/// What a table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a, T> {
    /// The route, and how many bytes of the path its prefix takes.
    Route(&'a T, usize),
    /// The host is not one of this server's.
    NoHost,
    /// No route has this path. All routes of the host.
    NoPath(Vec<&'a T>),
    /// No route of the path takes the method. The routes, and the methods that they take.
    NoMethod(Vec<&'a T>, BTreeSet<&'a str>),
}

impl<T> RouteTable<T> {
    /// The routes are known not to overlap.
    pub fn new(routes: impl IntoIterator<Item = (RoutePattern, T)>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            wildcards: Vec::new(),
            any: None,
        };
        for (pattern, target) in routes {
            table.insert(pattern, target);
        }
        table
            .wildcards
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    fn insert(&mut self, pattern: RoutePattern, target: T) {
        let paths = match pattern.host {
            HostPattern::Any => self.any.get_or_insert_default(),
            HostPattern::Exact(host) => self.exact.entry(host).or_default(),
            HostPattern::Wildcard(suffix) => {
                let known = self.wildcards.iter().position(|(known, _)| *known == suffix);
                let at = known.unwrap_or_else(|| {
                    self.wildcards.push((suffix, Paths::default()));
                    self.wildcards.len() - 1
                });
                &mut self.wildcards[at].1
            }
        };
        let methods = pattern.methods;
        paths.longest = paths.longest.max(pattern.path.len());
        paths
            .by_prefix
            .entry(pattern.path)
            .or_default()
            .push(Entry { methods, target });
    }

    /// `host` is without its port, and asked for only where routes differ by it; `path` is as [`normal`] has it.
    pub fn find<'a>(&self, host: impl FnOnce() -> &'a str, path: &str, method: &Method) -> Found<'_, T> {
        match self.paths(host) {
            Some(paths) => paths.find(path, method),
            None => Found::NoHost,
        }
    }

    fn paths<'a>(&self, host: impl FnOnce() -> &'a str) -> Option<&Paths<T>> {
        // A server with one app for every host need not look at it.
        if self.exact.is_empty() && self.wildcards.is_empty() {
            return self.any.as_ref();
        }
        let host = lower_case(host().trim_end_matches('.'));
        let wildcard = || {
            let mut wildcards = self.wildcards.iter();
            let matching = wildcards.find(|(suffix, _)| is_below(&host, suffix));
            matching.map(|(_, paths)| paths)
        };
        self.exact.get(&*host).or_else(wildcard).or(self.any.as_ref())
    }
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self {
            by_prefix: HashMap::new(),
            longest: 0,
        }
    }
}

impl<T> Paths<T> {
    fn find(&self, path: &str, method: &Method) -> Found<'_, T> {
        let found = prefixes(path, self.longest).find_map(|prefix| self.by_prefix.get_key_value(prefix));
        let Some((prefix, entries)) = found else {
            return Found::NoPath(targets(self.by_prefix.values().flatten()));
        };
        let takes_it = |entry: &&Entry<T>| {
            entry
                .methods
                .as_ref()
                .is_none_or(|methods| takes(methods, method.as_str()))
        };
        match entries.iter().find(takes_it) {
            // `/` stands for the empty prefix.
            Some(entry) => Found::Route(&entry.target, prefix.trim_end_matches('/').len()),
            None => Found::NoMethod(
                targets(entries),
                entries
                    .iter()
                    .filter_map(|entry| entry.methods.as_ref())
                    .flat_map(answered)
                    .collect(),
            ),
        }
    }
}

fn targets<'a, T: 'a>(entries: impl IntoIterator<Item = &'a Entry<T>>) -> Vec<&'a T> {
    entries.into_iter().map(|entry| &entry.target).collect()
}

/// The prefixes of a path that end where a segment does, the longest first, from those of `longest` bytes on.
fn prefixes(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let bytes = path.as_bytes();
    let ends = (1..=path.len().min(longest)).rev();
    let ends = ends.filter(move |&end| end == bytes.len() || bytes[end] == b'/');
    // A multi-byte character has no end inside: those bytes are not `/`.
    ends.filter_map(move |end| path.get(..end)).chain(std::iter::once("/"))
}

/// Whether `host` has labels before `suffix`.
fn is_below(host: &str, suffix: &str) -> bool {
    let labels = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
    labels.is_some_and(|labels| !labels.is_empty())
}

fn lower_case(host: &str) -> Cow<'_, str> {
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

/// A path as routes are compared with it: characters that need no encoding are not encoded, the others in capitals, and there
/// are no dot segments
/// (RFC 3986 section 6.2.2). Otherwise `/a/%2e%2e/b` and `/%61dmin` would reach one app under another's name.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    if !bytes.contains(&b'%') && !bytes.windows(2).any(|pair| pair == b"/.") {
        return Cow::Borrowed(path);
    }
    // What is no escape might become one by what is decoded beside it.
    let decoded = decode_unreserved(path).unwrap_or_else(|| path.to_owned());
    Cow::Owned(without_dot_segments(&decoded))
}

/// `None` where a percent sign begins no escape.
fn decode_unreserved(path: &str) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3)?;
        let character = char::from(u8::from_str_radix(&escape[1..], 16).ok()?);
        match is_unreserved(character) {
            true => decoded.push(character),
            false => decoded.push_str(&escape.to_ascii_uppercase()),
        }
        rest = &rest[at + 3..];
    }
    Some(decoded + rest)
}

/// RFC 3986 section 2.3.
fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

/// RFC 3986 section 5.2.4.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // What it names is a folder.
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(host: &str, path: &str, methods: &str) -> RoutePattern {
        let host = match (host, host.strip_prefix("*.")) {
            ("", _) => HostPattern::Any,
            (_, Some(suffix)) => HostPattern::Wildcard(suffix.to_owned()),
            (host, None) => HostPattern::Exact(host.to_owned()),
        };
        let methods = (!methods.is_empty()).then(|| methods.split(' ').map(str::to_owned).collect());
        RoutePattern {
            host,
            path: path.to_owned(),
            methods,
        }
    }

    fn table() -> RouteTable<&'static str> {
        RouteTable::new([
            (pattern("", "/", ""), "any"),
            (pattern("", "/api", ""), "any-api"),
            (pattern("", "/api/v2", "GET POST"), "any-v2"),
            (pattern("", "/api/v2", "DELETE"), "any-v2-delete"),
            (pattern("a.test", "/", ""), "a"),
            (pattern("a.test", "/x", ""), "a-x"),
            (pattern("b.test", "/only", ""), "b-only"),
            (pattern("*.test", "/", ""), "wild"),
            (pattern("*.deep.test", "/", ""), "deep"),
        ])
    }

    #[track_caller]
    fn check(host: &str, path: &str, method: &str, expected: &Found<&'static str>) {
        let (table, method) = (table(), method.parse().unwrap());
        assert_eq!(
            table.find(|| host, &normal(path), &method),
            *expected,
            "{method} {host}{path}"
        );
    }

    #[test]
    fn the_most_specific_host_has_all_of_its_paths() {
        check("other.example", "/", "GET", &Found::Route(&"any", 0));
        check("a.test", "/", "GET", &Found::Route(&"a", 0));
        check("A.Test.", "/", "GET", &Found::Route(&"a", 0));
        check("a.test", "/api", "GET", &Found::Route(&"a", 0));
        check("b.test", "/only/this", "GET", &Found::Route(&"b-only", 5));
        check("b.test", "/", "GET", &Found::NoPath(vec![&"b-only"]));
        check("c.test", "/", "GET", &Found::Route(&"wild", 0));
        check("c.d.test", "/", "GET", &Found::Route(&"wild", 0));
        check("c.deep.test", "/", "GET", &Found::Route(&"deep", 0));
        check("deep.test", "/", "GET", &Found::Route(&"wild", 0));
        check("test", "/", "GET", &Found::Route(&"any", 0));
        check("xtest", "/", "GET", &Found::Route(&"any", 0));
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        check("", "/api", "GET", &Found::Route(&"any-api", 4));
        check("", "/api/", "GET", &Found::Route(&"any-api", 4));
        check("", "/api/v1", "GET", &Found::Route(&"any-api", 4));
        check("", "/api/v2/x/y", "GET", &Found::Route(&"any-v2", 7));
        check("", "/apiary", "GET", &Found::Route(&"any", 0));
        check("", "/api/v22", "GET", &Found::Route(&"any-api", 4));
        check("", "/Api", "GET", &Found::Route(&"any", 0));
        check("", "/ä/api", "GET", &Found::Route(&"any", 0));
    }

    #[test]
    fn methods_come_last() {
        check("", "/api/v2", "HEAD", &Found::Route(&"any-v2", 7));
        check("", "/api/v2", "DELETE", &Found::Route(&"any-v2-delete", 7));
        let methods = ["GET", "HEAD", "POST", "DELETE"].into();
        check(
            "",
            "/api/v2",
            "PUT",
            &Found::NoMethod(vec![&"any-v2", &"any-v2-delete"], methods),
        );
    }

    #[test]
    fn a_table_without_any_host_knows_when_it_is_not_asked() {
        let table = RouteTable::new([(pattern("a.test", "/", ""), ())]);
        assert_eq!(table.find(|| "b.test", "/", &Method::GET), Found::NoHost);
        assert_eq!(
            RouteTable::<()>::new([]).find(|| "b.test", "/", &Method::GET),
            Found::NoHost
        );
    }

    #[test]
    fn other_spellings_of_a_path_are_the_same_path() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            assert_eq!(normal(path), expected);
        }
        check("/a/b", "/a/b");
        check("/%61pi", "/api");
        check("/a%2fb", "/a%2Fb");
        check("/a%2", "/a%2");
        check("/a%", "/a%");
        check("/a%zz%41", "/a%zz%41");
        check("/%%32e", "/%%32e");
        check("/a%+1", "/a%+1");
        check("/%c3%a4", "/%C3%A4");
        check("/a/../b", "/b");
        check("/a/%2e%2E/b", "/b");
        check("/a/./b/.", "/a/b/");
        check("/a/b/..", "/a/");
        check("/../..", "/");
        check("/.well-known/x", "/.well-known/x");
        check("/a/...", "/a/...");
        check("/a//../b", "/a/b");
    }
}

//! What a client says it takes: `Accept-Encoding` and `Accept`, with their weights (RFC 9110 section 12).

use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};

/// How a file's variant is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// Smallest first, as they come out for text; who weighs them alike gets the first there is.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in HTTP.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the variant's name has after the file's.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    fn is_called(self, token: &str) -> bool {
        // RFC 9110 section 8.4.1.3: an old name of the same.
        let is_old_gzip = self == Self::Gzip && token.eq_ignore_ascii_case("x-gzip");
        is_old_gzip || token.eq_ignore_ascii_case(self.token())
    }
}

/// The codings to look for, best first (RFC 9110 section 12.5.3). A file without a coding is sent where none of them
/// is there: also to a client that says it would rather have nothing, which the section leaves to us.
pub(crate) fn codings(headers: &HeaderMap) -> Vec<Coding> {
    let listed: Vec<_> = weights(headers, &ACCEPT_ENCODING).collect();
    let find = |is_it: &dyn Fn(&str) -> bool| listed.iter().find(|(token, _)| is_it(token)).map(|(_, weight)| *weight);
    let others = find(&|token| token == "*").unwrap_or(0);
    let identity = find(&|token| token.eq_ignore_ascii_case("identity")).unwrap_or(0);
    let mut codings: Vec<_> = Coding::ALL
        .into_iter()
        .map(|coding| (coding, find(&|token| coding.is_called(token)).unwrap_or(others)))
        .filter(|(_, weight)| *weight > 0 && *weight >= identity)
        .collect();
    codings.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    codings.into_iter().map(|(coding, _)| coding).collect()
}

/// Whether `Accept` names HTML. `*/*` does not count: scripts, styles and pictures are asked for with it, and a page in their
/// place would only hide that they are missing.
pub(crate) fn names_html(headers: &HeaderMap) -> bool {
    weights(headers, &ACCEPT).any(|(kind, weight)| kind.eq_ignore_ascii_case("text/html") && weight > 0)
}

/// Whether a line of `Accept` names JSON. `*/*` alone is what every tool sends, and is no wish for it.
pub(crate) fn names_json(accept: &HeaderValue) -> bool {
    let json = ["application/problem+json", "application/json", "application/*"];
    weights_of(accept).any(|(kind, weight)| weight > 0 && json.iter().any(|json| kind.eq_ignore_ascii_case(json)))
}

/// The elements of a list with their weights, in thousandths (RFC 9110 section 12.4.2). Those whose weight is none are
/// left out.
fn weights<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, u16)> {
    headers.get_all(name).iter().flat_map(weights_of)
}

/// The same of one line.
fn weights_of(line: &HeaderValue) -> impl Iterator<Item = (&str, u16)> {
    let elements = line.to_str().unwrap_or_default().split(',');
    elements.filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let token = parts.next().filter(|token| !token.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((token, weight.map_or(Some(1000), thousandths)?))
    })
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

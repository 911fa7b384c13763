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

/// What a failure may be told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Problem details (RFC 9457).
    Problem,
    /// The app's own page.
    Page,
    /// A line of text.
    Text,
}

/// The form that weighs most to whoever sent a line of `Accept` (RFC 9110 section 12.5.1), where there may be a page of a media
/// type. Of those that weigh alike, problem details go first, then the page. But `*/*` is what every tool sends, and is no wish
/// for JSON. Who accepts none of them gets one nevertheless, which the section leaves to us.
pub(crate) fn form(accept: Option<&HeaderValue>, page: Option<&str>) -> Form {
    let otherwise = if page.is_some() { Form::Page } else { Form::Text };
    let Some(accept) = accept else { return otherwise };
    let named = |kind| weight_of(accept, kind).filter(|&(precision, _)| precision > ANYTHING);
    let json =
        named("application/problem+json").max(named("application/json").filter(|&(precision, _)| precision == EXACT));
    let weight = |found: Option<(u8, u16)>| found.map_or(0, |(_, weight)| weight);
    let page = page.map(|kind| (Form::Page, weight(weight_of(accept, kind))));
    let forms = [
        Some((Form::Text, weight(weight_of(accept, "text/plain")))),
        page,
        Some((Form::Problem, weight(json))),
    ];
    let acceptable = forms.into_iter().flatten().filter(|(_, weight)| *weight > 0);
    // Of equals the last.
    acceptable
        .max_by_key(|(_, weight)| *weight)
        .map_or(otherwise, |(form, _)| form)
}

/// How precisely a media range names a type.
const ANYTHING: u8 = 0;
const EXACT: u8 = 2;

/// What a media type weighs by the most precise range that it is in, and how precise that is.
fn weight_of(accept: &HeaderValue, kind: &str) -> Option<(u8, u16)> {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let (class, _) = kind.split_once('/')?;
    let precision = |range: &str| match range.split_once('/')? {
        ("*", "*") => Some(ANYTHING),
        (of, "*") if of.eq_ignore_ascii_case(class) => Some(1),
        _ if range.eq_ignore_ascii_case(kind) => Some(EXACT),
        _ => None,
    };
    let found = weights_of(accept).filter_map(|(range, weight)| Some((precision(range)?, weight)));
    found.max_by_key(|(precision, _)| *precision)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_as_its_client_weighs() {
        #[track_caller]
        fn check(accept: &str, with_page: Form, without: Form) {
            let accept = HeaderValue::from_str(accept).unwrap();
            assert_eq!(
                form(Some(&accept), Some("text/html; charset=utf-8")),
                with_page,
                "{accept:?}"
            );
            assert_eq!(form(Some(&accept), None), without, "{accept:?}");
        }
        use Form::{Page, Problem, Text};
        check("application/problem+json", Problem, Problem);
        check("application/json", Problem, Problem);
        check("Application/JSON, text/html;q=0.9", Problem, Problem);
        check("application/problem+json;q=0.1, text/html", Page, Problem);
        check("application/problem+json;q=0.1, text/*;q=0.2", Page, Text);
        check("text/html;q=0.2, text/plain;q=0.3", Text, Text);
        check("text/html, application/json;q=0.5", Page, Problem);
        check("application/*", Problem, Problem);
        check("application/*, application/problem+json;q=0", Page, Text);
        check("application/json, text/plain, */*", Problem, Problem);
        check("*/*", Page, Text);
        check("text/html,application/xhtml+xml", Page, Text);
        check("*/*, text/html;q=0", Text, Text);
        check("application/json; q=0", Page, Text);
        check("application/json;q=0.0, text/plain", Text, Text);
        check("image/png", Page, Text);
        check("", Page, Text);
        assert_eq!(form(None, Some("text/html")), Page);
        assert_eq!(form(None, None), Text);
    }
}

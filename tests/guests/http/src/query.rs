//! Parameters of the request's query: what a test asks a guest to do.

use wasip3::http::types::Request;

/// The query of a request, decoded.
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads the query of `request`.
    pub fn of(request: &Request) -> Self {
        Self::parse(&request.get_path_with_query().unwrap_or_default())
    }

    /// Reads what follows the first `?` of `path_with_query`.
    pub fn parse(path_with_query: &str) -> Self {
        let query = path_with_query.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// The value of `name`, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.pairs.iter().filter(move |(other, _)| other == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The number called `name`, if it is there.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.text(name)?;
        Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    }

    /// Whether `name` is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }
}

/// Replaces `%41` by `A`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

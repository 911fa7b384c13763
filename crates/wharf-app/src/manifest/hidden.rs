//! What of a manifest is shown to nobody: values that may be secrets, written where a reference to one belongs, and what
//! stands before the `@` of a URL.
//!
//! Told by the text, not by the document: a file that cannot be parsed must not give its secrets away either. In doubt more
//! is hidden than has to be.

use std::collections::BTreeSet;

use serde_json::Value;

use super::problem::nearest;
use super::schema;
use crate::section::Sections;

/// Parts of words that nobody uses for what everybody may see, in names that users give and in keys that do not exist.
const TELLING: [&str; 5] = ["password", "passwd", "secret", "token", "credential"];

/// Which keys may have a secret's value.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// Those that the schema marks as `writeOnly`.
    secret: BTreeSet<String>,
    /// All others that it knows.
    open: BTreeSet<String>,
}

impl Hidden {
    /// The keys of manifests whose apps may have `sections`.
    pub fn of(sections: &Sections) -> Self {
        let root = schema::value(sections);
        let mut hidden = Self::default();
        hidden.learn(&root, &root);
        // A word that means a secret in one place is one everywhere: the text does not tell the places apart.
        hidden.open.retain(|key| !hidden.secret.contains(key));
        hidden
    }

    fn learn(&mut self, root: &Value, schema: &Value) {
        match schema {
            Value::Object(object) => {
                for (key, property) in object
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    let keys = match is_secret(root, property) {
                        true => &mut self.secret,
                        false => &mut self.open,
                    };
                    keys.insert(key.clone());
                }
                object.values().for_each(|inner| self.learn(root, inner));
            }
            Value::Array(schemas) => schemas.iter().for_each(|inner| self.learn(root, inner)),
            _ => {}
        }
    }

    /// Whether a key, or one of several with dots between, is one of those.
    fn hides(&self, key: &str, is_telling: impl Fn(&str) -> bool) -> bool {
        let mut parts = key
            .split('.')
            .map(|part| part.trim_matches([' ', '\t', '"', '\'', '[', ']']));
        parts.any(|part| match self.open.contains(part) {
            true => false,
            false => self.secret.contains(part) || is_telling(part) || self.is_slip(part),
        })
    }

    fn is_slip(&self, part: &str) -> bool {
        nearest(part, self.secret.iter().map(String::as_str)).is_some()
    }

    /// Where each line of `text` is hidden from, in bytes of the line.
    pub fn lines(&self, text: &str) -> Vec<Option<usize>> {
        let mut reading = Reading::default();
        text.split('\n').map(|line| reading.line(line, self)).collect()
    }

    /// A line of a manifest, of which is known from where it is hidden, as far as it may be shown.
    pub fn shown(&self, line: &str, from: Option<usize>) -> String {
        // Whatever is a string here: one that does not end takes in what follows it.
        let mut signs = line.match_indices('=').map(|(at, _)| at);
        let alone = signs.find(|at| self.hides(last_word(&line[..*at]), is_telling));
        match from.into_iter().chain(alone.map(|at| at + 1)).min() {
            Some(0) => "...".to_owned(),
            Some(at) => without_credentials(&line[..at]) + " ...",
            None => without_credentials(line),
        }
    }
}

fn last_word(text: &str) -> &str {
    let words = text.trim_end().rsplit([' ', '\t', ',', '{', '[', '=']);
    words.into_iter().next().unwrap_or_default()
}

/// Whether a name says that a secret is meant.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|telling| name.contains(telling))
}

/// Whether something of this schema is a secret, or is made of such by names that users give.
fn is_secret(root: &Value, schema: &Value) -> bool {
    let schema = schema::resolve(root, schema);
    let options = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array());
    schema["writeOnly"] == true
        || options.flatten().any(|option| is_secret(root, option))
        || ["additionalProperties", "items"]
            .iter()
            .any(|key| schema[*key].is_object() && is_secret(root, &schema[*key]))
}

/// How far a text has been read, as TOML, whose mistakes it bears.
#[derive(Default)]
struct Reading {
    /// The quotes that end the string it is in.
    quotes: Option<&'static str>,
    in_comment: bool,
    in_header: bool,
    /// Lists and tables that are open.
    depth: usize,
    /// What was read since the last sign that a key cannot have: the key, where `=` follows.
    word: String,
    /// Whether the statement has a key so far.
    has_key: bool,
    /// Whether the statement is hidden from here on.
    is_hidden: bool,
    /// Whether the section is one of secrets.
    in_secrets: bool,
}

impl Reading {
    /// Reads a line, and tells from where it is hidden.
    fn line(&mut self, line: &str, keys: &Hidden) -> Option<usize> {
        let mut hidden_from = self.is_hidden.then_some(0);
        let mut at = 0;
        while let Some(sign) = line[at..].chars().next() {
            at += self.step(&line[at..], sign, keys);
            if self.is_hidden {
                hidden_from = hidden_from.or(Some(at));
            }
        }
        self.end_header(keys);
        // What stands among secrets and has no key may be one.
        let is_bare = self.in_secrets && !self.has_key && !line.trim().is_empty();
        self.end_line();
        hidden_from.or(is_bare.then_some(0))
    }

    /// Reads on by a few bytes.
    fn step(&mut self, rest: &str, sign: char, keys: &Hidden) -> usize {
        if let Some(quotes) = self.quotes {
            return self.step_in_string(rest, quotes, sign);
        }
        if sign == '#' {
            self.end_header(keys);
        }
        match sign {
            '=' => {
                self.is_hidden |= self.in_secrets || keys.hides(&self.word, is_telling);
                self.has_key = true;
                self.word.clear();
                return 1;
            }
            ',' | '{' | '[' | '#' => {
                // Whatever is open: a list that somebody forgot to close must not take in the sections below it.
                self.in_header |= sign == '[' && self.word.trim().is_empty() && !self.in_comment;
                self.word.clear();
            }
            _ => self.word.push(sign),
        }
        match sign {
            _ if self.in_comment => {}
            '#' => self.in_comment = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            '"' | '\'' => {
                self.word.pop();
                let quotes = ["\"\"\"", "'''", "\"", "'"];
                let quotes = quotes.into_iter().find(|quotes| rest.starts_with(quotes));
                self.quotes = quotes;
                return quotes.map_or(1, str::len);
            }
            _ => {}
        }
        sign.len_utf8()
    }

    fn step_in_string(&mut self, rest: &str, quotes: &'static str, sign: char) -> usize {
        if rest.starts_with(quotes) {
            self.quotes = None;
            return quotes.len();
        }
        // It may be a key.
        self.word.push(sign);
        let is_escape = sign == '\\' && quotes.starts_with('"');
        let escaped = rest[sign.len_utf8()..].chars().next().filter(|_| is_escape);
        sign.len_utf8() + escaped.map_or(0, char::len_utf8)
    }

    fn end_header(&mut self, keys: &Hidden) {
        if !self.in_header {
            return;
        }
        // Names that users give to apps and components tell nothing.
        let is_secret = keys.hides(&self.word, |_| false);
        self.in_secrets = is_secret || (self.in_secrets && self.depth > 0);
        self.in_header = false;
        // A header is not what has to have a key.
        self.has_key = true;
    }

    fn end_line(&mut self) {
        self.in_comment = false;
        let in_text = self.quotes.is_some_and(|quotes| quotes.len() == 3);
        if !in_text {
            self.quotes = None;
        }
        // A value may be missing because it was written a line below.
        let is_empty = self.word.trim().is_empty();
        self.word.clear();
        if !in_text && self.depth == 0 {
            self.has_key = false;
            self.is_hidden &= is_empty;
        }
    }
}

/// A text without what stands before the `@` of its URLs, and without what follows `password=` and its like.
pub(super) fn without_credentials(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let ends = TELLING.iter().filter_map(|telling| {
        let at = lower.find(&format!("{telling}="))?;
        Some(at + telling.len() + 1)
    });
    let (text, end) = match ends.min() {
        Some(at) => (&text[..at], "..."),
        None => (text, ""),
    };
    let mut parts = text.split("://");
    let first = parts.next().unwrap_or_default().to_owned();
    let shown = parts.fold(first, |shown, part| match part.rsplit_once('@') {
        Some((_, host)) => shown + "://...@" + host,
        None => shown + "://" + part,
    });
    shown + end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::sections;

    const SECRET: &str = "hunter2";

    /// Every line that is shown of a text.
    fn shown(text: &str) -> String {
        let hidden = Hidden::of(&sections());
        let lines = text.split('\n').zip(hidden.lines(text));
        let lines: Vec<_> = lines.map(|(line, from)| hidden.shown(line, from)).collect();
        lines.join("\n")
    }

    #[test]
    fn values_of_secrets_are_hidden_however_they_are_written() {
        for text in [
            "[secrets]\nKEY = \"hunter2\"",
            "[secrets] # ours\n# comment\nKEY = \"hunter2\"",
            "[apps.a.secrets]\nKEY = hunter2",
            "[apps.\"a.b\".secrets]\nKEY = hunter2",
            "[ secrets ]\nhunter2",
            "[secrets]\nKEY = \"\"\"\na = 1\nhunter2\n\"\"\"",
            "secrets = { KEY = \"hunter2\" }",
            "secrets.KEY = \"hunter2\"",
            "\"secrets\".KEY = \"hunter2\"",
            "[greeting]\nsign = 'hunter2'",
            "[greeting.sign]\nhunter2",
            "greeting = { to = 'you', sign = 'hunter2' }",
            "greeting = { to = ['you', 'me'],\nsign = 'hunter2' }",
            "greeting.sign = '''\nhunter2'''",
            // Slips, and what users call what is theirs.
            "[secret]\nKEY = 'hunter2'",
            "[greeting]\nsigm = 'hunter2'",
            "[environment]\nDB_PASSWORD = 'hunter2'",
            // What is no TOML.
            "sign = hunter2",
            "sign =\n'hunter2'",
            "sign = 'hunter2",
            "sign = \"\"\"\nhunter2",
            "x = \"\"\"\nsign = 'hunter2'",
            "x = [1,\n[secrets]\nKEY = 'hunter2'",
            "[secrets\nKEY = 'hunter2'",
            "x = 1 # sign = 'hunter2'",
            "x = 'don't' sign = 'hunter2'",
            // URLs, anywhere.
            "to = 'postgres://wharf:hunter2@127.0.0.1/shop'",
            "to = 'redis://:hunter2@127.0.0.1'",
            "to = 'http://a:hun@hunter2@127.0.0.1'",
            "to = 'http://a:b/hunter2@127.0.0.1'",
            "to = 'postgres://127.0.0.1/shop?user=a&password=hunter2'",
            "to = 'host=127.0.0.1 Password=hunter2'",
            "to = [\n'http://a.test',\n'http://a:hunter2@127.0.0.1']",
        ] {
            assert!(!shown(text).contains(SECRET), "{text}\n\n{}", shown(text));
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "[secrets]\n\n[limits]\nmemory = 1 # [1\nsize = 2",
            "[greeting]\nto = 'https://example.com'\nfrom = ['a', \"b\\\"]\", '#']\nx = 1",
            "[apps.password-reset]\ncomponent = 'a.wasm'",
            "component = '''\na\n'''\nname = 'a'",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(
            shown("[greeting]\nsign = 'x'\nto = 'y'"),
            "[greeting]\nsign = ...\nto = 'y'"
        );
        let url = "to = 'http://a:b@c.test/' # what 'http://d@e.test/' was";
        assert_eq!(shown(url), "to = 'http://...@c.test/' # what 'http://...@e.test/' was");
    }
}

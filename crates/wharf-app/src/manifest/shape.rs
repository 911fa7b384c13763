//! Compares a document with the schema: unknown keys, wrong types, words that are none of those allowed.
//!
//! `serde` would say the same, but of one mistake at a time, and without knowing which key was meant. What a text means
//! inside is left to `manifest/meaning.rs`.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Source, list, nearest};
use super::schema;
use crate::section::Sections;

/// What is wrong with `table`, as one of the schema's definitions.
pub(super) fn check(
    table: &Spanned<DeTable<'_>>,
    definition: &str,
    source: &Source,
    sections: &Sections,
) -> Vec<Problem> {
    let root = schema::value(sections);
    let mut shape = Shape {
        root: &root,
        document: &root["$defs"][definition],
        source,
        problems: Vec::new(),
    };
    shape.table(shape.document, table.get_ref(), table.span());
    shape.problems
}

struct Shape<'a> {
    root: &'a Value,
    document: &'a Value,
    source: &'a Source,
    problems: Vec<Problem>,
}

impl<'a> Shape<'a> {
    fn problem(&mut self, span: Range<usize>, message: String) -> &mut Problem {
        let problem = Problem::new(self.source.place(span), message);
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn value(&mut self, key: &str, schema: &'a Value, value: &Spanned<DeValue<'_>>) {
        let span = self.whole(value);
        let options = self.options(schema);
        let fitting: Vec<&Value> = options
            .iter()
            .copied()
            .filter(|option| admits(option, value.get_ref()))
            .collect();
        let Some(first) = fitting.first() else {
            let message = format!(
                "`{key}` is {} here, and has to be {}",
                found(value.get_ref()),
                expected(&options)
            );
            self.problem(span, message);
            return;
        };
        match value.get_ref() {
            DeValue::Table(table) => self.table(first, table, span),
            DeValue::Array(values) => {
                for value in values {
                    self.value(key, &first["items"], value);
                }
            }
            DeValue::String(text) => self.word(key, &fitting, text, span),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.number(key, first, number, span);
            }
            _ => {}
        }
    }

    /// Where a value stands, with the sign of a number, which the parser leaves out.
    fn whole(&self, value: &Spanned<DeValue<'_>>) -> Range<usize> {
        let span = value.span();
        let is_number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
        let before = self.source.text.get(..span.start).unwrap_or_default();
        match is_number && before.ends_with(['-', '+']) {
            true => span.start - 1..span.end,
            false => span,
        }
    }

    fn table(&mut self, schema: &'a Value, table: &DeTable<'_>, span: Range<usize>) {
        for (key, value) in table {
            let (name, known) = (key.get_ref().as_ref(), &schema["properties"][key.get_ref().as_ref()]);
            match &schema["additionalProperties"] {
                _ if known.is_object() => self.value(name, known, value),
                others @ Value::Object(_) => self.value(name, others, value),
                _ => self.unknown(schema, name, key.span()),
            }
        }
        let required = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for key in required.filter(|key| table.get(*key).is_none()) {
            self.problem(span.clone(), format!("`{key}` is missing"));
        }
    }

    fn unknown(&mut self, schema: &Value, key: &str, span: Range<usize>) {
        let known: Vec<&str> = schema["properties"].as_object().map(names).unwrap_or_default();
        if let Some(near) = nearest(key, known.iter().copied()) {
            self.problem(span, format!("unknown key `{key}`; did you mean `{near}`?"));
            return;
        }
        let help = match self.home(key) {
            Some(home) => home,
            None => format!("known here: {}", list(known, "and")),
        };
        self.problem(span, format!("unknown key `{key}`")).help = Some(help);
    }

    /// Where a key would be known that is unknown where it stands.
    fn home(&self, key: &str) -> Option<String> {
        let properties = self.document["properties"].as_object()?;
        if properties.contains_key(key) && !key.is_empty() {
            return Some(format!(
                "`{key}` belongs to the whole file: write it above the first section"
            ));
        }
        let is_server = properties.contains_key("server");
        if is_server && self.root["$defs"][schema::APP]["properties"][key].is_object() {
            return Some(format!("`{key}` belongs to an app: write it under `[apps.NAME]`"));
        }
        if !is_server && key == "apps" {
            return Some("a file with several apps is a server's: add the section `[server]`".to_owned());
        }
        let here = self.section_with(properties, key);
        here.map(|section| format!("`{key}` belongs to the section `[{section}]`"))
            .or_else(|| self.home_in_server(key))
    }

    /// Where in `[server]` a key would be known, which only a server's manifest has.
    fn home_in_server(&self, key: &str) -> Option<String> {
        let server = &self.root["$defs"][schema::SERVER]["properties"]["server"];
        let properties = schema::resolve(self.root, server)["properties"].as_object()?;
        let section = match properties.contains_key(key) {
            true => "server".to_owned(),
            false => format!("server.{}", self.section_with(properties, key)?),
        };
        Some(format!("`{key}` belongs to `[{section}]` of a server's manifest"))
    }

    /// The section of these in which a key is known.
    fn section_with<'b>(&self, sections: &'b Map<String, Value>, key: &str) -> Option<&'b str> {
        let holds = |section: &Value| schema::resolve(self.root, section)["properties"][key].is_object();
        let (name, _) = sections.iter().find(|(_, section)| holds(section))?;
        Some(name)
    }

    fn word(&mut self, key: &str, fitting: &[&Value], text: &str, span: Range<usize>) {
        let words: Option<Vec<&str>> = fitting.iter().map(|option| option["const"].as_str()).collect();
        let Some(words) = words.filter(|words| !words.contains(&text)) else {
            return;
        };
        let near = nearest(text, words.iter().copied());
        let near = near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        let message = format!("`{key}` is {}, not `{text}`{near}", list(words.iter().copied(), "or"));
        self.problem(span, message);
    }

    fn number(&mut self, key: &str, schema: &Value, number: Option<i64>, span: Range<usize>) {
        let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        let fits = number
            .is_some_and(|number| least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most));
        if !fits {
            let (least, most) = (least.unwrap_or(0), most.unwrap_or(i64::MAX));
            self.problem(span, format!("`{key}` is a number from {least} to {most}"));
        }
    }

    /// The forms that a value may have.
    fn options(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = schema::resolve(self.root, schema);
        let options = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
        match options {
            Some(options) => options.iter().flat_map(|option| self.options(option)).collect(),
            None => vec![schema],
        }
    }
}

fn names(map: &Map<String, Value>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

/// The types of a schema, as JSON calls them.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn admits(schema: &Value, value: &DeValue<'_>) -> bool {
    let own = match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        // Nothing in a manifest is one of these.
        DeValue::Float(_) | DeValue::Datetime(_) => return false,
    };
    types(schema).contains(&own)
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn expected(options: &[&Value]) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in options.iter().flat_map(|option| types(option)) {
        let name = match name {
            "string" => "a string",
            "integer" => "a whole number",
            "boolean" => "true or false",
            "array" => "a list",
            _ => "a table",
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let example = options
        .iter()
        .find_map(|option| option["examples"].get(0))
        .filter(|_| options.len() == 1);
    let example = example
        .map(|example| format!(", such as {example}"))
        .unwrap_or_default();
    names.join(" or ") + &example
}

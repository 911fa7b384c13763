//! The manifest's reference as a page, made from the schema and so from the comments in `manifest/written.rs`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::schema;
use crate::section::Sections;

/// What the page says before its keys. The examples are read by a test.
const INTRODUCTION: &str = include_str!("introduction.txt");

/// The page, in Markdown, of manifests whose apps may have `sections`.
pub fn reference(sections: &Sections) -> String {
    let root = schema::value(sections);
    let mut page = Page {
        root: &root,
        text: INTRODUCTION.to_owned(),
    };
    page.values();
    page.document("An app", schema::APP);
    page.document("A server", schema::SERVER);
    // A section without keys leaves two empty lines.
    page.text.replace("\n\n\n", "\n\n").trim_end().to_owned() + "\n"
}

struct Page<'a> {
    root: &'a Value,
    text: String,
}

impl<'a> Page<'a> {
    fn definition(&self, name: &str) -> &'a Value {
        &self.root["$defs"][name]
    }

    fn paragraph(&mut self, text: &str) {
        self.text += text;
        self.text += "\n\n";
    }

    fn values(&mut self) {
        self.paragraph("## Values");
        for name in ["Size", "Duration", "Count"] {
            let definition = self.definition(name);
            let examples: Vec<String> = definition["examples"]
                .as_array()
                .into_iter()
                .flatten()
                .map(code)
                .collect();
            let examples = match examples.as_slice() {
                [] => String::new(),
                examples => format!(" Examples: {}.", examples.join(", ")),
            };
            let description = description(definition);
            let _ = writeln!(self.text, "- {}: {description}{examples}", name.to_lowercase());
        }
        self.text += "\n";
    }

    fn document(&mut self, title: &str, definition: &str) {
        let definition = self.definition(definition);
        self.paragraph(&format!("## {title}"));
        self.paragraph(description(definition));
        let (sections, keys): (Vec<_>, Vec<_>) =
            properties(definition).partition(|(_, property)| self.section_kind(property).is_some());
        for (key, property) in keys {
            self.key(definition, key, property, 0);
        }
        self.text += "\n";
        for (key, property) in sections {
            self.section(key, key, property);
        }
    }

    /// One section, and those inside it. `path` is how its header is written.
    fn section(&mut self, path: &str, key: &str, property: &'a Value) {
        let Some((kind, content)) = self.section_kind(property) else {
            return;
        };
        let header = match kind {
            Kind::Table | Kind::Entries => format!("[{path}]"),
            Kind::Named => format!("[{path}.NAME]"),
            Kind::List => format!("[[{path}]]"),
        };
        self.paragraph(&format!("### `{header}`"));
        self.paragraph(description(property));
        // The keys of an app stand above.
        if key != "apps" {
            let (sections, keys): (Vec<_>, Vec<_>) = properties(content)
                .partition(|(_, property)| matches!(self.section_kind(property), Some((Kind::Table | Kind::List, _))));
            if kind == Kind::Entries && !keys.is_empty() {
                self.paragraph("As a table, an entry has these keys:");
            }
            for (key, property) in keys {
                self.key(content, key, property, 0);
            }
            self.text += "\n";
            let inside = if kind == Kind::Named { ".NAME" } else { "" };
            for (key, property) in sections {
                self.section(&format!("{path}{inside}.{key}"), key, property);
            }
        }
    }

    /// What kind of section a property is, and what describes its content; `None` where it is a key with a value.
    fn section_kind(&self, property: &'a Value) -> Option<(Kind, &'a Value)> {
        let schema = schema::resolve(self.root, property);
        let has_properties = |schema: &Value| schema["properties"].is_object();
        if has_properties(schema) {
            return Some((Kind::Table, schema));
        }
        let items = schema::resolve(self.root, &schema["items"]);
        if has_properties(items) {
            return Some((Kind::List, items));
        }
        let entries = schema::resolve(self.root, &schema["additionalProperties"]);
        if has_properties(entries) {
            return Some((Kind::Named, entries));
        }
        let table = self.table_among(entries);
        (schema["type"] == "object").then(|| (Kind::Entries, table.unwrap_or(entries)))
    }

    /// The table among the forms of a value.
    fn table_among(&self, schema: &'a Value) -> Option<&'a Value> {
        let forms = schema["anyOf"].as_array()?;
        let mut forms = forms.iter().map(|form| schema::resolve(self.root, form));
        forms.find(|form| form["properties"].is_object())
    }

    fn key(&mut self, table: &Value, key: &str, property: &'a Value, depth: usize) {
        let required = table["required"]
            .as_array()
            .is_some_and(|keys| keys.iter().any(|required| required == key));
        let required = if required { ", required" } else { "" };
        let indent = "  ".repeat(depth);
        let (value, description) = (self.value(property), description(property));
        let _ = writeln!(self.text, "{indent}- `{key}` ({value}{required}): {description}");
        let schema = schema::resolve(self.root, property);
        for word in schema["oneOf"].as_array().into_iter().flatten() {
            let (name, description) = (code(&word["const"]), word["description"].as_str().unwrap_or_default());
            let _ = writeln!(self.text, "{indent}  - {name}: {description}");
        }
        if let Some(table) = self.table_among(schema) {
            for (key, property) in properties(table) {
                self.key(table, key, property, depth + 1);
            }
        }
    }

    /// What a key takes, in a word or two.
    fn value(&self, property: &Value) -> String {
        if let Some(name) = property["$ref"]
            .as_str()
            .map(|name| name.trim_start_matches("#/$defs/"))
            && ["Size", "Duration", "Count"].contains(&name)
        {
            return name.to_lowercase();
        }
        let schema = schema::resolve(self.root, property);
        if let Some(forms) = schema["anyOf"].as_array() {
            return forms
                .iter()
                .map(|form| self.value(form))
                .collect::<Vec<_>>()
                .join(" or ");
        }
        match schema["type"].as_str() {
            _ if schema["oneOf"].is_array() => "one of these".to_owned(),
            Some("array") => format!("list of {}s", self.value(&schema["items"])),
            Some("object") => "table".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some(other) => other.to_owned(),
            None => "value".to_owned(),
        }
    }
}

/// How a property becomes a section of a file.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `[limits]`.
    Table,
    /// `[environment]`, with names of the user's own.
    Entries,
    /// `[components.NAME]`.
    Named,
    /// `[[routes]]`.
    List,
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties: Option<&Map<String, Value>> = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(key, property)| (key.as_str(), property))
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// A value as it is written in TOML, which these values are written in as in JSON.
fn code(value: &Value) -> String {
    format!("`{value}`")
}

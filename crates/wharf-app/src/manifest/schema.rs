//! The manifest's JSON schema (draft 2020-12), made from the types it is read into.
//!
//! Editors complete and check manifests with it; the reference is made from it (`manifest/reference.rs`); and files are
//! compared with it before they are read (`manifest/shape.rs`), so none of the three can know other keys than the reader.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::written::Manifest;
use crate::section::Sections;

/// What an app's manifest is, among the schema's definitions.
pub(super) const APP: &str = "AppManifest";

/// What a server's manifest is.
pub(super) const SERVER: &str = "ServerManifest";

/// The schema of manifests whose apps may have `sections`, as a document.
pub fn schema(sections: &Sections) -> String {
    // What is made of maps and texts alone always has a form in JSON.
    serde_json::to_string_pretty(&value(sections)).unwrap_or_default() + "\n"
}

pub(super) fn value(sections: &Sections) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(ForToml);
    let mut generator = SchemaGenerator::new(settings);
    let of_sections: Vec<_> = sections
        .iter()
        .map(|section| (section.name(), section.schema(&mut generator).to_value()))
        .collect();
    let mut schema = generator.into_root_schema_for::<Manifest>();
    schema.insert("title".to_owned(), "wharf.toml".into());
    let mut root = schema.to_value();
    for (name, of_section) in of_sections {
        let property = described(&root, of_section);
        if let Some(properties) = root["$defs"][APP]["properties"].as_object_mut() {
            properties.insert(name.to_owned(), property);
        }
    }
    root
}

/// A section's schema with its description, which stands where it is defined.
fn described(root: &Value, mut schema: Value) -> Value {
    let description = resolve(root, &schema)["description"].clone();
    if let (Value::Object(schema), Value::String(_)) = (&mut schema, &description) {
        schema.insert("description".to_owned(), description);
    }
    schema
}

/// Whether a definition has this key at its top.
pub(super) fn has_key(definition: &str, key: &str, sections: &Sections) -> bool {
    value(sections)["$defs"][definition]["properties"][key].is_object()
}

/// The schema that `schema` refers to, or itself.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    while let Some(reference) = schema["$ref"].as_str() {
        schema = &root["$defs"][reference.trim_start_matches("#/$defs/")];
    }
    schema
}

/// Takes out what TOML has no word for, or a reader no use: null, defaults that are empty, Rust's integer types; and lets
/// descriptions flow, which are broken where source code ends its lines.
#[derive(Clone)]
struct ForToml;

impl Transform for ForToml {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            object.remove("default");
            object.remove("format");
            without_null(object);
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = flowing(description);
            }
        }
        transform_subschemas(self, schema);
    }
}

fn without_null(object: &mut serde_json::Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|option| option["type"] != "null");
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            // What is said of the field goes before what is said of its type.
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

/// Lines joined to paragraphs.
fn flowing(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::sections;

    #[test]
    fn the_schema_speaks_of_toml_alone() {
        let schema = schema(&sections());
        for word in ["null", "uint32"] {
            assert!(!schema.contains(word), "{word}");
        }
        assert!(schema.contains("https://json-schema.org/draft/2020-12/schema"));
    }

    /// They stand in the descriptions: what types have as theirs is not what is meant where nothing is said.
    #[test]
    fn the_schema_has_no_defaults_of_its_own() {
        fn check(schema: &Value) {
            if let Some(schema) = schema.as_object() {
                let properties = schema.get("properties").and_then(Value::as_object);
                assert!(!schema.contains_key("default"), "{schema:?}");
                properties
                    .into_iter()
                    .flatten()
                    .for_each(|(_, property)| check(property));
            }
        }
        let root = value(&sections());
        root["$defs"].as_object().unwrap().values().for_each(check);
    }

    /// The reference and editors have nothing else to say.
    #[test]
    fn every_key_is_described() {
        let root = value(&sections());
        let definitions = root["$defs"].as_object().unwrap();
        for (name, definition) in definitions {
            let properties = definition["properties"].as_object().into_iter().flatten();
            for (key, property) in properties {
                assert!(property["description"].is_string(), "{name}.{key}");
            }
        }
        assert!(definitions.contains_key("AppManifest") && definitions.contains_key("ServerManifest"));
    }
}

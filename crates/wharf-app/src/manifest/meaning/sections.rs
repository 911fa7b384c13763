//! Sections that capabilities read: taken out of the document before the rest is, and handed over as plain values.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Meaning;
use crate::manifest::places::Subject;
use crate::section::{Fault, Section, Sections, Written};

/// A capability's section of one app.
pub struct Taken<'a, 'text> {
    section: &'a dyn Section,
    key: Range<usize>,
    value: Spanned<DeValue<'text>>,
}

/// Takes the sections out of an app's table. What remains is the manifest's own.
pub fn take<'a, 'text>(app: &mut DeTable<'text>, sections: &'a Sections) -> Vec<Taken<'a, 'text>> {
    let take = |section: &'a dyn Section| {
        let (key, value) = app.remove_entry(section.name())?;
        let key = key.span();
        Some(Taken { section, key, value })
    };
    sections.iter().filter_map(take).collect()
}

impl Meaning<'_> {
    pub(super) fn sections(&mut self, taken: Vec<Taken<'_, '_>>) -> BTreeMap<String, Written> {
        taken.into_iter().map(|taken| self.section(taken)).collect()
    }

    fn section(&mut self, taken: Taken<'_, '_>) -> (String, Written) {
        let name = taken.section.name();
        self.remember(Subject::Section(name.to_owned()), taken.key.clone());
        let written = Written {
            value: plain(taken.value.get_ref()),
            folder: self.source.folder().to_owned(),
        };
        for Fault { path, message, help } in taken.section.check(&written) {
            let (span, key) = find(&taken, &path);
            self.problem(span, format!("`{key}`: {message}")).help = help;
        }
        for (path, _) in taken.section.secrets(&written) {
            let (span, _) = find(&taken, &path);
            self.remember(Subject::SectionSecret(name.to_owned(), path), span);
        }
        (name.to_owned(), written)
    }
}

/// Where the value under `path` stands, or the innermost there is, and the key that it has there.
fn find(taken: &Taken<'_, '_>, path: &[String]) -> (Range<usize>, String) {
    let mut found = (taken.key.clone(), taken.section.name().to_owned());
    let mut value = &taken.value;
    for key in path {
        let inner = match value.get_ref() {
            DeValue::Table(table) => table.get(key.as_str()),
            DeValue::Array(values) => key.parse().ok().and_then(|nth: usize| values.get(nth)),
            _ => None,
        };
        let Some(inner) = inner else { break };
        value = inner;
        found.0 = value.span();
        // Places in lists have no name of their own.
        if key.parse::<usize>().is_err() {
            found.1.clone_from(key);
        }
    }
    found
}

/// The same without places. There are no dates and no fractions: no schema has them.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .unwrap_or(i64::MAX)
            .into(),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Array(values) => values.iter().map(|value| plain(value.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())))
            .collect(),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Null,
    }
}

//! The values that fields of a manifest take, as they are written: each knows its place, and its part of the schema.
//!
//! Whether a text is a duration, a host or a path is asked later (`manifest/meaning.rs`), so that all mistakes of a file
//! are found at once.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::value::{self, ValueError};

/// A value and where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The bytes of the file that it is written in.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get_ref()
    }
}

/// Keys are compared without their places.
impl Borrow<str> for At<String> {
    fn borrow(&self) -> &str {
        self.0.get_ref()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

/// The schema does not know places.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A text that says the most common thing, or a table that says all.
#[derive(Debug)]
pub enum TextOr<T> {
    /// The most common thing.
    Text(String),
    /// All of it.
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a table")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TextOr<T>, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextOr<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Table)
            }
        }

        // Not serde's own untagged form: that would lose the places inside the table.
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for TextOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<T>()] })
    }
}

/// One text, or a list of them.
#[derive(Debug)]
pub enum OneOrMany {
    /// One text.
    One(String),
    /// A list.
    Many(Vec<At<String>>),
}

impl At<OneOrMany> {
    /// All texts, each with its place.
    pub fn texts(&self) -> Vec<(&str, Range<usize>)> {
        match &**self {
            OneOrMany::One(text) => vec![(text, self.span())],
            OneOrMany::Many(texts) => texts.iter().map(|text| (text.as_str(), text.span())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor;

        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// A size: a text with its unit, or a number of bytes.
#[derive(Debug)]
pub enum Size {
    /// With its unit, unchecked.
    Text(String),
    /// The number alone.
    Bytes(u64),
}

impl Size {
    /// How many bytes it means.
    ///
    /// # Errors
    /// When its text is no size.
    pub fn bytes(&self) -> Result<u64, ValueError> {
        match self {
            Self::Bytes(bytes) => Ok(*bytes),
            Self::Text(text) => value::size(text),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Ok(Size::Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size::Bytes(bytes))
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(Size::Bytes)
                    .map_err(|_| E::custom("a size is not negative"))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or a text of a number and one of B, KB, MB, GB, KiB, MiB and GiB. The \
                            number may have a fraction.",
            "type": ["string", "integer"],
            "pattern": r"^[0-9]+(\.[0-9]{1,15})?(B|KB|MB|GB|KiB|MiB|GiB)$",
            "minimum": 0,
            "examples": ["64MiB", "1.5GB", 65536],
        })
    }
}

/// A duration: a text with its unit.
#[derive(Debug, serde::Deserialize)]
pub struct Duration(String);

impl Duration {
    /// What it means.
    ///
    /// # Errors
    /// When its text is no duration.
    pub fn get(&self) -> Result<std::time::Duration, ValueError> {
        value::duration(&self.0)
    }
}

impl Deref for Duration {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text of a number and one of ms, s, m and h. The number may have a fraction.",
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]{1,15})?(ms|s|m|h)$",
            "examples": ["30s", "250ms", "1.5h"],
        })
    }
}

/// How many of something.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub struct Count(pub u32);

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number, at least 1.",
            "type": "integer",
            "minimum": 1,
            "maximum": u32::MAX,
        })
    }
}

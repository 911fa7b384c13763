//! Values as people write them, in WAVE: into values of a function's types, and back.
//!
//! The notation is the component model's own and is read by `wasm-wave`, into a tree with positions. Here the tree meets the types
//! that a component says, so that an error names the place and what was expected there.

use std::fmt::Write as _;
use std::ops::Range;

use wasm_wave::ast::{Node, NodeType};
use wasm_wave::parser::ParserError;
use wasm_wave::untyped::UntypedValue;
use wasmtime::component::Type;

pub use wasmtime::component::Val;

/// Why a text is no value of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveError {
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes.
    pub at: Range<usize>,
}

/// The value of the type `ty` that `text` is.
///
/// # Errors
/// When the text is no value, or one of another type; and for types that no text is a value of, such as resources.
pub fn read(text: &str, ty: &Type) -> Result<Val, WaveError> {
    let untyped = UntypedValue::parse(text).map_err(|error| syntax(text, ty, &error))?;
    value(text, untyped.node(), ty)
}

fn syntax(text: &str, ty: &Type, error: &ParserError) -> WaveError {
    // Words that are no names of WAVE's, such as `Red`, are most likely meant as what is wanted here.
    let is_words = text.chars().all(|c| c.is_alphanumeric() || " -_.".contains(c));
    if is_words && matches!(ty, Type::String | Type::Char | Type::Enum(_) | Type::Variant(_)) {
        return WaveError {
            message: format!("expected {}", name(ty)),
            at: 0..text.len(),
        };
    }
    // The place is told apart.
    let message = error.to_string();
    let place = format!(" at {:?}", error.span());
    WaveError {
        message: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
        at: error.span(),
    }
}

fn wrong(node: &Node, message: impl Into<String>) -> WaveError {
    WaveError {
        message: message.into(),
        at: node.span(),
    }
}

fn value(text: &str, node: &Node, ty: &Type) -> Result<Val, WaveError> {
    // What is wrong is said in terms of what the function takes.
    let expected = |_: ParserError| {
        let range = range(ty).filter(|_| node.ty() == NodeType::Number);
        let range = range.map(|(from, to)| format!(", which is {from} to {to}"));
        wrong(node, format!("expected {}{}", name(ty), range.unwrap_or_default()))
    };
    Ok(match ty {
        Type::Bool => Val::Bool(node.as_bool().map_err(expected)?),
        Type::S8 => Val::S8(node.as_number(text).map_err(expected)?),
        Type::U8 => Val::U8(node.as_number(text).map_err(expected)?),
        Type::S16 => Val::S16(node.as_number(text).map_err(expected)?),
        Type::U16 => Val::U16(node.as_number(text).map_err(expected)?),
        Type::S32 => Val::S32(node.as_number(text).map_err(expected)?),
        Type::U32 => Val::U32(node.as_number(text).map_err(expected)?),
        Type::S64 => Val::S64(node.as_number(text).map_err(expected)?),
        Type::U64 => Val::U64(node.as_number(text).map_err(expected)?),
        Type::Float32 => Val::Float32(node.as_number(text).map_err(expected)?),
        Type::Float64 => Val::Float64(node.as_number(text).map_err(expected)?),
        Type::Char => Val::Char(node.as_char(text).map_err(expected)?),
        Type::String => Val::String(node.as_str(text).map_err(expected)?.into_owned()),
        Type::List(list) => Val::List(elements(text, node.as_list().map_err(expected)?, &list.ty())?),
        Type::FixedLengthList(list) => {
            let values = elements(text, node.as_list().map_err(expected)?, &list.ty())?;
            match values.len() as u64 == u64::from(list.len()) {
                true => Val::FixedLengthList(values),
                false => {
                    return Err(wrong(
                        node,
                        format!("expected {} elements, and these are {}", list.len(), values.len()),
                    ));
                }
            }
        }
        Type::Tuple(tuple) => tuple_value(text, node, tuple.types().collect())?,
        Type::Record(record) => record_value(text, node, ty, record)?,
        Type::Variant(_) | Type::Enum(_) => case_value(text, node, ty)?,
        Type::Flags(flags) => {
            let given: Vec<&str> = node.as_flags(text).map_err(expected)?.collect();
            let known: Vec<&str> = flags.names().collect();
            match given.iter().find(|flag| !known.contains(flag)) {
                Some(flag) => {
                    return Err(wrong(
                        node,
                        format!("there is no flag `{flag}`, but {}", known.join(", ")),
                    ));
                }
                None => Val::Flags(given.into_iter().map(str::to_owned).collect()),
            }
        }
        Type::Option(option) => option_value(text, node, ty, &option.ty())?,
        Type::Result(result) => result_value(text, node, ty, (result.ok(), result.err()))?,
        Type::Map(_) | Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
            return Err(wrong(
                node,
                format!("a value of the type {} cannot be written as text", name(ty)),
            ));
        }
    })
}

/// The least and the greatest value of a type of whole numbers.
fn range(ty: &Type) -> Option<(i128, i128)> {
    let bits = |bits: u32| Some((0, (1 << bits) - 1));
    let signed = |bits: u32| Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1));
    match ty {
        Type::U8 => bits(8),
        Type::U16 => bits(16),
        Type::U32 => bits(32),
        Type::U64 => bits(64),
        Type::S8 => signed(8),
        Type::S16 => signed(16),
        Type::S32 => signed(32),
        Type::S64 => signed(64),
        _ => None,
    }
}

fn elements<'a>(text: &str, nodes: impl Iterator<Item = &'a Node>, ty: &Type) -> Result<Vec<Val>, WaveError> {
    nodes.map(|node| value(text, node, ty)).collect()
}

fn tuple_value(text: &str, node: &Node, types: Vec<Type>) -> Result<Val, WaveError> {
    let expected = format!("expected a tuple of {}", types.len());
    let nodes = node.as_tuple().map_err(|_| wrong(node, expected.clone()))?;
    if nodes.len() != types.len() {
        return Err(wrong(node, format!("{expected}, and these are {}", nodes.len())));
    }
    let values = nodes.zip(&types).map(|(node, ty)| value(text, node, ty));
    Ok(Val::Tuple(values.collect::<Result<_, _>>()?))
}

/// Fields in any order; those that are left out are `none`, where that is a value of theirs.
fn record_value(
    text: &str,
    node: &Node,
    ty: &Type,
    record: &wasmtime::component::types::Record,
) -> Result<Val, WaveError> {
    let given: Vec<(&str, &Node)> = match node.as_record(text) {
        Ok(fields) => fields.collect(),
        // `{}` is read as no flags.
        Err(_) if node.ty() == NodeType::Flags && node.as_flags(text).is_ok_and(|mut flags| flags.next().is_none()) => {
            Vec::new()
        }
        Err(_) => return Err(wrong(node, format!("expected {}", name(ty)))),
    };
    let known: Vec<_> = record.fields().map(|field| (field.name.to_owned(), field.ty)).collect();
    if let Some((field, at)) = given
        .iter()
        .find(|(field, _)| known.iter().all(|(name, _)| name != field))
    {
        let known: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        return Err(wrong(
            at,
            format!("there is no field `{field}`, but {}", known.join(", ")),
        ));
    }
    let fields = known.into_iter().map(|(field, ty)| {
        let found = given.iter().find(|(name, _)| *name == field);
        let value = match (found, &ty) {
            (Some((_, node)), ty) => value(text, node, ty)?,
            (None, Type::Option(_)) => Val::Option(None),
            (None, _) => return Err(wrong(node, format!("the field `{field}` is missing"))),
        };
        Ok((field, value))
    });
    Ok(Val::Record(fields.collect::<Result<_, _>>()?))
}

fn case_value(text: &str, node: &Node, ty: &Type) -> Result<Val, WaveError> {
    let (label, payload) = node
        .as_variant(text)
        .map_err(|_| wrong(node, format!("expected {}", name(ty))))?;
    let cases = cases(ty);
    let Some((_, payload_type)) = cases.iter().find(|(case, _)| case == label) else {
        let cases: Vec<_> = cases.iter().map(|(case, _)| case.as_str()).collect();
        return Err(wrong(
            node,
            format!("there is no case `{label}`, but {}", cases.join(", ")),
        ));
    };
    let payload = match (payload, payload_type) {
        (Some(node), Some(ty)) => Some(Box::new(value(text, node, ty)?)),
        (None, None) => None,
        (Some(node), None) => return Err(wrong(node, format!("the case `{label}` has no value"))),
        (None, Some(ty)) => return Err(wrong(node, format!("the case `{label}` has a value: {}", name(ty)))),
    };
    Ok(match ty {
        Type::Enum(_) => Val::Enum(label.to_owned()),
        _ => Val::Variant(label.to_owned(), payload),
    })
}

fn cases(ty: &Type) -> Vec<(String, Option<Type>)> {
    match ty {
        Type::Variant(variant) => variant.cases().map(|case| (case.name.to_owned(), case.ty)).collect(),
        Type::Enum(cases) => cases.names().map(|name| (name.to_owned(), None)).collect(),
        _ => Vec::new(),
    }
}

/// A value alone is meant as `some` of it, where it is no option itself.
fn option_value(text: &str, node: &Node, ty: &Type, inner: &Type) -> Result<Val, WaveError> {
    match node.as_option() {
        Ok(None) => Ok(Val::Option(None)),
        Ok(Some(node)) => Ok(Val::Option(Some(Box::new(value(text, node, inner)?)))),
        Err(_) if matches!(inner, Type::Option(_) | Type::Result(_)) => {
            Err(wrong(node, format!("expected {}", name(ty))))
        }
        Err(_) => Ok(Val::Option(Some(Box::new(value(text, node, inner)?)))),
    }
}

fn result_value(text: &str, node: &Node, ty: &Type, (ok, err): (Option<Type>, Option<Type>)) -> Result<Val, WaveError> {
    let given = node
        .as_result()
        .map_err(|_| wrong(node, format!("expected {}", name(ty))))?;
    let payload = |payload: Option<&Node>, ty: Option<Type>| match (payload, ty) {
        (Some(node), Some(ty)) => Ok(Some(Box::new(value(text, node, &ty)?))),
        (None, None) => Ok(None),
        (Some(node), None) => Err(wrong(node, "there is no value here")),
        (None, Some(ty)) => Err(wrong(node, format!("expected a value: {}", name(&ty)))),
    };
    Ok(Val::Result(match given {
        Ok(value) => Ok(payload(value, ok)?),
        Err(value) => Err(payload(value, err)?),
    }))
}

/// A type as WIT has it. Types with names of their own are spelled out: a compiled component has no names for them.
pub fn name(ty: &Type) -> String {
    let optional = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| name(&ty));
    match ty {
        Type::Bool => "bool".into(),
        Type::S8 => "s8".into(),
        Type::U8 => "u8".into(),
        Type::S16 => "s16".into(),
        Type::U16 => "u16".into(),
        Type::S32 => "s32".into(),
        Type::U32 => "u32".into(),
        Type::S64 => "s64".into(),
        Type::U64 => "u64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Char => "char".into(),
        Type::String => "string".into(),
        Type::List(list) => format!("list<{}>", name(&list.ty())),
        Type::FixedLengthList(list) => format!("list<{}, {}>", name(&list.ty()), list.len()),
        Type::Map(map) => format!("map<{}, {}>", name(&map.key()), name(&map.value())),
        Type::Tuple(tuple) => format!("tuple<{}>", joined(tuple.types().map(|ty| name(&ty)))),
        Type::Record(record) => {
            let fields = record
                .fields()
                .map(|field| format!("{}: {}", field.name, name(&field.ty)));
            format!("record {{ {} }}", joined(fields))
        }
        Type::Variant(_) => {
            let cases = cases(ty).into_iter().map(|(case, ty)| match ty {
                Some(ty) => format!("{case}({})", name(&ty)),
                None => case,
            });
            format!("variant {{ {} }}", joined(cases))
        }
        Type::Enum(of) => format!("enum {{ {} }}", joined(of.names().map(str::to_owned))),
        Type::Flags(flags) => format!("flags {{ {} }}", joined(flags.names().map(str::to_owned))),
        Type::Option(option) => format!("option<{}>", name(&option.ty())),
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => "result".into(),
            (ok, None) => format!("result<{}>", optional(ok)),
            (ok, err) => format!("result<{}, {}>", optional(ok), optional(err)),
        },
        Type::Own(_) => "resource".into(),
        Type::Borrow(_) => "borrow<resource>".into(),
        Type::Future(future) => match future.ty() {
            Some(ty) => format!("future<{}>", name(&ty)),
            None => "future".into(),
        },
        Type::Stream(stream) => match stream.ty() {
            Some(ty) => format!("stream<{}>", name(&ty)),
            None => "stream".into(),
        },
        Type::ErrorContext => "error-context".into(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A value as WAVE. What has no text of its own, such as a resource, is named in angle brackets, which WAVE has no use for.
pub fn write(value: &Val) -> String {
    let mut text = String::new();
    put(&mut text, value);
    text
}

fn put(text: &mut String, value: &Val) {
    match value {
        Val::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Val::S8(value) => number(text, value),
        Val::U8(value) => number(text, value),
        Val::S16(value) => number(text, value),
        Val::U16(value) => number(text, value),
        Val::S32(value) => number(text, value),
        Val::U32(value) => number(text, value),
        Val::S64(value) => number(text, value),
        Val::U64(value) => number(text, value),
        Val::Float32(value) => float(text, f64::from(*value), value),
        Val::Float64(value) => float(text, *value, value),
        Val::Char(value) => quoted(text, '\'', &value.to_string()),
        Val::String(value) => quoted(text, '"', value),
        Val::List(values) | Val::FixedLengthList(values) => list(text, ('[', ']'), values, put),
        Val::Tuple(values) => list(text, ('(', ')'), values, put),
        Val::Map(entries) => list(text, ('[', ']'), entries, |text, (key, value)| {
            text.push('(');
            put(text, key);
            text.push_str(", ");
            put(text, value);
            text.push(')');
        }),
        Val::Record(fields) => list(text, ('{', '}'), fields, |text, (field, value)| {
            label(text, field);
            text.push_str(": ");
            put(text, value);
        }),
        Val::Flags(flags) => list(text, ('{', '}'), flags, |text, flag| label(text, flag)),
        Val::Variant(case, payload) => {
            label(text, case);
            inside(text, payload.as_deref());
        }
        Val::Enum(case) => label(text, case),
        Val::Option(None) => text.push_str("none"),
        Val::Option(some) => {
            text.push_str("some");
            inside(text, some.as_deref());
        }
        Val::Result(Ok(value)) => {
            text.push_str("ok");
            inside(text, value.as_deref());
        }
        Val::Result(Err(value)) => {
            text.push_str("err");
            inside(text, value.as_deref());
        }
        Val::Resource(_) => text.push_str("<resource>"),
        Val::Future(_) => text.push_str("<future>"),
        Val::Stream(_) => text.push_str("<stream>"),
        Val::ErrorContext(_) => text.push_str("<error-context>"),
    }
}

fn number(text: &mut String, value: &impl std::fmt::Display) {
    // A `String` takes whatever there is.
    let _ = write!(text, "{value}");
}

fn float(text: &mut String, value: f64, written: &impl std::fmt::Display) {
    match value {
        _ if value.is_nan() => text.push_str("nan"),
        f64::INFINITY => text.push_str("inf"),
        f64::NEG_INFINITY => text.push_str("-inf"),
        _ => number(text, written),
    }
}

fn quoted(text: &mut String, quote: char, value: &str) {
    text.push(quote);
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' => text.push_str("\\\\"),
            c if c == quote => text.extend(['\\', c]),
            c if c.is_control() => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
    }
    text.push(quote);
}

fn list<T>(text: &mut String, (open, close): (char, char), values: &[T], put: impl Fn(&mut String, &T)) {
    text.push(open);
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            text.push_str(", ");
        }
        put(text, value);
    }
    text.push(close);
}

fn inside(text: &mut String, payload: Option<&Val>) {
    if let Some(payload) = payload {
        text.push('(');
        put(text, payload);
        text.push(')');
    }
}

/// A name, marked as one where it is a word of WAVE's own.
fn label(text: &mut String, name: &str) {
    if ["true", "false", "some", "none", "ok", "err", "inf", "nan"].contains(&name) {
        text.push('%');
    }
    text.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &Val, expected: &str) {
        assert_eq!(write(value), expected);
        // What is written can be read again, as far as its syntax goes.
        UntypedValue::parse(expected).unwrap();
    }

    #[test]
    fn values_are_written_as_wave_has_them() {
        let text = |text: &str| Val::String(text.into());
        check(&Val::Float32(0.1), "0.1");
        check(&Val::Float64(1e300), &format!("{}", 1e300));
        check(&Val::Float64(f64::NAN), "nan");
        check(&Val::Float32(f32::NEG_INFINITY), "-inf");
        check(&Val::Char('\''), "'\\''");
        check(&text("\u{7}\"\\\n"), "\"\\u{7}\\\"\\\\\\n\"");
        check(&Val::List(vec![]), "[]");
        check(&Val::Tuple(vec![Val::U8(1), text("a")]), "(1, \"a\")");
        let record = vec![("name".into(), text("a")), ("some".into(), Val::Option(None))];
        check(&Val::Record(record), "{name: \"a\", %some: none}");
        check(&Val::Flags(vec!["read".into(), "write".into()]), "{read, write}");
        check(&Val::Enum("true".into()), "%true");
        check(&Val::Variant("circle".into(), Some(Box::new(Val::U8(2)))), "circle(2)");
        check(&Val::Option(Some(Box::new(Val::Option(None)))), "some(none)");
        check(&Val::Result(Ok(None)), "ok");
        check(&Val::Result(Err(Some(Box::new(text("why"))))), "err(\"why\")");
    }
}

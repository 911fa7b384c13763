//! What is different between two files, and whether those who use the first break with the second.
//!
//! Whoever calls a component counts on its exports; whoever runs it, on having all of its imports. So an export that is gone or
//! has another type breaks, and so does an import that is new, or a function of an import whose version was raised; but for imports that
//! every app here has, which only hosts elsewhere may lack. Versions on one track stand in for each other, as the component
//! model has it: `a:b/c@1.2.0` is found again as `a:b/c@1.3.0`.

use std::fmt;

use serde::Serialize;

use super::world::Item;
use super::{Description, Kind, Source};
use crate::inspect::InterfaceName;

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Whether anybody breaks.
    pub breaks: bool,
    /// One by one: imports, then exports, then what the file is.
    pub changes: Vec<Change>,
    /// The sizes of both.
    pub bytes: [u64; 2],
    /// Sections, nested ones included, whose sizes differ: the name, and both sizes.
    pub sections: Vec<(String, u64, u64)>,
    /// Code of crates and packages, likewise.
    pub code: Vec<(String, u64, u64)>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it means.
    pub effect: Effect,
    /// Where: `import a:b/c@1.0.0`, `export a:b/c@1.0.0: function f`.
    pub place: String,
    /// What is different there.
    pub what: String,
}

/// What a difference means for those who use the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Somebody breaks.
    Breaks,
    /// It needs more than before, which every app here has.
    Needs,
    /// Nobody does.
    Compatible,
}

impl Changes {
    /// What has changed from `old` to `new`.
    pub fn between(old: &Description, new: &Description) -> Self {
        let mut changes = List::default();
        if old.kind != new.kind {
            changes.add(
                Effect::Breaks,
                "the file".to_owned(),
                format!("was {}, is {}", old.kind, new.kind),
            );
        }
        changes.compare("import", &imports(old), &imports(new));
        changes.compare("export", &exports(old), &exports(new));
        if new.invalid != old.invalid && new.invalid.is_some() {
            changes.add(
                Effect::Breaks,
                "the file".to_owned(),
                "is not valid any more".to_owned(),
            );
        }
        if old.uses != new.uses {
            let what = format!("was {}, is {}", old.uses.join(" and "), new.uses.join(" and "));
            // What was counted on is among the exports, which have been compared.
            changes.add(Effect::Compatible, "what it is".to_owned(), what);
        }
        Self {
            format: super::FORMAT,
            breaks: changes.0.iter().any(|change| change.effect == Effect::Breaks),
            changes: changes.0,
            bytes: [old.bytes, new.bytes],
            sections: sizes(old, new, |part| {
                part.sections
                    .iter()
                    .map(|section| (section.name.as_str(), section.bytes))
                    .collect()
            }),
            code: sizes(old, new, |part| {
                part.code
                    .iter()
                    .map(|group| (group.name.as_str(), group.bytes))
                    .collect()
            }),
        }
    }
}

fn imports(file: &Description) -> Vec<Side<'_>> {
    file.imports
        .iter()
        .map(|need| Side {
            always_there: need.from == Source::Always,
            ..Side::new(&need.name, need.required, &need.items)
        })
        .collect()
}

fn exports(file: &Description) -> Vec<Side<'_>> {
    file.exports
        .iter()
        .map(|offer| Side::new(&offer.name, true, &offer.items))
        .collect()
}

/// An import or an export.
struct Side<'a> {
    name: &'a str,
    interface: Option<InterfaceName>,
    required: bool,
    /// An import that every app has.
    always_there: bool,
    items: &'a [Item],
}

impl<'a> Side<'a> {
    fn new(name: &'a str, required: bool, items: &'a [Item]) -> Self {
        Self {
            name,
            interface: name.parse().ok(),
            required,
            always_there: false,
            items,
        }
    }

    /// Whether `other` is the same, under the same version or another one of its track.
    fn is(&self, other: &Self) -> bool {
        let same_track = |a: &InterfaceName, b: &InterfaceName| {
            a.path() == b.path() && a.track().is_some() && a.track() == b.track()
        };
        let tracks = self.interface.as_ref().zip(other.interface.as_ref());
        self.name == other.name || tracks.is_some_and(|(a, b)| same_track(a, b))
    }
}

impl Side<'_> {
    /// What it means that this is new, where it would mean `effect` of any other.
    fn effect(&self, effect: Effect) -> Effect {
        match effect {
            Effect::Breaks if self.always_there => Effect::Needs,
            effect => effect,
        }
    }
}

#[derive(Default)]
struct List(Vec<Change>);

impl List {
    fn add(&mut self, effect: Effect, place: String, what: String) {
        self.0.push(Change { effect, place, what });
    }

    /// `kind` is `import` or `export`: what is gone breaks the one, what is new the other.
    fn compare(&mut self, kind: &str, old: &[Side<'_>], new: &[Side<'_>]) {
        let (gone, added) = match kind {
            "export" => (Effect::Breaks, Effect::Compatible),
            _ => (Effect::Compatible, Effect::Breaks),
        };
        for side in old {
            match new.iter().find(|other| side.is(other)) {
                None => self.add(gone, format!("{kind} {}", side.name), "is gone".to_owned()),
                Some(other) => {
                    if side.name != other.name {
                        let what = format!("is {} now, which stands in for it", other.name);
                        self.add(Effect::Compatible, format!("{kind} {}", side.name), what);
                    }
                    // Whoever gives an interface gives all of it; only a newer version may have what an older one lacks.
                    let added = match side.name == other.name {
                        true => Effect::Compatible,
                        false => other.effect(added),
                    };
                    self.compare_items(kind, other.name, side.items, other.items, (gone, added));
                }
            }
        }
        for side in new.iter().filter(|side| !old.iter().any(|other| side.is(other))) {
            let effect = if side.required {
                side.effect(added)
            } else {
                Effect::Compatible
            };
            self.add(effect, format!("{kind} {}", side.name), "is new".to_owned());
        }
    }

    fn compare_items(&mut self, kind: &str, name: &str, old: &[Item], new: &[Item], (gone, added): (Effect, Effect)) {
        let place = |item: &Item| {
            let word = if item.is_function { "function" } else { "type" };
            format!("{kind} {name}: {word} {}", item.name)
        };
        let same = |a: &Item, b: &Item| a.name == b.name && a.is_function == b.is_function;
        for item in old {
            match new.iter().find(|other| same(item, other)) {
                None => self.add(gone, place(item), "is gone".to_owned()),
                Some(other) if !is_same_text(&other.text, &item.text) => {
                    let what = format!("was `{}`, is `{}`", one_line(&item.text), one_line(&other.text));
                    self.add(Effect::Breaks, place(item), what);
                }
                Some(_) => {}
            }
        }
        for item in new.iter().filter(|item| !old.iter().any(|other| same(item, other))) {
            // A type that nobody knew of is in nobody's way; what uses it has changed by itself.
            let effect = if item.is_function { added } else { Effect::Compatible };
            self.add(effect, place(item), format!("is new: `{}`", one_line(&item.text)));
        }
    }
}

/// Whether two declarations mean the same: word for word, or a type of another interface's, under a version that stands in for the other.
fn is_same_text(a: &str, b: &str) -> bool {
    let used = |text: &str| {
        let (interface, names) = text.strip_prefix("use ")?.rsplit_once(".{")?;
        let interface: InterfaceName = interface.parse().ok()?;
        Some((interface.path(), interface.track()?, names.to_owned()))
    };
    a == b || used(a).is_some_and(|a| used(b) == Some(a))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What has another size, all parts of a file together; what has changed most comes first.
fn sizes(
    old: &Description,
    new: &Description,
    of: impl for<'a> Fn(&'a super::Part) -> Vec<(&'a str, u64)>,
) -> Vec<(String, u64, u64)> {
    let mut sizes: Vec<(String, u64, u64)> = Vec::new();
    let mut add = |name: &str, before: u64, after: u64| match sizes.iter_mut().find(|(known, ..)| known == name) {
        Some((_, a, b)) => (*a, *b) = (*a + before, *b + after),
        None => sizes.push((name.to_owned(), before, after)),
    };
    if let Some(part) = &old.part {
        part.each(0, &mut |part, _| {
            of(part).into_iter().for_each(|(name, bytes)| add(name, bytes, 0))
        });
    }
    if let Some(part) = &new.part {
        part.each(0, &mut |part, _| {
            of(part).into_iter().for_each(|(name, bytes)| add(name, 0, bytes))
        });
    }
    sizes.retain(|(_, before, after)| before != after);
    sizes.sort_by_key(|(_, before, after)| std::cmp::Reverse(before.abs_diff(*after)));
    sizes
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Component => "a component",
            Kind::Module => "a core module",
            Kind::WitPackage => "a WIT package in binary form",
            Kind::Compiled => "compiled code",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::describe;
    use super::*;

    /// A component with these imports and exports, each an interface with functions `NAME(PARAMS)`.
    fn component(imports: &[(&str, &[&str])], exports: &[(&str, &[&str])]) -> Description {
        let function = |ty: &&str| format!("(export {ty})");
        let imports: String = imports
            .iter()
            .map(|(name, functions)| {
                let functions: String = functions.iter().map(function).collect();
                format!("(import {name:?} (instance {functions}))")
            })
            .collect();
        // What is exported comes from an import of the inside, so that no code is needed.
        let exports: String = exports
            .iter()
            .enumerate()
            .map(|(n, (name, functions))| {
                let functions: String = functions.iter().map(function).collect();
                format!("(import \"in:side/n{n}\" (instance $i{n} {functions})) (export {name:?} (instance $i{n}))")
            })
            .collect();
        describe(&format!("(component {imports} {exports})"))
    }

    const F: &str = "\"f\" (func)";
    const F_OF_STRING: &str = "\"f\" (func (param \"a\" string))";
    const G: &str = "\"g\" (func)";

    #[track_caller]
    fn check(old: &Description, new: &Description, breaks: bool, parts: &[&str]) {
        let changes = Changes::between(old, new);
        let told: Vec<_> = changes
            .changes
            .iter()
            .filter(|change| !change.place.contains("in:side"))
            .map(|change| format!("{:?} {} {}", change.effect, change.place, change.what))
            .collect();
        let does_break = told.iter().any(|line| line.starts_with("Breaks"));
        assert_eq!(does_break, breaks, "{told:#?}");
        assert_eq!(told.len(), parts.len(), "{told:#?}");
        for part in parts {
            assert!(told.iter().any(|line| line.contains(part)), "{part} in {told:#?}");
        }
    }

    #[test]
    fn an_export_that_is_gone_or_changed_breaks_and_a_new_one_does_not() {
        let with = |exports: &[(&str, &[&str])]| component(&[], exports);
        let old = with(&[("a:b/c@1.0.0", &[F])]);
        check(&old, &old, false, &[]);
        check(
            &old,
            &with(&[]),
            true,
            &[
                "Breaks export a:b/c@1.0.0 is gone",
                "Compatible what it is was a library",
            ],
        );
        check(
            &old,
            &with(&[("a:b/c@1.0.0", &[F, G])]),
            false,
            &["Compatible export a:b/c@1.0.0: function g is new: `func()`"],
        );
        check(
            &with(&[("a:b/c@1.0.0", &[F, G])]),
            &old,
            true,
            &["Breaks export a:b/c@1.0.0: function g is gone"],
        );
        check(
            &old,
            &with(&[("a:b/c@1.0.0", &[F_OF_STRING])]),
            true,
            &["function f was `func()`, is `func(a: string)`"],
        );
    }

    #[test]
    fn an_import_that_is_new_breaks_and_one_that_is_gone_does_not() {
        let with = |imports: &[(&str, &[&str])]| component(imports, &[]);
        let (none, one) = (with(&[]), with(&[("a:b/c@1.0.0", &[F])]));
        check(&none, &one, true, &["Breaks import a:b/c@1.0.0 is new"]);
        check(&one, &none, false, &["Compatible import a:b/c@1.0.0 is gone"]);
        let two = &with(&[("a:b/c@1.0.0", &[F, G])]);
        check(&one, two, false, &["Compatible import a:b/c@1.0.0: function g is new"]);
        let newer = with(&[("a:b/c@1.1.0", &[F, G])]);
        check(
            &one,
            &newer,
            true,
            &[
                "Compatible import a:b/c@1.0.0 is a:b/c@1.1.0 now",
                "Breaks import a:b/c@1.1.0: function g is new",
            ],
        );
        check(
            &none,
            &with(&[("a:b/types@1.0.0", &[])]),
            false,
            &["Compatible import a:b/types@1.0.0 is new"],
        );
    }

    #[test]
    fn an_import_that_every_app_has_is_needed_and_breaks_nobody() {
        let with = |imports: &[(&str, &[&str])]| component(imports, &[]);
        let exit: (&str, &[&str]) = ("wasi:cli/exit@0.3.0", &[F]);
        check(
            &with(&[]),
            &with(&[exit]),
            false,
            &["Needs import wasi:cli/exit@0.3.0 is new"],
        );
        let newer: (&str, &[&str]) = ("wasi:cli/exit@0.3.2", &[F, G]);
        check(
            &with(&[exit]),
            &with(&[newer]),
            false,
            &[
                "Compatible import wasi:cli/exit@0.3.0 is wasi:cli/exit@0.3.2 now",
                "Needs import wasi:cli/exit@0.3.2: function g is new",
            ],
        );
    }

    #[test]
    fn versions_of_one_track_stand_in_for_each_other() {
        let with = |version: &str| component(&[], &[(&format!("a:b/c@{version}"), &[F])]);
        check(
            &with("1.0.0"),
            &with("1.4.0"),
            false,
            &["is a:b/c@1.4.0 now, which stands in for it"],
        );
        check(
            &with("1.0.0"),
            &with("2.0.0"),
            true,
            &[
                "Breaks export a:b/c@1.0.0 is gone",
                "Compatible export a:b/c@2.0.0 is new",
            ],
        );
        check(
            &with("0.3.0-rc-1"),
            &with("0.3.0"),
            true,
            &[
                "Breaks export a:b/c@0.3.0-rc-1 is gone",
                "Compatible export a:b/c@0.3.0 is new",
            ],
        );
    }

    /// As a toolchain's next release has them: what an interface takes from another is the same thing under both versions.
    #[test]
    fn types_of_interfaces_of_one_track_are_the_same() {
        let with = |version: &str| {
            describe(&format!(
                r#"(component
                    (import "a:b/types@{version}" (instance $types (export "t" (type (sub resource)))))
                    (alias export $types "t" (type $t))
                    (import "a:b/c@{version}" (instance
                        (alias outer 1 $t (type $u))
                        (export "t" (type $v (eq $u)))
                        (export "f" (func (param "t" (borrow $v)))))))"#
            ))
        };
        let newer = [
            "Compatible import a:b/types@1.0.0 is a:b/types@1.4.0 now",
            "Compatible import a:b/c@1.0.0 is a:b/c@1.4.0 now",
        ];
        check(&with("1.0.0"), &with("1.4.0"), false, &newer);
        assert!(!is_same_text("use a:b/types@1.0.0.{t};", "use a:b/types@2.0.0.{t};"));
        assert!(!is_same_text(
            "use a:b/types@1.0.0.{t};",
            "use a:b/types@1.0.0.{u as t};"
        ));
    }

    #[test]
    fn sizes_of_sections_and_crates_are_compared() {
        let with = |code: &str| {
            describe(&format!(
                "(component (core module (func $runtime.a {code}) (func $main.b)))"
            ))
        };
        let changes = Changes::between(&with(""), &with("nop nop nop"));
        assert_eq!(changes.code.len(), 1);
        let (name, before, after) = &changes.code[0];
        assert_eq!((name.as_str(), after - before), ("runtime", 3));
        assert_eq!(changes.sections[0].0, "code");
        assert!(!changes.breaks);
    }
}

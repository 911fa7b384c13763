//! Who made a component: of everything inside it that says so, what holds for the whole.
//!
//! A component of a language that is interpreted carries the interpreter, which is written in another language, and one for WASI 0.1 an
//! adapter, which is in Rust. Rust's standard library brings one of C. None of these is what somebody has written.

use std::collections::BTreeSet;

use wasmparser::{ComponentName, CustomSectionReader, KnownCustom, Name};

use super::Producers;

/// What `wit-component` calls the adapters that it puts into components.
const ADAPTER: &str = "wit-component:adapter:";

/// A language whose components carry its interpreter.
struct Interpreted {
    language: &'static str,
    /// What puts the interpreter there.
    tool: &'static str,
    /// What the interpreter is called among a component's modules and instances.
    interpreter: &'static str,
    /// The export that the tool calls, and leaves there.
    leaves: &'static str,
}

const INTERPRETED: [Interpreted; 2] = [
    Interpreted {
        language: "Python",
        tool: "componentize-py",
        interpreter: "libcomponentize_py_runtime.so",
        leaves: "exports",
    },
    Interpreted {
        language: "JavaScript",
        tool: "componentize-qjs",
        interpreter: "componentize_qjs_runtime.wasm",
        leaves: "init",
    },
];

/// The export that the toolchain of this language leaves in components.
pub(super) fn leaves(language: &str) -> Option<&'static str> {
    let known = INTERPRETED.iter().find(|known| known.language == language)?;
    Some(known.leaves)
}

/// Collects who made what, while the parts of a file are read: the outermost, and those that are open within it.
#[derive(Default)]
pub(super) struct Makers {
    outermost: Making,
    open: Vec<Making>,
}

/// Who made a part, and what is in it.
#[derive(Default)]
struct Making {
    is_module: bool,
    /// As its own sections say.
    own: Producers,
    /// The modules in it, in their order.
    modules: Vec<Producers>,
    /// What the components in it come to.
    components: Producers,
    /// Which of the modules are adapters.
    adapters: BTreeSet<usize>,
    interpreted: Option<&'static Interpreted>,
}

impl Makers {
    /// A module, or a component, begins.
    pub(super) fn enter(&mut self, is_module: bool) {
        self.open.push(Making {
            is_module,
            ..Making::default()
        });
    }

    /// The part that began last has ended.
    pub(super) fn leave(&mut self) {
        let Some(mut ended) = self.open.pop() else { return };
        let parent = self.open.last_mut().unwrap_or(&mut self.outermost);
        match ended.is_module {
            true => {
                parent.interpreted = parent.interpreted.or(ended.interpreted);
                leave_out_library(&mut ended.own);
                parent.modules.push(ended.own);
            }
            false => parent.components.merge(ended.finish()),
        }
    }

    /// A custom section of the part that is open.
    pub(super) fn section(&mut self, section: &CustomSectionReader<'_>) {
        let making = self.open.last_mut().unwrap_or(&mut self.outermost);
        // Names help people; what cannot be read of them is left out.
        match section.as_known() {
            KnownCustom::Producers(producers) => making.own.add(producers),
            KnownCustom::Name(names) => {
                for name in names.into_iter().map_while(Result::ok) {
                    if let Name::Module { name, .. } = name {
                        making.name(name);
                    }
                }
            }
            KnownCustom::ComponentName(names) => {
                for name in names.into_iter().map_while(Result::ok) {
                    making.names(name);
                }
            }
            _ => {}
        }
    }

    /// Who made the whole.
    pub(super) fn finish(self) -> Producers {
        let mut all = self.outermost.finish();
        let named = all.tools.clone();
        let is_said_better = |name: &str| {
            named
                .iter()
                .any(|(other, version)| other == name && !version.is_empty())
        };
        all.tools
            .retain(|(name, version)| !version.is_empty() || !is_said_better(name));
        all
    }
}

/// What of a module in Rust is in C, its standard library brings, as far as anybody can tell.
fn leave_out_library(made: &mut Producers) {
    if made.languages.iter().any(|(name, _)| name == "Rust") {
        made.languages.retain(|(name, _)| !name.starts_with('C'));
    }
}

impl Making {
    fn names(&mut self, names: ComponentName<'_>) {
        let (ComponentName::CoreModules(map) | ComponentName::CoreInstances(map)) = &names else {
            return;
        };
        let is_of_modules = matches!(names, ComponentName::CoreModules(_));
        for naming in map.clone().map_while(Result::ok) {
            self.name(naming.name);
            if is_of_modules && naming.name.starts_with(ADAPTER) {
                self.adapters.insert(naming.index as usize);
            }
        }
    }

    fn name(&mut self, name: &str) {
        let interpreted = INTERPRETED.iter().find(|known| known.interpreter == name);
        self.interpreted = self.interpreted.or(interpreted);
    }

    fn finish(mut self) -> Producers {
        if let Some(interpreted) = self.interpreted {
            let entry = |name: &str| (name.to_owned(), String::new());
            if self.own.languages.is_empty() {
                self.own.languages.push(entry(interpreted.language));
            }
            if !self.own.tools.iter().any(|(name, _)| name == interpreted.tool) {
                self.own.tools.push(entry(interpreted.tool));
            }
        }
        let mut all = Producers::default();
        for (nth, made) in self.modules.into_iter().enumerate() {
            if !self.adapters.contains(&nth) {
                all.merge(made);
            }
        }
        all.merge(self.components);
        // The whole says what it was written in: what it carries is not.
        if !self.own.languages.is_empty() {
            all.languages.clear();
        }
        all.merge(self.own);
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::inspect::Inspection;

    /// The languages and tools of a component in text form, and what it offers.
    #[track_caller]
    fn check(text: &str, languages: &[&str], tools: &[&str], offers: &[&str]) {
        let inspection = Inspection::new(&wat::parse_str(text).unwrap()).unwrap();
        let names = |entries: &[(String, String)]| entries.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&inspection.producers.languages), languages);
        assert_eq!(names(&inspection.producers.tools), tools);
        let offered: Vec<_> = inspection.offers().map(|export| export.name.as_str()).collect();
        assert_eq!(offered, offers);
    }

    #[test]
    fn adapters_and_interpreters_are_not_what_somebody_has_written() {
        check(
            r#"(component
                (core module (@producers (language "Go" "1.27") (processed-by "compile" "1.27")))
                (core module $"wit-component:adapter:wasi_snapshot_preview1"
                    (@producers (language "Rust" "") (processed-by "rustc" "1.97"))))"#,
            &["Go"],
            &["compile"],
            &[],
        );
        check(
            r#"(component
                (core module $libcomponentize_py_runtime.so (@producers (language "Rust" "") (processed-by "rustc" "1.97")))
                (instance $i)
                (export "exports" (instance $i)) (export "wasi:http/handler@0.3.0" (instance $i)))"#,
            &["Python"],
            &["rustc", "componentize-py"],
            &["wasi:http/handler@0.3.0"],
        );
        // The tool says itself what it is.
        check(
            r#"(component
                (component (core module $componentize_qjs_runtime.wasm (@producers (language "Rust" ""))))
                (instance $i)
                (export "init" (instance $i)) (export "a:b/c" (instance $i))
                (@producers (language "JavaScript" "") (processed-by "componentize-qjs" "0.4.5")))"#,
            &["JavaScript"],
            &["componentize-qjs"],
            &["a:b/c"],
        );
        // Another language's `init` is meant for others.
        check(
            r#"(component (core module (@producers (language "Rust" ""))) (instance $i) (export "init" (instance $i)))"#,
            &["Rust"],
            &[],
            &["init"],
        );
    }

    #[test]
    fn of_several_components_in_one_each_has_its_language() {
        check(
            r#"(component
                (component (core module (@producers (language "Rust" ""))))
                (component
                    (core module $libcomponentize_py_runtime.so (@producers (language "Rust" "")))
                    (@producers (language "Python" "") (processed-by "componentize-py" "0.25.1")))
                (component (core module (@producers (language "Go" "1.27")))))"#,
            &["Rust", "Python", "Go"],
            &["componentize-py"],
            &[],
        );
    }
}

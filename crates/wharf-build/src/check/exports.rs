//! Whether the source has what its world exports, where the toolchain would not ask, or would ask in terms of its own.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::modules::{Class, Meaning, Module, Modules};
use super::{Note, upper_camel};
use crate::BuildError;
use crate::world::{Export, Function, World};

/// A class of the name of an exported interface has to derive from the generated one, and to have what is async there as `async def` and
/// nothing else so: otherwise it builds, and then calls trap. It may be written in any module of the project.
pub(super) fn of_python(folder: &Path, entry: &str, world: &World) -> Result<Vec<Note>, BuildError> {
    let modules = Modules::new(folder);
    let Some(module) = modules.read(entry) else {
        return Ok(Vec::new());
    };
    let mut notes = Vec::new();
    for export in world.exports().iter().filter(|export| export.is_interface) {
        let Some(class) = class(&modules, &module, &upper_camel(&export.name))? else {
            continue;
        };
        for function in &export.functions {
            notes.extend(method(&class.module.file, &class.module.code, class.name(), function)?);
        }
    }
    Ok(notes)
}

/// The class that a module exports by this name, if the text tells.
///
/// # Errors
/// There is none, or it does not derive from the generated one.
fn class(modules: &Modules<'_>, module: &Rc<Module>, name: &str) -> Result<Option<Class>, BuildError> {
    let generated = generated(name);
    let class = match modules.meaning(module, name) {
        Meaning::Class(class) => class,
        Meaning::Module(_) | Meaning::Unknown => return Ok(None),
        Meaning::Outside(other) if other != generated => return Ok(None),
        // It is spoken of: somebody may set it in a way that is not known here.
        Meaning::Nothing if mentions(&module.code.replace(&format!("exports.{name}"), ""), name) => return Ok(None),
        // The generated one, of which others derive, is not it.
        Meaning::Nothing | Meaning::Outside(_) => {
            return Err(BuildError::Source(format!(
                "{}: there is no class {name}, which the world exports: `class {name}(exports.{name}):`, with `from wit_world import \
                 exports` above",
                module.file.display()
            )));
        }
    };
    if derives(modules, &class, &generated, &mut vec![class.clone()]) == Some(false) {
        let own = class.name();
        let note = Note {
            file: class.module.file.clone(),
            line: Some(class.line()),
            message: format!(
                "the class {own} has to derive from {generated}, or every call of it traps: `class {own}(exports.{name}):`"
            ),
        };
        return Err(BuildError::Source(note.to_string()));
    }
    Ok(Some(class))
}

/// The full name of the generated class.
fn generated(name: &str) -> String {
    format!("wit_world.exports.{name}")
}

/// Whether a class derives from the one that is generated; `None` where the text does not tell. `seen` are classes that were looked at.
fn derives(modules: &Modules<'_>, class: &Class, generated: &str, seen: &mut Vec<Class>) -> Option<bool> {
    /// Those of Python's own, which derive from nothing generated, and what says how a class is made.
    const OWN: [&str; 6] = [
        "abc.ABC",
        "abc.ABCMeta",
        "typing.Generic",
        "typing.Protocol",
        "object",
        "Exception",
    ];
    let mut is_told = !class.is_decorated();
    for base in class.bases() {
        let base = base.strip_prefix("metaclass=").unwrap_or(base);
        // `Generic[T]`.
        let base = base.split('[').next().unwrap_or(base);
        let is_one = match modules.meaning(&class.module, base) {
            Meaning::Class(base) if seen.iter().any(|known| known.is(&base)) => Some(false),
            Meaning::Class(base) => {
                seen.push(base.clone());
                derives(modules, &base, generated, seen)
            }
            Meaning::Outside(base) if base == generated => Some(true),
            Meaning::Outside(base) => OWN.contains(&&*base).then_some(false),
            Meaning::Nothing => OWN.contains(&base).then_some(false),
            Meaning::Module(_) | Meaning::Unknown => None,
        };
        if is_one == Some(true) {
            return is_one;
        }
        is_told &= is_one.is_some();
    }
    is_told.then_some(false)
}

/// Where a class of this name is, by lines from 0.
fn find_class(source: &str, name: &str) -> Option<usize> {
    let is_class = |line: &str| {
        let own = line.strip_prefix("class ").map(str::trim_start);
        let rest = own.and_then(|own| own.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with([':', '(', ' ']))
    };
    source.lines().position(is_class)
}

/// What the class `name` has for a function of its interface, if that stands in its body.
fn method(file: &Path, source: &str, name: &str, function: &Function) -> Result<Option<Note>, BuildError> {
    let Some((nth, is_async)) = find_method(source, name, &function.name.replace('-', "_")) else {
        return Ok(None);
    };
    let note = |message: String| Note {
        file: file.to_owned(),
        line: Some(nth + 1),
        message,
    };
    let python = function.name.replace('-', "_");
    match (function.is_async, is_async) {
        // It may return something that can be awaited.
        (true, false) => Ok(Some(note(format!(
            "{python} is async in the WIT: each call traps unless it returns what can be awaited; write `async def {python}`"
        )))),
        (false, true) => {
            let message = format!("{python} is not async in the WIT, and each call would trap: write `def {python}`");
            Err(BuildError::Source(note(message).to_string()))
        }
        _ => Ok(None),
    }
}

/// Where the body of a class has this method, by lines from 0, and whether it is async. One that is decorated may be anything.
fn find_method(source: &str, class: &str, name: &str) -> Option<(usize, bool)> {
    let start = find_class(source, class)?;
    let lines: Vec<&str> = source.lines().collect();
    let is_inside = |line: &&str| line.trim().is_empty() || line.starts_with([' ', '\t']);
    let mut body = lines
        .iter()
        .enumerate()
        .skip(start + 1)
        .take_while(|(_, line)| is_inside(line));
    body.find_map(|(nth, line)| {
        let line = line.trim_start();
        let (is_async, rest) = match line.strip_prefix("async ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, line),
        };
        let rest = rest.strip_prefix("def ")?.trim_start().strip_prefix(name)?;
        let is_decorated = lines[nth - 1].trim_start().starts_with('@');
        (rest.trim_start().starts_with('(') && !is_decorated).then_some((nth, is_async))
    })
}

/// Modules that lack what the world exports build, and then every call traps.
pub(super) fn of_javascript(file: &Path, source: &str, world: &World) -> Result<Vec<Note>, BuildError> {
    let Some(exported) = exported_names(source) else {
        return Ok(Vec::new());
    };
    let mut notes = Vec::new();
    for export in world.exports().iter().filter(|export| export.is_alone) {
        let name = lower_camel(&export.name);
        let Some((_, line)) = exported.iter().find(|(known, _)| *known == name) else {
            return Err(BuildError::Source(format!(
                "{}: the module exports no {name}, which the world {} exports, so that every call would trap: {}",
                file.display(),
                world.name(),
                wanted(export, &name)
            )));
        };
        // Of what this file does not name, nobody can tell: it may have come from another.
        let lacking = export.functions.iter().map(|function| lower_camel(&function.name));
        let is_named = |function: &str| code(source).any(|line| mentions(line, function));
        let mut lacking = lacking.filter(|function| !is_named(function));
        if let Some(function) = lacking.next() {
            let note = |seems: &str| Note {
                file: file.to_owned(),
                line: Some(*line),
                message: format!("{name} {seems} {function}, which the world exports: each call of it would trap"),
            };
            // What is written down whole in this file is as it stands there.
            match is_literal(source, *line, &name) {
                true => return Err(BuildError::Source(note("lacks").to_string())),
                false => notes.push(note("seems to lack")),
            }
        }
    }
    Ok(notes)
}

/// Whether an export is an object that is written down in this file, from this line on, and takes nothing from elsewhere.
fn is_literal(source: &str, line: usize, name: &str) -> bool {
    let text = source.lines().nth(line - 1).unwrap_or_default();
    let value = text.split_once(name).and_then(|(_, rest)| rest.split_once('='));
    value.is_some_and(|(_, value)| value.trim_start().starts_with('{'))
        && !code(source).any(|line| line.contains("..."))
}

/// The lines of a module that are no comments.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn wanted(export: &Export, name: &str) -> String {
    if !export.is_interface {
        return format!("`export function {name}() {{ ... }}`");
    }
    let functions = export.functions.iter().map(|function| lower_camel(&function.name));
    let functions: Vec<_> = functions.collect();
    format!("`export const {name} = {{ ... }}` with {}", functions.join(", "))
}

/// What a module exports, with the lines; `None` where this cannot be told from its text.
fn exported_names(source: &str) -> Option<Vec<(String, usize)>> {
    const WORDS: [&str; 7] = ["async", "function", "function*", "const", "let", "var", "class"];
    let mut names = Vec::new();
    for (at, word) in source.match_indices("export") {
        let line = source[..at].matches('\n').count() + 1;
        let rest = &source[at + word.len()..];
        let is_word = rest.starts_with(|c: char| c.is_whitespace() || "{*".contains(c));
        if !is_word || source[..at].chars().next_back().is_some_and(is_of_word) {
            continue;
        }
        let rest = rest.trim_start();
        if rest.starts_with('*') {
            return None;
        }
        if let Some(list) = rest.strip_prefix('{').and_then(|list| list.split('}').next()) {
            let last = |item: &str| item.split_whitespace().next_back().map(str::to_owned);
            names.extend(list.split(',').filter_map(last).map(|name| (name, line)));
            continue;
        }
        let mut words = rest.split_whitespace().skip_while(|word| WORDS.contains(word));
        let name = words.next().unwrap_or_default();
        let name: String = name
            .trim_start_matches('*')
            .chars()
            .take_while(|c| is_of_word(*c))
            .collect();
        names.push((name, line));
    }
    Some(names)
}

/// What is exported of a Go module stands in packages that the generated ones, whose source this is, import by name.
pub(crate) fn of_go(folder: &Path, module: &str, generated: &str) -> Result<(), BuildError> {
    let before = format!("\"{module}/exports/");
    let imports = generated
        .lines()
        .filter_map(|line| line.trim().strip_prefix(&*before)?.strip_suffix('"'));
    for package in imports.filter(|package| package.starts_with("export_")) {
        go_package(&folder.join("exports").join(package), package)?;
    }
    Ok(())
}

fn go_package(folder: &Path, name: &str) -> Result<(), BuildError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|found| found == "go"))
        .collect();
    files.sort();
    // Made of the WIT, where an interface has resources.
    files.retain(|file| file.file_name().is_some_and(|name| name != "wit_bindings.go"));
    if files.is_empty() {
        return Err(BuildError::Source(format!(
            "{}: there is no Go file, and the world exports what belongs there: a file with `package {name}` and the functions that the WIT \
             has, such as Total for `total`",
            folder.display()
        )));
    }
    for file in files {
        let source = fs::read_to_string(&file).unwrap_or_default();
        let mut lines = source.lines().enumerate();
        let declared =
            lines.find_map(|(nth, line)| Some((nth + 1, line.strip_prefix("package ")?.split("//").next()?.trim())));
        if let Some((line, declared)) = declared.filter(|(_, declared)| *declared != name) {
            return Err(BuildError::Source(format!(
                "{}:{line}: the package is called {declared}, and has to be called as its folder is: `package {name}`",
                file.display()
            )));
        }
    }
    Ok(())
}

/// `greet-all` to `greetAll`.
fn lower_camel(name: &str) -> String {
    let upper = upper_camel(name);
    let mut letters = upper.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a line has a word, which may end in what no word has.
pub(super) fn mentions(line: &str, word: &str) -> bool {
    let mut found = line.match_indices(word);
    found.any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let goes_on = |c: char| is_of_word(c) && word.ends_with(is_of_word);
        !before.is_some_and(is_of_word) && !after.is_some_and(goes_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_exported_derives_from_the_generated_one() {
        let folder = std::env::temp_dir().join(format!("wharf-build-python-{}", std::process::id()));
        let check = |files: &[(&str, &str)], expected: Result<(), &str>| {
            let _ = fs::remove_dir_all(&folder);
            for (name, source) in files {
                let file = folder.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, source).unwrap();
            }
            let modules = Modules::new(&folder);
            let entry = match folder.join("app.py").exists() {
                true => "app",
                false => "shop.app",
            };
            let found = class(&modules, &modules.read(entry).unwrap(), "IncomingHandler");
            match (found.map(drop), expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(expected)) => {
                    let error = error.to_string().replace(&format!("{}/", folder.display()), "");
                    assert!(error.starts_with(expected), "{files:?}: {error}");
                }
                (found, _) => panic!("{files:?}: {found:?}"),
            }
        };
        for right in [
            "class IncomingHandler(exports.IncomingHandler):",
            "import wit_world\nclass IncomingHandler(wit_world.exports.IncomingHandler, Base):",
            "import wit_world.exports as e\nclass IncomingHandler(e.IncomingHandler):",
            "from wit_world.exports import IncomingHandler as Base\nclass IncomingHandler(Base):",
            "from wit_world.exports import IncomingHandler\nclass IncomingHandler(IncomingHandler):",
            "from wit_world import exports\nclass IncomingHandler(\n    exports.IncomingHandler,  # (generated\n):",
            "from wit_world import exports\nclass Base(exports.IncomingHandler):\n  pass\nclass IncomingHandler(Base):",
            // What the text does not tell.
            "from handlers import IncomingHandler",
            "from handlers import *",
            "from handlers import Base\nclass IncomingHandler(Base):",
            "class IncomingHandler(object, Base):",
            "class IncomingHandler(make(object)):",
            "@derived\nclass IncomingHandler:",
            "class IncomingHandler:\n  pass\nIncomingHandler = derived(IncomingHandler)",
            "IncomingHandler = make()",
            "IncomingHandler: type = make()",
            "A = IncomingHandler = make()",
            "A, IncomingHandler = make()",
            "print(IncomingHandler := make())",
            "def make():\n  global IncomingHandler\n  IncomingHandler = 1\nmake()",
            "class IncomingHandler:\n  pass\ndef make():\n  global IncomingHandler\n  IncomingHandler = 1\nmake()",
            "import app\napp.IncomingHandler = make()",
            "if True:\n    IncomingHandler = make()",
            "try:\n    from fast import IncomingHandler\nexcept ImportError:\n    class IncomingHandler:\n        pass",
            "globals()['IncomingHandler'] = make()",
            "IncomingHandler = IncomingHandler",
        ] {
            check(&[("app.py", right)], Ok(()));
        }
        let said = "app.py:2: the class IncomingHandler has to derive from wit_world.exports.IncomingHandler";
        for wrong in [
            "\nclass IncomingHandler:",
            "\nclass IncomingHandler():",
            "\nclass IncomingHandler(object): pass; a = 1",
            "from typing import Generic\nclass IncomingHandler(Generic[T]):",
            "import abc\nclass IncomingHandler(metaclass=abc.ABCMeta):",
            "import abc\nclass IncomingHandler(Base):\n  pass\nclass Base(abc.ABC):",
            "\nclass IncomingHandler(Base):\n  pass\nclass Base(IncomingHandler):",
            "\nclass IncomingHandler:\n  '''\nclass IncomingHandler(exports.IncomingHandler):\n'''",
        ] {
            check(&[("app.py", wrong)], Err(said));
        }
        let said = "app.py: there is no class IncomingHandler";
        for wrong in [
            "class IncomingHandlers:",
            "# IncomingHandler",
            "class MyHandler(exports.IncomingHandler):",
            "from wit_world.exports import IncomingHandler\nclass MyHandler(IncomingHandler):",
            "",
        ] {
            check(&[("app.py", wrong)], Err(said));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_class_may_come_from_another_module() {
        const GOOD: &str = "from wit_world import exports\nclass Handler(exports.Greeter):\n    pass\n";
        const BAD: &str = "\nclass Handler:\n    pass\n";
        let folder = std::env::temp_dir().join(format!("wharf-build-modules-{}", std::process::id()));
        // What the entry has to say of a class in the modules `impl` and `deep.impl`, whichever it means.
        let told = |entry: &str, source: &str, written: &str| {
            let files = [
                (entry, source),
                ("impl.py", written),
                ("deep/impl.py", written),
                ("deep/__init__.py", "from .impl import Handler\n"),
            ];
            for (name, source) in files {
                let file = folder.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, source).unwrap();
            }
            let modules = Modules::new(&folder);
            let entry = entry.trim_end_matches(".py").replace('/', ".");
            let found = class(&modules, &modules.read(&entry).unwrap(), "Greeter");
            let error = found.err().map(|error| error.to_string()).unwrap_or_default();
            error.replace(&format!("{}/", folder.display()), "")
        };
        let said = "the class Handler has to derive from wit_world.exports.Greeter";
        for (entry, source, place) in [
            ("app.py", "from impl import Handler as Greeter", "impl.py:2"),
            (
                "app.py",
                "from impl import (\n  other,\n  Handler as Greeter,\n)",
                "impl.py:2",
            ),
            ("app.py", "from impl import \\\n  Handler as Greeter", "impl.py:2"),
            ("app.py", "import impl\nGreeter = impl.Handler", "impl.py:2"),
            ("app.py", "import impl as i; Greeter = i.Handler", "impl.py:2"),
            ("app.py", "from impl import Handler\nGreeter = Handler", "impl.py:2"),
            (
                "app.py",
                "from impl import Handler\nGreeter: type = Handler",
                "impl.py:2",
            ),
            ("app.py", "from deep.impl import Handler as Greeter", "deep/impl.py:2"),
            (
                "app.py",
                "import deep.impl\nGreeter = deep.impl.Handler",
                "deep/impl.py:2",
            ),
            (
                "app.py",
                "from deep import impl\nGreeter = impl.Handler",
                "deep/impl.py:2",
            ),
            ("app.py", "from deep import Handler as Greeter", "deep/impl.py:2"),
            ("deep/app.py", "from .impl import Handler as Greeter", "deep/impl.py:2"),
            (
                "deep/app.py",
                "from . import impl\nGreeter = impl.Handler",
                "deep/impl.py:2",
            ),
            ("deep/app.py", "from impl import Handler as Greeter", "impl.py:2"),
        ] {
            assert_eq!(told(entry, source, GOOD), "", "{source}");
            let wrong = told(entry, source, BAD);
            assert!(wrong.starts_with(&format!("{place}: {said}")), "{source}: {wrong}");
            assert_eq!(told(entry, source, "Handler = make()"), "", "{source}");
            assert_eq!(told(entry, source, ""), "", "{source}");
        }
        let said = "app.py:2: the class Greeter has to derive";
        for source in [
            "from impl import Handler\nclass Greeter(Handler):",
            "import impl\nclass Greeter(impl.Handler):",
        ] {
            assert_eq!(told("app.py", source, GOOD), "", "{source}");
            let wrong = told("app.py", source, BAD);
            assert!(wrong.starts_with(said), "{source}: {wrong}");
        }
        // Out of all packages there is nothing.
        assert_eq!(told("deep/app.py", "from ..impl import Handler as Greeter", BAD), "");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_method_is_async_where_the_wit_has_it_so() {
        #[track_caller]
        fn check(is_async: bool, body: &str, expected: Result<usize, &str>) {
            let function = Function {
                name: "greet-all".to_owned(),
                is_async,
            };
            let source = format!("class Greeter(exports.Greeter):\n{body}\n\ndef greet_all(self):\n");
            match (method(Path::new("app.py"), &source, "Greeter", &function), expected) {
                (Ok(note), Ok(count)) => assert_eq!(note.iter().count(), count, "{note:?}"),
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
                (found, _) => panic!("{found:?}"),
            }
        }
        check(true, "    async def greet_all(self, names):", Ok(0));
        check(true, "    def greet_all(self, names):", Ok(1));
        check(true, "    @wrapped\n    def greet_all(self, names):", Ok(0));
        check(true, "    greet_all = other", Ok(0));
        check(true, "    def greet_all_of(self, names):", Ok(0));
        check(false, "    def greet_all(self, names):", Ok(0));
        check(
            false,
            "    x = 1\n\n    async def greet_all(self):",
            Err("app.py:4: greet_all is not async in the WIT"),
        );
    }

    #[test]
    fn only_what_is_written_down_whole_is_known_to_lack_something() {
        for (source, expected) in [
            ("export const handler = {\n};\n// ...", true),
            ("export const handler = { ...others };", false),
            ("export const handler = make();", false),
            ("export class handler {}", false),
            ("export { handler };", false),
        ] {
            assert_eq!(is_literal(source, 1, "handler"), expected, "{source}");
        }
    }

    #[test]
    fn what_a_module_exports_is_read() {
        #[track_caller]
        fn check(source: &str, expected: Option<&[(&str, usize)]>) {
            let found = exported_names(source);
            let found: Option<Vec<_>> = found
                .as_ref()
                .map(|names| names.iter().map(|(name, line)| (&**name, *line)).collect());
            assert_eq!(found.as_deref(), expected, "{source}");
        }
        check("export const handler = {};", Some(&[("handler", 1)]));
        check("a\nexport async function doIt() {}\n", Some(&[("doIt", 2)]));
        check(
            "export function* rows() {}\nexport class A{}",
            Some(&[("rows", 1), ("A", 2)]),
        );
        check("\n\nexport{a as handler,b};", Some(&[("handler", 3), ("b", 3)]));
        check("const exports = 1; exporter();", Some(&[]));
        check("export * from \"./a.js\";", None);
    }

    #[test]
    fn words_are_whole() {
        for (line, word, expected) in [
            ("a.greet(b)", "greet", true),
            ("greetAll()", "greet", false),
            ("regreet()", "greet", false),
            ("prefetch(x)", "fetch(", false),
            ("await fetch(x)", "fetch(", true),
        ] {
            assert_eq!(mentions(line, word), expected, "{line}");
        }
    }

    #[test]
    fn packages_of_go_are_where_and_what_the_generated_one_asks_for() {
        let folder = std::env::temp_dir().join(format!("wharf-build-exports-{}", std::process::id()));
        let generated = "import (\n\"shop/exports/export_acme_shop_cart\"\n\"shop/imports/a\"\n)\n";
        let package = folder.join("exports/export_acme_shop_cart");
        fs::create_dir_all(&package).unwrap();
        let check = |source: Option<&str>, expected: &str| {
            let file = package.join("cart.go");
            if let Some(source) = source {
                fs::write(&file, source).unwrap();
            }
            match of_go(&folder, "shop", generated) {
                Ok(()) => assert_eq!(expected, ""),
                Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
            }
        };
        check(None, "export_acme_shop_cart: there is no Go file");
        check(
            Some("// Ours.\npackage cart\n"),
            "cart.go:2: the package is called cart, and has to",
        );
        check(Some("package export_acme_shop_cart // it sells\n"), "");
        fs::remove_dir_all(&folder).unwrap();
    }
}

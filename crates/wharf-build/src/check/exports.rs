//! Whether the source has what its world exports, where the toolchain would not ask, or would ask in terms of its own.

use std::fs;
use std::path::Path;

use super::{Note, upper_camel};
use crate::BuildError;
use crate::world::{Export, World};

/// A class of the name of an exported interface has to derive from the generated one: otherwise it builds, and then every call traps.
pub(super) fn of_python(file: &Path, source: &str, world: &World) -> Result<Vec<Note>, BuildError> {
    let mut notes = Vec::new();
    for export in world.exports().iter().filter(|export| export.is_interface) {
        notes.extend(class(file, source, &upper_camel(&export.name))?);
    }
    Ok(notes)
}

fn class(file: &Path, source: &str, name: &str) -> Result<Option<Note>, BuildError> {
    let wants = format!("`class {name}(exports.{name}):`");
    let Some((nth, rest)) = source.lines().enumerate().find_map(|(nth, line)| {
        let rest = line.strip_prefix("class ")?.trim_start().strip_prefix(name)?;
        rest.starts_with([':', '(', ' ']).then_some((nth, rest))
    }) else {
        // It may come from another module, or be made. The generated one, of which others derive, is not it.
        let generated = format!("exports.{name}");
        let is_named =
            |line: &str| mentions(&line.replace(&generated, ""), name) && !line.trim_start().starts_with('#');
        let is_open = |line: &str| line.contains("import *") || line.contains("globals()");
        return match source.lines().any(|line| is_named(line) || is_open(line)) {
            true => Ok(None),
            false => Err(BuildError::Source(format!(
                "{}: there is no class {name}, which the world exports: {wants}, with `from wit_world import exports` above",
                file.display()
            ))),
        };
    };
    let note = Note {
        file: file.to_owned(),
        line: nth + 1,
        message: format!(
            "the class {name} has to derive from wit_world.exports.{name}, or every call of it traps: {wants}"
        ),
    };
    let bases = rest
        .trim_start()
        .strip_prefix('(')
        .and_then(|rest| rest.split(')').next());
    match bases.map(str::trim).filter(|bases| !bases.is_empty()) {
        Some(bases) if bases.split(',').any(|base| base.trim().ends_with(name)) => Ok(None),
        // By way of another class, perhaps.
        Some(_) => Ok(Some(note)),
        None => Err(BuildError::Source(note.to_string())),
    }
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
        let lacking = export.functions.iter().map(|function| lower_camel(function));
        let mut lacking = lacking.filter(|function| !source.lines().any(|line| mentions(line, function)));
        if let Some(function) = lacking.next() {
            notes.push(Note {
                file: file.to_owned(),
                line: *line,
                message: format!(
                    "{name} seems to lack {function}, which the world exports: each call of it would trap"
                ),
            });
        }
    }
    Ok(notes)
}

fn wanted(export: &Export, name: &str) -> String {
    if !export.is_interface {
        return format!("`export function {name}() {{ ... }}`");
    }
    let functions: Vec<_> = export.functions.iter().map(|function| lower_camel(function)).collect();
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

fn is_of_word(c: char) -> bool {
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
        #[track_caller]
        fn check(source: &str, expected: Result<usize, &str>) {
            let found = class(Path::new("app.py"), source, "IncomingHandler");
            match (found, expected) {
                (Ok(note), Ok(count)) => assert_eq!(note.iter().count(), count, "{note:?}"),
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
                (found, _) => panic!("{found:?}"),
            }
        }
        check("class IncomingHandler(exports.IncomingHandler):", Ok(0));
        check("class IncomingHandler(wit_world.exports.IncomingHandler, Base):", Ok(0));
        check("from handlers import IncomingHandler", Ok(0));
        check("IncomingHandler = make()", Ok(0));
        check("from handlers import *", Ok(0));
        check("class IncomingHandler(Base):", Ok(1));
        let said = "app.py:2: the class IncomingHandler has to derive from wit_world.exports.IncomingHandler";
        check("\nclass IncomingHandler:", Err(said));
        check("\nclass IncomingHandler():", Err(said));
        let said = "app.py: there is no class IncomingHandler";
        check("class IncomingHandlers:", Err(said));
        check("# IncomingHandler", Err(said));
        check("class MyHandler(exports.IncomingHandler):", Err(said));
        check("", Err(said));
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

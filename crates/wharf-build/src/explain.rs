//! What a tool's complaint means for who wrote the source: toolchains speak of files that they have made themselves, and of their
//! insides.
//!
//! Reads what tools of known versions say. Where it knows nothing to say, the tool's own words stand alone.

use std::path::Path;

use wharf_app::app::Language;

use crate::world::World;
use crate::{BuildError, Job, check, python};

/// The error, with an explanation before it where there is one.
pub(crate) fn explained(error: BuildError, language: Language, job: &Job, world: &World) -> BuildError {
    let explanation = match &error {
        BuildError::Failed { output, .. } => match language {
            Language::Python => of_python(output, job, world),
            Language::JavaScript => of_javascript(output, job, world),
            Language::Go => of_go(output, job),
            Language::Rust | Language::C => None,
        },
        BuildError::Encode(message) => of_encoding(message, language, job, world),
        _ => None,
    };
    match explanation {
        Some(explanation) => BuildError::Explained {
            explanation,
            source: Box::new(error),
        },
        None => error,
    }
}

fn of_python(output: &str, job: &Job, world: &World) -> Option<String> {
    let entry = job.build.entry.as_deref().unwrap_or(python::ENTRY);
    let module = format!("module '{entry}' has no attribute '");
    if let Some(name) = between(output, &module, "'") {
        if name == "WitWorld" {
            return Some(format!(
                "the world {} exports functions of its own, which {entry} has to have in `class WitWorld(wit_world.WitWorld):`",
                world.name()
            ));
        }
        return Some(format!(
            "the world {} exports what the module {entry} has to have as {name}: for an interface, `class {name}(wit_world.exports.{name}):` \
             with its functions",
            world.name()
        ));
    }
    if let Some((class, lacking)) = lacking(output) {
        return Some(format!(
            "the class {class} lacks {lacking}, which the WIT in {} exports: those that are `async func` there are `async def`",
            job.build.wit.display()
        ));
    }
    let module = between(output, "ModuleNotFoundError: No module named '", "'")?;
    if let Some(resource) = world.exported_resources(&module.replace('_', "-")).first() {
        return Some(format!(
            "the interface {module} is exported with the resource {resource}, whose class componentize-py looks for in a module of the \
             interface's name: write {module}.py beside {entry}.py, where it derives from its like in wit_world.exports.{module}"
        ));
    }
    Some(format!(
        "the module {module} is neither beside {entry}.py nor installed where componentize-py looks, which is the virtual environment that is \
         active (`. .venv/bin/activate`); packages that are not in Python alone have to be built for WebAssembly"
    ))
}

/// A class and its missing functions: `abstract class Greeter without an implementation for abstract methods 'greet', 'greet_all'`.
fn lacking(output: &str) -> Option<(&str, &str)> {
    let mut lines = output.lines();
    let said = lines.find_map(|line| Some(line.split_once("Can't instantiate abstract class ")?.1))?;
    let (class, functions) = said.split_once(" without an implementation for abstract method")?;
    Some((class, functions.trim_start_matches('s').trim()))
}

fn of_javascript(output: &str, job: &Job, world: &World) -> Option<String> {
    if let Some(module) = between(output, "Error resolving module '", "'") {
        let what = unresolved(module, world);
        let place = check::place_of(job, "js", &[&format!("\"{module}\""), &format!("'{module}'")]);
        return Some(format!("{}{what}", place.unwrap_or_default()));
    }
    let mut lines = output.lines();
    let name = lines.find_map(|line| line.strip_suffix(" is not defined")?.rsplit(' ').next())?;
    // Any other is a slip in the source, and the engine says where.
    if !NOT_IN_THE_ENGINE.contains(&name) {
        return None;
    }
    // The innermost function first: `    at greet (/greeting.js:7:15)`.
    let at = lines.next().and_then(|line| between(line, "(/", ")"));
    let place = at.and_then(|at| at.rsplit_once(':')).map(|(place, _)| {
        let folder = job.build.folder.display();
        format!("{folder}/{place}: ")
    });
    Some(format!(
        "{}the engine in the component has no {name}: it knows the language, with no console, no timers, no TextEncoder and no fetch; what a \
         component reaches is imported, as the WIT has it",
        place.unwrap_or_default()
    ))
}

/// What a browser or Node.js has and the engine has not, of what people use most.
const NOT_IN_THE_ENGINE: [&str; 22] = [
    "AbortController",
    "Blob",
    "Buffer",
    "Headers",
    "Intl",
    "Request",
    "Response",
    "TextDecoder",
    "TextEncoder",
    "URL",
    "URLSearchParams",
    "console",
    "crypto",
    "fetch",
    "performance",
    "process",
    "require",
    "setImmediate",
    "setInterval",
    "setTimeout",
    "structuredClone",
    "window",
];

/// Why there is no such module.
fn unresolved(module: &str, world: &World) -> String {
    let is_of_node = module.starts_with("node:") || NODE_MODULES.contains(&module);
    if is_of_node {
        return format!(
            "{module} is a module of Node.js, which is not there in a component; import what the WIT has in its place"
        );
    }
    if module.starts_with(['.', '/']) {
        return format!("there is no file {module}, seen from the one that imports it");
    }
    if !module.contains(':') {
        return format!(
            "there is no package {module} in node_modules: `npm install {module}`; one that uses Node.js's own modules does not work"
        );
    }
    let unversioned = module.split('@').next().unwrap_or(module);
    let imports = world.imports();
    let other = imports.iter().find(|name| name.split('@').next() == Some(unversioned));
    match other {
        Some(other) => format!("the world {} imports {other}, not {module}", world.name()),
        None => format!(
            "the world {} does not import {module}: add `import {module};` to it in the WIT (`wharf wit add {}` brings the declaration \
             where it is one of WASI's or Wharf's)",
            world.name(),
            module.split('/').next().unwrap_or(module)
        ),
    }
}

/// Those that people import without `node:`.
const NODE_MODULES: [&str; 16] = [
    "assert",
    "buffer",
    "child_process",
    "crypto",
    "events",
    "fs",
    "fs/promises",
    "http",
    "https",
    "net",
    "os",
    "path",
    "process",
    "stream",
    "url",
    "util",
];

fn of_go(output: &str, job: &Job) -> Option<String> {
    let folder = job.build.folder.display();
    if output.contains("no Go files in") {
        return Some(format!(
            "{folder} needs a main.go with `package main`, `func main() {{}}` and `import _ \"MODULE/exports/wit_exports\"`, MODULE being the \
             name in go.mod"
        ));
    }
    // In what was generated, of what people write: `undefined: export_acme_shop_cart.Total`.
    let mut lines = output.lines().filter(|line| line.contains("exports/wit_exports/"));
    let (package, function) = lines.find_map(|line| line.split_once("undefined: export_")?.1.split_once('.'))?;
    // `Total (but have Totals)`
    let function = function.split(' ').next().unwrap_or(function);
    Some(format!(
        "the WIT exports a function that is {function} in Go, and the package in {folder}/exports/export_{package} has none of that name"
    ))
}

/// The compiler was content, and something that the world exports is not in what it made.
fn of_encoding(message: &str, language: Language, job: &Job, world: &World) -> Option<String> {
    let export = message.split_once("failed to find export of ")?.1;
    let what = match language {
        Language::Go => format!(
            "{} has to import it by `import _ \"MODULE/exports/wit_exports\"`, MODULE being the name in go.mod",
            job.build.folder.join("main.go").display()
        ),
        _ => return None,
    };
    Some(format!(
        "the world {} exports what is not in the program, {export}: {what}",
        world.name()
    ))
}

/// What stands between two texts on a line, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1.lines().next()?;
    Some(rest.split_once(after)?.0)
}

/// Where componentize-py's own insides begin, and what comes before what it has to say.
pub(crate) fn without_insides_of_python(error: BuildError, folder: &Path) -> BuildError {
    let BuildError::Failed {
        command,
        status,
        output,
    } = error
    else {
        return error;
    };
    let said = output
        .split_once("\nAssertionError: ")
        .map_or(&*output, |(_, said)| said);
    let said = said.split("\nStack backtrace:").next().unwrap_or(said).trim();
    // Where the first folder of sources is while it imports them.
    let own = format!("File \"{}/", folder.display());
    BuildError::Failed {
        command,
        status,
        output: said.replace("File \"/0/", &own),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use wharf_app::app::{Build, Recipe};
    use wit_bindgen_core::wit_parser::Resolve;

    use super::*;
    use crate::{Children, Data};

    /// A project that is nowhere, so that no place in a source is found but what the output itself says.
    fn job(language: Language) -> Job {
        let folder = PathBuf::from("/nowhere/shop");
        Job {
            name: "shop".to_owned(),
            build: Build {
                recipe: Recipe::Language(language),
                wit: folder.join("wit"),
                folder,
                world: None,
                entry: None,
                inputs: Vec::new(),
            },
            component: PathBuf::from("/nowhere/shop/shop.wasm"),
            state: PathBuf::from("/nowhere/shop/.wharf"),
            data: Data::default(),
            children: Children::default(),
        }
    }

    fn world() -> World {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str(
                "shop.wit",
                "package acme:shop; \
                 interface cart { total: func() -> u32; } \
                 interface price-list { resource price; } \
                 world service { import acme:clock/clock@1.2.0; export cart; export price-list; } \
                 package acme:clock@1.2.0 { interface clock { now: func() -> u64; } }",
            )
            .unwrap();
        let id = resolve.select_world(&[package], None).unwrap();
        let package = Some(package);
        World { resolve, package, id }
    }

    /// What is said of an output has all `parts`; where there are none, nothing is said.
    #[track_caller]
    fn check(language: Language, output: &str, parts: &[&str]) {
        let error = BuildError::Failed {
            command: "`tool`".to_owned(),
            status: "exit status: 1".to_owned(),
            output: output.to_owned(),
        };
        check_error(language, error, parts);
    }

    #[track_caller]
    fn check_error(language: Language, error: BuildError, parts: &[&str]) {
        let explanation = match explained(error, language, &job(language), &world()) {
            BuildError::Explained { explanation, .. } => Some(explanation),
            _ => None,
        };
        assert_eq!(explanation.is_some(), !parts.is_empty(), "{explanation:?}");
        let explanation = explanation.unwrap_or_default();
        for part in parts {
            assert!(explanation.contains(part), "{part:?} is not in {explanation:?}");
        }
    }

    /// As componentize-qjs 0.4.5 says it.
    #[track_caller]
    fn check_javascript(said: &str, parts: &[&str]) {
        let output = format!(
            "componentize-qjs\n  WIT:    wit\n  JS:     /nowhere/shop/app.js\n  Output: /nowhere/shop/.wharf/component.wasm\n\
             Error: : Failed to evaluate user JavaScript module: Failed to finish JavaScript module evaluation: {said}\n"
        );
        check(Language::JavaScript, &output, parts);
    }

    #[test]
    fn what_the_javascript_engine_lacks_is_told_from_slips() {
        for said in [
            "Error: function name expected\n    at /app.js:38:10\n",
            "Error: variable name expected\n    at /greeting.js:7:5\n",
            "Error: boom\n    at <anonymous> (/app.js:38:11)\n",
            "Error: invalid redefinition of global identifier\n    at /app.js:38:15\n",
            "Error: cannot read property 'x' of null\n    at <anonymous> (/app.js:38:1)\n",
            "Error: greting is not defined\n    at <anonymous> (/app.js:38:1)\n",
            "Error: it is not defined yet\n    at <anonymous> (/app.js:38:1)\n",
            "Error: Could not find export 'nothing' in module '/greeting.js'\n",
            "Exception generated by quickjs: String(Ok(\"plain\"))\n",
            "Error blocking on a promise resulted in a dead lock",
        ] {
            check_javascript(said, &[]);
        }
        check_javascript(
            "Error: console is not defined\n    at <anonymous> (/app.js:38:1)\n",
            &["/nowhere/shop/app.js:38: the engine in the component has no console: "],
        );
        check_javascript(
            "Error: TextEncoder is not defined\n    at greet (/text/greeting.js:7:15)\n    at <anonymous> (/app.js:3:1)\n",
            &["/nowhere/shop/text/greeting.js:7: the engine in the component has no TextEncoder: "],
        );
        check_javascript(
            "Error: fetch is not defined",
            &["the engine in the component has no fetch: "],
        );
    }

    #[test]
    fn a_javascript_module_that_is_not_there_is_told_by_its_kind() {
        for (module, part) in [
            ("node:fs", "node:fs is a module of Node.js"),
            ("fs/promises", "fs/promises is a module of Node.js"),
            ("./nothing.js", "there is no file ./nothing.js"),
            ("lodash", "`npm install lodash`"),
            (
                "acme:clock/clock@1.0.0",
                "the world service imports acme:clock/clock@1.2.0, not acme:clock/clock@1.0.0",
            ),
            (
                "wasi:cli/environment@0.3.2",
                "add `import wasi:cli/environment@0.3.2;` to it in the WIT (`wharf wit add wasi:cli` ",
            ),
        ] {
            let said = format!(
                "Error: Error resolving module '{module}' from '/app.js': filesystem module not found: failed to resolve JavaScript import \
                 \"{module}\" from /nowhere/shop/app.js\n"
            );
            check_javascript(&said, &[part]);
        }
    }

    /// As Go 1.27.3 says it.
    #[test]
    fn what_a_go_program_lacks_is_told_in_its_terms() {
        let check = |output, parts: &[&str]| check(Language::Go, output, parts);
        check("no Go files in /nowhere/shop", &["/nowhere/shop needs a main.go with"]);
        check(
            "# shop/exports/wit_exports\nexports/wit_exports/wit_exports.go:34:44: undefined: export_acme_shop_cart.Total",
            &[
                "a function that is Total in Go, and the package in /nowhere/shop/exports/export_acme_shop_cart has none of that name",
            ],
        );
        check(
            "# shop/exports/wit_exports\nexports/wit_exports/wit_exports.go:81:38: undefined: export_acme_shop_cart.Total (but have Totals)",
            &["a function that is Total in Go, "],
        );
        // The user's own.
        check("# shop\n./main.go:9:2: undefined: export_acme_shop_cart.Sum", &[]);
        check("# shop\n./main.go:8:1: syntax error: unexpected EOF, expected )", &[]);
        check("-buildmode=c-shared requires exactly one main package", &[]);
    }

    #[test]
    fn a_program_without_its_exports_is_told_what_to_import() {
        let message = "failed to decode world from module: module was not valid: failed to find export of interface `acme:shop/cart` function \
                       `total`";
        let encode = |message: &str| BuildError::Encode(message.to_owned());
        let parts =
            ["interface `acme:shop/cart` function `total`: /nowhere/shop/main.go has to import it by `import _"];
        check_error(Language::Go, encode(message), &parts);
        check_error(Language::C, encode(message), &[]);
        check_error(Language::Go, encode("the module is too large"), &[]);
    }

    /// As componentize-py 0.25.1 says it, without what is left out of it.
    #[test]
    fn what_a_python_module_lacks_is_told_in_its_terms() {
        let check = |output, parts: &[&str]| check(Language::Python, output, parts);
        check(
            "AttributeError: module 'app' has no attribute 'Cart'. Did you mean: 'Cat'?",
            &["the module app has to have as Cart: for an interface, `class Cart(wit_world.exports.Cart):`"],
        );
        check(
            "AttributeError: module 'app' has no attribute 'WitWorld'. Did you mean: 'wit_world'?",
            &["`class WitWorld(wit_world.WitWorld):`"],
        );
        check(
            "TypeError: Can't instantiate abstract class Cart without an implementation for abstract method 'total'\n\nCaused by: it",
            &["the class Cart lacks 'total', which the WIT in /nowhere/shop/wit exports"],
        );
        check(
            "TypeError: Can't instantiate abstract class Cart without an implementation for abstract methods 'sum', 'total'",
            &["the class Cart lacks 'sum', 'total', which"],
        );
        check(
            "Traceback (most recent call last):\n  File \"/nowhere/shop/app.py\", line 8, in <module>\n    import numpie\n\
             ModuleNotFoundError: No module named 'numpie'",
            &["the module numpie is neither beside app.py nor installed"],
        );
        check(
            "ModuleNotFoundError: No module named 'price_list'",
            &["the resource price, whose class", "write price_list.py beside app.py"],
        );
        check(
            "File \"/nowhere/shop/app.py\", line 40\n    def (\n        ^\nSyntaxError: invalid syntax",
            &[],
        );
        check("Traceback (most recent call last):\nValueError: boom", &[]);
    }

    #[test]
    fn what_componentize_py_says_of_itself_is_left_out() {
        let error = BuildError::Failed {
            command: String::new(),
            status: String::new(),
            output: "Traceback (most recent call last):\n  File \"componentize-py\", line 8, in <module>\nAssertionError:   File \"/0/app.py\", \
                     line 22\nSyntaxError: no\n\nStack backtrace:\n   0: anyhow"
                .to_owned(),
        };
        let BuildError::Failed { output, .. } = without_insides_of_python(error, Path::new("/shop")) else {
            panic!("another error");
        };
        assert_eq!(output, "File \"/shop/app.py\", line 22\nSyntaxError: no");
    }
}

//! What a tool's complaint means for who wrote the source: toolchains speak of files that they have made themselves, and of their
//! insides.
//!
//! Reads what tools of known versions say. Where it knows nothing to say, the tool's own words stand alone.

use std::path::Path;

use wharf_app::app::Language;

use crate::world::World;
use crate::{BuildError, Job, check, javascript, python};

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
    if let Some(class) = between(output, "Can't instantiate abstract class ", " ") {
        let lacking = between(output, "abstract method", "\n").unwrap_or_default();
        let lacking = lacking.trim_start_matches(['s', ' ']).trim();
        return Some(format!(
            "the class {class} lacks {lacking}, which the WIT in {} exports: those that are `async func` there are `async def`",
            job.build.wit.display()
        ));
    }
    let module = between(output, "ModuleNotFoundError: No module named '", "'")?;
    Some(format!(
        "the module {module} is neither beside {entry}.py nor installed where componentize-py looks, which is the virtual environment that is \
         active (`. .venv/bin/activate`); packages that are not in Python alone have to be built for WebAssembly"
    ))
}

fn of_javascript(output: &str, job: &Job, world: &World) -> Option<String> {
    if let Some(module) = between(output, "Error resolving module '", "'") {
        let what = unresolved(module, world);
        let place = check::place_of(job, "js", &[&format!("\"{module}\""), &format!("'{module}'")]);
        return Some(format!("{}{what}", place.unwrap_or_default()));
    }
    let name = between(output, "Error: ", " is not defined")?;
    let name = name.rsplit(' ').next().unwrap_or(name);
    let entry = job.build.entry.as_deref().unwrap_or(javascript::ENTRY);
    let line = between(output, &format!("(/{entry}:"), ":").map(|line| format!("{entry}:{line}: "));
    let place = line.or_else(|| check::place_of(job, "js", &[name]));
    Some(format!(
        "{}the engine in the component has no {name}: it knows the language, with no console, no timers, no TextEncoder and no fetch; what a \
         component reaches is imported, as the WIT has it",
        place.unwrap_or_default()
    ))
}

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

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split(after).next().unwrap_or(rest))
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
    use super::*;

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

//! Rust: Cargo, and the target that components are built for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{run, shown};
use crate::tools::Tools;
use crate::{BuildError, Job};

/// The target whose programs are components.
pub const TARGET: &str = "wasm32-wasip2";

/// A call of Cargo. What this process's own Cargo has told it of the package that it runs is kept from the call: build scripts that look
/// at it would find it changed, and compile anew each time that Cargo is called from here and by hand in turn.
#[must_use]
pub fn command(cargo: &Path) -> Command {
    without_own_package(Command::new(cargo))
}

fn without_own_package(mut command: Command) -> Command {
    let is_of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_a_package)) {
        command.env_remove(name);
    }
    command
}

/// Where the compiler `rustc` has the standard library for `target`, if it has. The compiler is asked, not rustup: one from elsewhere
/// may have it, too.
///
/// # Errors
/// When the compiler cannot be asked.
pub fn library_folder(rustc: &Path, target: &str) -> Result<Option<PathBuf>, BuildError> {
    let mut command = Command::new(rustc);
    let output = run(command.args(["--print", "target-libdir", "--target", target]))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output).trim_end());
    Ok(folder.is_dir().then_some(folder))
}

/// Something that Cargo has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The name of the target: a library's, a program's, an example's.
    pub name: String,
    /// `cdylib`, `bin`, `example`.
    pub kind: String,
    /// The component.
    pub file: PathBuf,
    /// Whether it was there already.
    pub fresh: bool,
}

/// The components among what `cargo build --message-format json-render-diagnostics` says that it has built, in its order.
///
/// # Errors
/// The line that is no JSON.
pub fn artifacts(messages: &[u8]) -> Result<Vec<Artifact>, serde_json::Error> {
    let lines = messages.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<Value> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
    Ok(messages.iter().filter_map(artifact).collect())
}

fn artifact(message: &Value) -> Option<Artifact> {
    let files = message["filenames"]
        .as_array()
        .filter(|_| message["reason"] == "compiler-artifact")?;
    let file = files
        .iter()
        .filter_map(Value::as_str)
        .find(|file| file.ends_with(".wasm"))?;
    Some(Artifact {
        name: message["target"]["name"].as_str()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        file: file.into(),
        fresh: message["fresh"] == true,
    })
}

/// Builds the package of a job; returns what was built. Cargo knows by itself what has changed.
pub(crate) fn build(job: &Job, tools: &Tools) -> Result<Artifact, BuildError> {
    let mut command = without_own_package(tools.command("cargo"));
    command.current_dir(&job.build.folder);
    command.args([
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    if let Some(package) = &job.build.entry {
        command.args(["--package", package]);
    }
    let messages = job.children.run(&mut command).map_err(without_messages)?;
    let built = artifacts(&messages).map_err(|error| BuildError::Unexpected {
        command: shown(&command),
        what: error.to_string(),
    })?;
    choose(built, &job.component, &shown(&command))
}

/// What Cargo says to people: what it says to programs stands on its standard output, a line for each crate.
fn without_messages(error: BuildError) -> BuildError {
    match error {
        BuildError::Failed {
            command,
            status,
            output,
        } => {
            let lines = output.lines().filter(|line| !line.starts_with("{\"reason\":"));
            BuildError::Failed {
                command,
                status,
                output: lines.collect::<Vec<_>>().join("\n"),
            }
        }
        error => error,
    }
}

/// The one component that was built, or that of the name that is asked for.
fn choose(built: Vec<Artifact>, component: &Path, command: &str) -> Result<Artifact, BuildError> {
    let mut built: Vec<_> = built
        .into_iter()
        .filter(|built| matches!(&*built.kind, "cdylib" | "bin"))
        .collect();
    if let [_] = built[..] {
        return Ok(built.remove(0));
    }
    let stem = |file: &Path| file.file_stem().map(|stem| stem.to_string_lossy().replace('-', "_"));
    let nothing = |help: String| BuildError::Nothing {
        command: command.to_owned(),
        help,
    };
    if built.is_empty() {
        let help = "a library is a component where Cargo.toml says so, by `crate-type = [\"cdylib\"]` under `[lib]`";
        return Err(nothing(help.to_owned()));
    }
    let names: Vec<_> = built.iter().map(|built| built.name.clone()).collect();
    let named = built.into_iter().find(|built| stem(&built.file) == stem(component));
    named.ok_or_else(|| {
        nothing(format!(
            "of {}, none has the name of {}; `entry` of the manifest's `build` says which package is meant",
            names.join(", "),
            component.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, name: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","fresh":true,"target":{{"kind":["{kind}"],"name":"{name}"}},"filenames":["x/{name}.d","x/{name}.wasm"]}}"#
        )
    }

    #[test]
    fn components_are_told_from_what_else_is_built() {
        let library =
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"filenames":["liba.rlib"]}"#;
        let end = r#"{"reason":"build-finished","success":true}"#;
        let messages = [library, &message("example", "a-b"), end, ""].join("\n");
        let expected = Artifact {
            name: "a-b".to_owned(),
            kind: "example".to_owned(),
            file: "x/a-b.wasm".into(),
            fresh: true,
        };
        assert_eq!(artifacts(messages.as_bytes()).unwrap(), [expected]);
        artifacts(b"cargo: hello").unwrap_err();
    }

    #[test]
    fn of_several_components_the_one_of_the_right_name_is_taken() {
        #[track_caller]
        fn check(built: &[(&str, &str)], component: &str, expected: Result<&str, &str>) {
            let messages: Vec<_> = built.iter().map(|(kind, name)| message(kind, name)).collect();
            let built = artifacts(messages.join("\n").as_bytes()).unwrap();
            let chosen = choose(built, Path::new(component), "`cargo`");
            match (
                chosen.map(|chosen| chosen.name).map_err(|error| error.to_string()),
                expected,
            ) {
                (Ok(name), expected) => assert_eq!(Ok(&*name), expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (Err(error), Ok(_)) => panic!("{error}"),
            }
        }
        check(&[("cdylib", "a")], "other.wasm", Ok("a"));
        check(&[("cdylib", "a"), ("bin", "to_ol")], "to-ol.wasm", Ok("to_ol"));
        check(
            &[("cdylib", "a"), ("bin", "b")],
            "c.wasm",
            Err("of a, b, none has the name of c.wasm"),
        );
        check(&[("lib", "a")], "a.wasm", Err("crate-type = [\"cdylib\"]"));
    }
}

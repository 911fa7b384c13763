//! Go: its own compiler, with bindings made from the WIT.
//!
//! The project is a module of Go's. Bindings are written into it, so that editors find them: what it imports below `imports`, what it
//! exports below `exports`, where the project's own code stands beside it. Their library, and a hook in Go's runtime that no released Go
//! has, are given to the compiler from the build's own folder.

mod runtime;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use wit_bindgen_core::Files;
use wit_bindgen_go::{Format, Opts};

use crate::files::{read, read_text, remove, store};
use crate::process::{run, shown};
use crate::tools::Tools;
use crate::world::World;
use crate::{BuildError, Job, check, component};

/// What Go calls the library of the bindings.
const LIBRARY: &str = "go.bytecodealliance.org/pkg";

/// Its files, by their names.
static LIBRARY_FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// Compiles the job's module and makes it a component.
pub(crate) fn build(job: &Job, tools: &Tools, world: &World) -> Result<Vec<u8>, BuildError> {
    let folder = &job.build.folder;
    let file = folder.join("go.mod");
    if !file.is_file() {
        let message = format!(
            "there is no {}: `go mod init shop` makes one, for a module called shop",
            file.display()
        );
        return Err(BuildError::Source(message));
    }
    let manifest = read_text(&file)?;
    let Some(module) = module_name(&manifest) else {
        let message = format!("{} does not name its module: `module shop`", file.display());
        return Err(BuildError::Source(message));
    };
    let go = Go::find(tools.path("go"))?;
    generate(world, module, job)?;
    let modfile = modfile(job, &manifest)?;
    let overlay = go.overlay(&job.state)?;
    let core = job.state.join("core.wasm");
    let mut command = go.command(folder);
    command.args(["build", "-trimpath", "-buildmode=c-shared"]);
    // The bindings reach into Go's runtime, which its linker allows no more unless told to. Names of functions stay, for the stack of a trap:
    // they are a fiftieth of the whole.
    command.arg("-ldflags=-checklinkname=0");
    command.arg("-modfile").arg(modfile).arg("-overlay").arg(overlay);
    let module = job.run_for(command.arg("-o").arg(&core).arg("."), &core)?;
    component::encode(&component::embed(module, world)?)
}

/// The name that `go.mod` gives its module.
fn module_name(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines().map(str::trim);
    let name = lines.find_map(|line| line.strip_prefix("module "))?;
    let name = name.split("//").next()?.trim().trim_matches('"');
    Some(name).filter(|name| !name.is_empty())
}

/// Writes the bindings into the project, those that have changed, and looks whether what they call is there.
fn generate(world: &World, module: &str, job: &Job) -> Result<(), BuildError> {
    let options = Opts {
        // `gofmt` is not always there, and nobody reads them.
        format: Format::False,
        pkg_name: Some(module.to_owned()),
        quiet: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    let generated = options
        .build()
        .generate(&mut world.resolve.clone(), world.id, &mut files);
    generated.map_err(|error| BuildError::Wit {
        folder: job.build.wit.clone(),
        message: format!("{error:#}"),
    })?;
    for (name, content) in files.iter() {
        store(&job.build.folder.join(name), content)?;
    }
    let exports = files.iter().find(|(name, _)| name.ends_with("wit_exports.go"));
    let exports = exports.map_or("", |(_, content)| std::str::from_utf8(content).unwrap_or_default());
    check::exports::of_go(&job.build.folder, module, exports)
}

/// A copy of `go.mod` that has Go find the bindings' library here.
fn modfile(job: &Job, manifest: &str) -> Result<PathBuf, BuildError> {
    let library = job.state.join("library");
    for (name, content) in LIBRARY_FILES {
        store(&library.join(name), content)?;
    }
    let modfile = job.state.join("go.mod");
    let version = wit_bindgen_go::remote_pkg_version();
    let replaced = format!(
        "{manifest}\nrequire {version}\n\nreplace {LIBRARY} => {}\n",
        library.display()
    );
    store(&modfile, replaced.as_bytes())?;
    // Go looks for the sums beside the copy.
    let sums = job.build.folder.join("go.sum");
    match sums.is_file() {
        true => store(&job.state.join("go.sum"), &read(&sums)?).map(drop)?,
        false => remove(&job.state.join("go.sum"))?,
    }
    Ok(modfile)
}

/// An installed Go.
struct Go {
    program: PathBuf,
    root: PathBuf,
}

impl Go {
    fn find(program: PathBuf) -> Result<Self, BuildError> {
        let mut command = Command::new(&program);
        let said = run(command.args(["env", "GOROOT"]))?;
        match String::from_utf8_lossy(&said).trim() {
            "" => Err(BuildError::Unexpected {
                command: shown(&command),
                what: "nothing".to_owned(),
            }),
            root => Ok(Self {
                root: root.into(),
                program,
            }),
        }
    }

    /// A call of Go in a module's folder, for WebAssembly.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder);
        // A workspace of the user's would have `-modfile` refused; another toolchain would have another runtime.
        command.envs([("GOWORK", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod")]);
        command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm")]);
        command
    }

    /// Writes a changed copy of a file of Go's runtime, and the list that has Go's compiler take it instead.
    fn overlay(&self, folder: &Path) -> Result<PathBuf, BuildError> {
        let original = self.root.join(runtime::FILE);
        let changed = folder.join("overlay/lock_wasip1.go");
        let content = runtime::with_idle_hook(&read_text(&original)?).map_err(|found| BuildError::GoRuntime {
            file: original.clone(),
            found,
        })?;
        store(&changed, content.as_bytes())?;
        let overlay = folder.join("overlay/overlay.json");
        let list = json!({ "Replace": { original.display().to_string(): changed } });
        store(&overlay, list.to_string().as_bytes())?;
        Ok(overlay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_in_its_manifest() {
        for (manifest, expected) in [
            ("module shop\n\ngo 1.27\n", Some("shop")),
            (
                "// Ours.\nmodule example.com/shop // it sells\n",
                Some("example.com/shop"),
            ),
            ("module \"shop\"\n", Some("shop")),
            ("go 1.27\n", None),
            ("module \n", None),
        ] {
            assert_eq!(module_name(manifest), expected, "{manifest}");
        }
    }

    #[test]
    fn the_bindings_library_is_here() {
        let names: Vec<_> = LIBRARY_FILES.iter().map(|(name, _)| *name).collect();
        for name in [
            "go.mod",
            "wit/async/async.go",
            "wit/runtime/runtime.go",
            "wit/types/stream.go",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}

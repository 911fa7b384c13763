//! C: clang and a libc for WASI, with bindings made from the WIT.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::Files;

use crate::files::{make_folder, store};
use crate::tools::Tools;
use crate::world::World;
use crate::{BuildError, Job, component};

/// Compiles all C files of the job's folder with the bindings, which are in `WORLD.h`.
pub(crate) fn build(job: &Job, tools: &Tools, world: &World) -> Result<Vec<u8>, BuildError> {
    let bindings = job.state.join("bindings");
    let generated = generate(world, &job.build.wit, &bindings)?;
    let module = job.state.join("core.wasm");
    let mut command = tools.command("clang");
    command.current_dir(&job.build.folder);
    command.args(["--target=wasm32-wasi", "-mexec-model=reactor", "-Oz", "-flto"]);
    command.args(tools.flags());
    libc(&mut command, &tools.path("wasi-libc"));
    command.arg("-I").arg(&bindings).args(sources(&job.build.folder)?);
    command.args(generated).arg("-o").arg(&module);
    component::encode(&job.run_for(&mut command, &module)?)
}

/// A libc of a WASI SDK is a root of its own; Debian's is among the system's files.
fn libc(command: &mut Command, root: &Path) {
    if root == Path::new("/usr") {
        command.args(["-isystem", "/usr/include/wasm32-wasi", "-L/usr/lib/wasm32-wasi"]);
    } else {
        command.arg(format!("--sysroot={}", root.display()));
    }
}

/// Writes the bindings; returns what of them is compiled and linked.
fn generate(world: &World, wit: &Path, folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    let generated = generator.generate(&mut world.resolve.clone(), world.id, &mut files);
    generated.map_err(|error| BuildError::Wit {
        folder: wit.to_owned(),
        message: format!("{error:#}"),
    })?;
    make_folder(folder)?;
    let mut linked = Vec::new();
    for (name, content) in files.iter() {
        let file = folder.join(name);
        store(&file, content)?;
        if !name.ends_with(".h") {
            linked.push(file);
        }
    }
    Ok(linked)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).map_err(BuildError::file("read", folder))? {
        let file = entry.map_err(BuildError::file("read", folder))?.path();
        sources.extend(Some(file).filter(|file| file.extension().is_some_and(|extension| extension == "c")));
    }
    sources.sort();
    match sources.is_empty() {
        true => Err(BuildError::Source(format!(
            "there is no file of C in {}",
            folder.display()
        ))),
        false => Ok(sources),
    }
}

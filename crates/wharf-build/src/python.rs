//! Python: componentize-py, which puts the interpreter and the modules into one component.

use crate::explain::without_insides_of_python;
use crate::tools::Tools;
use crate::world::World;
use crate::{BuildError, Job};

/// The module where a component begins, where nobody says.
pub(crate) const ENTRY: &str = "app";

pub(crate) fn build(job: &Job, tools: &Tools, world: &World) -> Result<Vec<u8>, BuildError> {
    let output = job.state.join("component.wasm");
    let mut command = tools.command("componentize-py");
    command
        .args(["--quiet", "--world", &world.full_name(), "--wit-path"])
        .arg(&job.build.wit);
    command
        .arg("componentize")
        .arg(job.build.entry.as_deref().unwrap_or(ENTRY));
    command.arg("--python-path").arg(&job.build.folder);
    let made = job.run_for(command.arg("--output").arg(&output), &output);
    made.map_err(|error| without_insides_of_python(error, &job.build.folder))
}

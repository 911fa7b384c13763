//! JavaScript: componentize-qjs, which puts the QuickJS engine and one module into a component.

use crate::tools::Tools;
use crate::world::World;
use crate::{BuildError, Job};

/// The file where a component begins, where nobody says.
pub(crate) const ENTRY: &str = "app.js";

pub(crate) fn build(job: &Job, tools: &Tools, world: &World) -> Result<Vec<u8>, BuildError> {
    let output = job.state.join("component.wasm");
    let entry = job.build.folder.join(job.build.entry.as_deref().unwrap_or(ENTRY));
    let mut command = tools.command("componentize-qjs");
    command.current_dir(&job.build.folder);
    command.arg("--wit").arg(&job.build.wit).arg("--js").arg(entry);
    job.run_for(command.args(["-n", world.name(), "-o"]).arg(&output), &output)
}

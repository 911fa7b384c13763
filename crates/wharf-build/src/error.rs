//! Why a component could not be built. Each says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::tools::Missing;

/// A component could not be built. The one that was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Tools that the language needs are not installed.
    #[error("not all tools are there\n{}", lines(.0))]
    Missing(Vec<Missing>),
    /// A tool cannot be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// As one would type it.
        command: String,
        /// What the system says.
        source: io::Error,
    },
    /// A tool says that something is wrong; most often, that the source is.
    #[error("{command} failed ({status})\n{output}")]
    Failed {
        /// As one would type it.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// A tool says something that it does not say in the versions that are known here.
    #[error("{command} said what was not expected: {what}")]
    Unexpected {
        /// As one would type it.
        command: String,
        /// What is odd.
        what: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// `read`, `write`.
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The WIT is wrong, or has no such world.
    #[error("the WIT in {} cannot be used: {message}", .folder.display())]
    Wit {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The source would make no component that works.
    #[error("{0}")]
    Source(String),
    /// The same as `source`, in terms of what people write.
    #[error("{explanation}\n{source}")]
    Explained {
        /// What is wrong, where, and what to do.
        explanation: String,
        /// What the tool said.
        source: Box<BuildError>,
    },
    /// What was compiled cannot be made a component.
    #[error("what was compiled cannot be made a component: {0}")]
    Encode(String),
    /// The tools were content, and no component is there.
    #[error("{command} ended well, but made no component: {help}")]
    Nothing {
        /// As one would type it.
        command: String,
        /// What to do.
        help: String,
    },
    /// The tools were content, and what they made is no component.
    #[error("{command} made a file that cannot be used: {reason}")]
    Unusable {
        /// As one would type it.
        command: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Go's runtime is another than the one that is known here.
    #[error("Go's {} has {found} times, not once, a text that has to be replaced: this is another version of Go than 1.27.3, with which this works", .file.display())]
    GoRuntime {
        /// The file of the runtime.
        file: PathBuf,
        /// How often the text is there.
        found: usize,
    },
}

impl BuildError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

fn lines(missing: &[Missing]) -> String {
    let lines: Vec<_> = missing.iter().map(|missing| format!("  {missing}")).collect();
    lines.join("\n")
}

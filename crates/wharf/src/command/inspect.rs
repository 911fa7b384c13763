//! `wharf inspect`: what a file is, or what is different in another.
//!
//! All that is said is found out by `wharf_host::describe`; here it is read, printed, and made an exit code.

mod text;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use wharf_host::describe::{Changes, Description};
use wharf_server::manifest::read;

use crate::cli::tools::Inspect;
use crate::kinds::Kinds;
use crate::load;

/// Somebody breaks, or the file is not valid.
const BREAKS: u8 = 1;

/// There is nothing to say, as with wrong usage.
const UNREADABLE: u8 = 2;

/// Describes a file, or compares two.
pub fn inspect(inspect: &Inspect, kinds: &Kinds) -> ExitCode {
    match try_inspect(inspect, kinds) {
        Ok((said, breaks)) => {
            let _ = io::stdout().write_all(said.as_bytes());
            if breaks {
                ExitCode::from(BREAKS)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(UNREADABLE)
        }
    }
}

/// What is printed, and whether anything is wrong.
fn try_inspect(inspect: &Inspect, kinds: &Kinds) -> anyhow::Result<(String, bool)> {
    let described = describe(&inspect.file, kinds)?;
    if let Some(other) = &inspect.other {
        let changes = Changes::between(&described, &describe(other, kinds)?);
        let said = match inspect.json {
            true => pretty(&json!(changes))?,
            false => text::changes(&inspect.file, other, &changes),
        };
        return Ok((said, changes.breaks));
    }
    let is_invalid = described.invalid.is_some();
    let said = if inspect.wit {
        described
            .wit
            .with_context(|| no_wit(&inspect.file, &described.untold))?
    } else if inspect.json {
        let mut value = json!(described);
        if let Value::Object(fields) = &mut value {
            fields.insert("file".to_owned(), json!(inspect.file.display().to_string()));
        }
        pretty(&value)?
    } else {
        text::description(&inspect.file, &described)
    };
    Ok((said, is_invalid))
}

fn describe(file: &Path, kinds: &Kinds) -> anyhow::Result<Description> {
    load::refuse_folder(file)?;
    let bytes = read::regular(file, read::COMPONENT_BYTES_MAX * COMPILED_FACTOR);
    let bytes = bytes.with_context(|| format!("cannot read {}", file.display()))?;
    Description::new(&bytes, kinds.sections()).with_context(|| file.display().to_string())
}

/// Compiled code is several times the size of its component.
const COMPILED_FACTOR: u64 = 4;

fn no_wit(file: &Path, untold: &Option<String>) -> String {
    match untold {
        Some(why) => format!("{}: its world cannot be told: {why}", file.display()),
        None => format!("{}: only components and WIT packages have a world", file.display()),
    }
}

fn pretty(value: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

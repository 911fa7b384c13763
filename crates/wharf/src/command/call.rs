//! `wharf call`: one function of a component, by hand.
//!
//! What is written is read by `wharf_host::wave`, against the types that the component says; here a function is found by its name,
//! arguments are told apart, and what came of it becomes an exit code.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use wharf_host::wave::{self, Val, WaveError};
use wharf_host::{
    CallError, Component, Engine, EngineOptions, Environment, ExportedFunction, Failure, Instance, Limits, Pooling,
};
use wharf_server::manifest::app::App;

use super::run::{self, NOT_STARTED, TRAPPED};
use crate::cli::tools::Call;
use crate::kinds::Kinds;
use crate::log::Lines;
use crate::{grants, load, log};

/// The function returned an `err`.
const ERR: u8 = 1;

/// No such function, or no such values: wrong usage.
const USAGE: u8 = 2;

/// It took too long: what `timeout` says.
const TOO_LONG: u8 = 124;

/// Why there is no result, and the exit code for it.
struct Failed(u8, String);

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self(NOT_STARTED, format!("{error:#}"))
    }
}

/// Calls a function, or lists those there are.
pub fn call(call: &Call, kinds: &Kinds) -> ExitCode {
    let code = try_call(call, kinds).unwrap_or_else(|Failed(code, message)| {
        let _ = writeln!(io::stderr(), "error: {}", message.trim_end());
        code
    });
    ExitCode::from(code)
}

fn try_call(call: &Call, kinds: &Kinds) -> Result<u8, Failed> {
    let messages = Lines::new(io::stderr()).map_err(anyhow::Error::from)?;
    messages.open(None);
    log::install(&messages, call.alone.log.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(anyhow::Error::from)?;
    let done = runtime.block_on(find_and_call(call, kinds));
    runtime.shutdown_background();
    messages.flush();
    done
}

async fn find_and_call(call: &Call, kinds: &Kinds) -> Result<u8, Failed> {
    let (file, function, arguments) = call.parts();
    let engine = Engine::new(EngineOptions {
        pooling: Pooling::Never,
        source_lines: load::source_lines(&call.alone.machine),
        ..EngineOptions::default()
    })
    .map_err(|error| anyhow::Error::msg(format!("cannot run components on this machine: {error:#}")))?;
    let component = load::component(&engine, &call.alone.machine, file)?;
    let functions = offered(&component);
    let Some(wanted) = function else {
        say(&listed(file, &functions));
        return Ok(0);
    };
    let function = found(file, &functions, &wanted.to_string_lossy())?;
    let values = values(function, arguments)?;
    let mut instance = instance(call, kinds, file, &component).await?;
    match instance.call_with(&function.name, &values).await {
        Ok(result) => {
            let text = result.as_ref().map(|value| wave::write(value) + "\n");
            say(&text.unwrap_or_default());
            Ok(if matches!(result, Some(Val::Result(Err(_)))) {
                ERR
            } else {
                0
            })
        }
        Err(error) => Err(failed(error)),
    }
}

async fn instance(call: &Call, kinds: &Kinds, file: &Path, component: &Component) -> anyhow::Result<Instance> {
    let mut app = App::of_component("", file);
    grants::grant(&mut app, &call.alone.grants);
    let mut capabilities = grants::capabilities(&app)?;
    capabilities.extend(kinds.open(&app)?);
    let limits = Limits {
        response_timeout: call.timeout,
        cpu_time_max: call.timeout,
        ..run::limits(call.alone.max_memory)
    };
    let environment = Environment {
        variables: app.environment.clone().into_iter().collect(),
        ..run::standard_streams()?
    };
    let instance = Instance::new(component, capabilities.into(), environment, limits).await;
    instance.with_context(|| format!("{}: cannot be started", file.display()))
}

fn failed(error: CallError) -> Failed {
    match error {
        CallError::Failed(Failure::Trap { error, refused }) => {
            let refused = refused.map(|refused| format!("\nnote: {refused}")).unwrap_or_default();
            let told = run::describe(error.chain().map(ToString::to_string));
            Failed(TRAPPED, format!("the function trapped: {}{refused}", told.trim_end()))
        }
        CallError::Failed(failure @ (Failure::ResponseTimeout { .. } | Failure::CpuTime(_))) => {
            Failed(TOO_LONG, format!("{failure}; allow it more with --timeout"))
        }
        error => Failed(TRAPPED, error.to_string()),
    }
}

/// The functions there are for callers.
fn offered(component: &Component) -> Vec<ExportedFunction> {
    let offers: Vec<_> = component.inspection().offers().map(|offer| &*offer.name).collect();
    let mut functions = component.functions();
    // In an interface, or by itself.
    functions.retain(|function| {
        function
            .name
            .split('#')
            .next()
            .is_some_and(|name| offers.contains(&name))
    });
    functions
}

/// The functions there are, each with its type.
fn listed(file: &Path, functions: &[ExportedFunction]) -> String {
    if functions.is_empty() {
        return format!("{} exports no function\n", file.display());
    }
    functions
        .iter()
        .map(|function| format!("{}: {}\n", function.name, signature(function)))
        .collect()
}

fn signature(function: &ExportedFunction) -> String {
    let params = function
        .ty
        .params()
        .map(|(name, ty)| format!("{name}: {}", wave::name(&ty)));
    let params = params.collect::<Vec<_>>().join(", ");
    let result = function
        .ty
        .results()
        .next()
        .map(|ty| format!(" -> {}", wave::name(&ty)));
    let word = if function.ty.async_() { "async func" } else { "func" };
    format!("{word}({params}){}", result.unwrap_or_default())
}

/// The function of this name: whole, or without its interface where one interface alone has it.
fn found<'a>(file: &Path, functions: &'a [ExportedFunction], wanted: &str) -> Result<&'a ExportedFunction, Failed> {
    if let Some(function) = functions.iter().find(|function| function.name == wanted) {
        return Ok(function);
    }
    let meant = |function: &&ExportedFunction| {
        let Some((interface, name)) = function.name.split_once('#') else {
            return false;
        };
        let interface = interface.split('@').next().unwrap_or_default();
        let short = interface.rsplit('/').next().unwrap_or_default();
        [
            name.to_owned(),
            format!("{short}#{name}"),
            format!("{interface}#{name}"),
        ]
        .contains(&wanted.to_owned())
    };
    let all: Vec<_> = functions.iter().filter(meant).collect();
    let names = |functions: &[&ExportedFunction]| {
        let names = functions.iter().map(|function| format!("\n  {}", function.name));
        names.collect::<String>()
    };
    match all[..] {
        [one] => Ok(one),
        [] => {
            let known = names(&functions.iter().collect::<Vec<_>>());
            let file = file.display();
            let message = match wanted.starts_with("--") {
                true => format!("`{wanted}` stands behind {file}, where the function is named: options stand before"),
                false if functions.is_empty() => format!("{file} exports no function"),
                false => format!("{file} exports no function `{wanted}`, but{known}"),
            };
            Err(Failed(USAGE, message))
        }
        ref several => Err(Failed(
            USAGE,
            format!("`{wanted}` may be any of these; name one whole:{}", names(several)),
        )),
    }
}

/// The arguments as values of the function's types.
fn values(function: &ExportedFunction, arguments: &[std::ffi::OsString]) -> Result<Vec<Val>, Failed> {
    let params: Vec<_> = function.ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    if params.len() != arguments.len() {
        let (wanted, given) = (params.len(), arguments.len());
        let are_wanted = if wanted == 1 { "argument is" } else { "arguments are" };
        let message = format!(
            "{wanted} {are_wanted} wanted, and {given} given: {}: {}",
            function.name,
            signature(function)
        );
        return Err(Failed(USAGE, message));
    }
    let given = params.iter().zip(arguments).enumerate();
    given
        .map(|(nth, ((name, ty), argument))| {
            let place = format!("argument {} (`{name}: {}`)", nth + 1, wave::name(ty));
            let text = text(argument).ok_or_else(|| Failed(USAGE, format!("{place}: it is not UTF-8")))?;
            wave::read(text, ty).map_err(|error| Failed(USAGE, pointed_at(&place, text, &error)))
        })
        .collect()
}

fn text(argument: &OsStr) -> Option<&str> {
    argument.to_str()
}

/// What is wrong, over the argument with a mark under the place.
fn pointed_at(place: &str, text: &str, error: &WaveError) -> String {
    let before = text.get(..error.at.start).unwrap_or(text);
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let shown = text[line..].lines().next().unwrap_or_default();
    let column = before[line..].chars().count();
    let marked = text
        .get(error.at.clone())
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let marks = "^".repeat(marked.chars().count().max(1));
    let is_key = error.message.contains("String") && before.trim_end().ends_with(['{', ',']);
    let help = match () {
        () if error.message.contains("expected string") && !shown.contains('"') => {
            "\n  a string is written in quotes, which a shell takes away unless there are others around: '\"text\"'"
        }
        () if is_key => "\n  names of fields have no quotes: '{name: \"text\"}'",
        () => "",
    };
    format!(
        "{place}: {}\n  {shown}\n  {}{marks}{help}",
        error.message,
        " ".repeat(column)
    )
}

fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_marked() {
        let error = |at: std::ops::Range<usize>| WaveError {
            message: "expected u8".to_owned(),
            at,
        };
        for (text, at, expected) in [
            ("abc", 0..3, "here: expected u8\n  abc\n  ^^^"),
            ("[1, b]", 4..5, "here: expected u8\n  [1, b]\n      ^"),
            ("[\u{e4}, b]", 5..6, "here: expected u8\n  [\u{e4}, b]\n      ^"),
            ("[1,\n b]", 5..6, "here: expected u8\n   b]\n   ^"),
            ("", 0..0, "here: expected u8\n  \n  ^"),
            ("a", 7..9, "here: expected u8\n  a\n   ^"),
        ] {
            assert_eq!(pointed_at("here", text, &error(at)), expected, "{text:?}");
        }
    }
}

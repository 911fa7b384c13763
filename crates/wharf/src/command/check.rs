//! `wharf check` and `wharf schema`: what a manifest says, or a component needs, without serving it.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitCode;

use wharf_server::Tls;
use wharf_server::manifest::{self, Configuration, Problem};

use super::serve;
use crate::cli::{Check, Schema};
use crate::grants;
use crate::kinds::Kinds;

/// Reads everything and runs nothing.
pub fn check(check: &Check, kinds: &Kinds) -> ExitCode {
    let sections = kinds.sections();
    let configuration = match serve::is_manifest(&check.file) {
        true => manifest::read(&check.file, sections),
        // As it would be served without any flag.
        false => Ok(Configuration::from(serve::app_of_component(&check.file))),
    };
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(problems) => return wrong(&problems.to_string()),
    };
    let mut said: Vec<String> = Vec::new();
    said.extend(configuration.broken.iter().map(|broken| broken.problems.to_string()));
    said.extend(manifest::check(&configuration, sections).iter().map(Problem::to_string));
    let components = configuration.apps.iter().flat_map(|app| &app.components);
    // Components of one source have their WIT in common.
    let wit: BTreeSet<_> = components
        .filter_map(|component| Some(&component.build.as_ref()?.wit))
        .collect();
    let mut notes = Vec::new();
    for pins in wit.into_iter().map(|wit| wharf_build::check_pins(wit)) {
        match pins {
            Ok(note) => notes.extend(note),
            Err(error) => said.push(error.to_string()),
        }
    }
    if said.is_empty() {
        // What only those who grant it can tell, such as whether a file holds certificates.
        let refused = configuration.apps.iter().filter_map(|app| {
            let error = grants::capabilities(app).err()?;
            Some(format!("app `{}`: {error:#}", app.name))
        });
        said.extend(refused);
        let tls = configuration.server.tls.clone().map(Tls::check);
        said.extend(tls.into_iter().flatten().map(|error| format!("TLS: {error}")));
    }
    if !said.is_empty() {
        return wrong(&said.join("\n"));
    }
    for note in notes {
        say(&mut io::stderr(), &format!("warning: {note}\n"));
    }
    let routes: usize = configuration.apps.iter().map(|app| app.routes.len()).sum();
    let (apps, routes) = (count(configuration.apps.len(), "app"), count(routes, "route"));
    say(
        &mut io::stdout(),
        &format!("{}: {apps}, {routes}, nothing wrong\n", check.file.display()),
    );
    ExitCode::SUCCESS
}

/// Prints the schema of manifests, or their reference.
pub fn schema(schema: &Schema, kinds: &Kinds) -> ExitCode {
    let text = match schema.reference {
        true => manifest::reference(kinds.sections()),
        false => manifest::schema(kinds.sections()),
    };
    say(&mut io::stdout(), &text);
    ExitCode::SUCCESS
}

pub fn wrong(problems: &str) -> ExitCode {
    say(&mut io::stderr(), &format!("{}\n", problems.trim_end()));
    ExitCode::FAILURE
}

/// Whether or not anybody reads it.
pub fn say(output: &mut impl io::Write, text: &str) {
    let _ = output.write_all(text.as_bytes());
}

fn count(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}

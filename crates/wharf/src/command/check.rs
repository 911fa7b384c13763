//! `wharf check` and `wharf schema`: what a manifest says, without serving it.

use std::io;
use std::process::ExitCode;

use wharf_capabilities::AllowList;
use wharf_server::Tls;
use wharf_server::manifest::{self, Configuration, Problem, Subject};

use crate::cli::Check;
use crate::grants;

/// Reads everything and runs nothing.
pub fn check(check: &Check) -> ExitCode {
    let configuration = match manifest::read(&check.file) {
        Ok(configuration) => configuration,
        Err(problems) => return wrong(&problems.to_string()),
    };
    let mut said: Vec<String> = Vec::new();
    said.extend(configuration.broken.iter().map(|broken| broken.problems.to_string()));
    said.extend(manifest::check(&configuration).iter().map(Problem::to_string));
    said.extend(patterns(&configuration).iter().map(Problem::to_string));
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
    let routes: usize = configuration.apps.iter().map(|app| app.routes.len()).sum();
    let (apps, routes) = (count(configuration.apps.len(), "app"), count(routes, "route"));
    say(
        &mut io::stdout(),
        &format!("{}: {apps}, {routes}, nothing wrong\n", check.file.display()),
    );
    ExitCode::SUCCESS
}

/// What is granted and is no pattern. Only those who keep to patterns know them.
fn patterns(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    for app in &configuration.apps {
        let mut check = |patterns: &[String], subject: fn(usize) -> Subject| {
            for (nth, pattern) in patterns.iter().enumerate() {
                if let Err(error) = AllowList::parse([pattern]) {
                    let place = configuration.place(&app.name, &subject(nth));
                    problems.push(Problem::new(place.cloned(), error.to_string()));
                }
            }
        };
        check(&app.http_client.allow, Subject::HttpClientAllow);
        check(&app.sockets.allow, Subject::SocketsAllow);
    }
    problems
}

/// Prints the schema of manifests.
pub fn schema() -> ExitCode {
    say(&mut io::stdout(), &manifest::schema());
    ExitCode::SUCCESS
}

fn wrong(problems: &str) -> ExitCode {
    say(&mut io::stderr(), &format!("{}\n", problems.trim_end()));
    ExitCode::FAILURE
}

/// Whether or not anybody reads it.
fn say(output: &mut impl io::Write, text: &str) {
    let _ = output.write_all(text.as_bytes());
}

fn count(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}

//! An app with sections of capabilities, and guests that do what a request's body says, step by step.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use wharf_tests::http::{get, post};
use wharf_tests::{Scratch, Server, guest};

use crate::operator::{ADMIN, admin, metric};

/// A server of one app, called `shop`. It ends when this value is dropped.
pub struct Stores {
    pub server: Server,
    pub admin: SocketAddr,
    pub folder: Scratch,
}

impl Stores {
    /// Serves a guest with `sections` in its manifest.
    pub fn serve(guest: &str, sections: &str) -> Self {
        Self::serve_in(Scratch::new(), guest, sections)
    }

    /// The same in a folder where there are files already.
    pub fn serve_in(folder: Scratch, guest: &str, sections: &str) -> Self {
        let file = manifest(&folder, guest, sections);
        let server = Server::start(file, &[&ADMIN[..], &["--log", "debug"]].concat());
        let admin = admin(&server);
        Self { server, admin, folder }
    }

    /// What comes of steps, a line each.
    pub fn steps(&self, steps: &str) -> String {
        let steps: Vec<&str> = steps.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let reply = post(self.server.addr(), "/", steps.join("\n"));
        assert_eq!(reply.status, 200, "{steps:?}: {}", reply.text());
        reply.text()
    }

    /// Checks what comes of steps: each line has a step, `=>` and its outcome, which may be empty where there is none.
    #[track_caller]
    pub fn check(&self, cases: &str) {
        let cases = cases.lines().map(str::trim).filter(|line| !line.is_empty());
        let cases: Vec<(&str, &str)> = cases
            .map(|line| line.split_once(" => ").unwrap_or((line, "")))
            .collect();
        let steps: Vec<&str> = cases.iter().map(|(step, _)| *step).collect();
        let expected: Vec<&str> = cases
            .iter()
            .map(|(_, expected)| *expected)
            .filter(|line| !line.is_empty())
            .collect();
        let text = self.steps(&steps.join("\n"));
        let found: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(found, expected, "{steps:#?}");
    }

    /// How often a limit of a capability was reached; `labels` are those that come before the limit's.
    pub fn reached(&self, capability: &str, labels: &str, limit: &str) -> f64 {
        let name = format!("wharf_{capability}_limits_reached_total{{app=\"shop\"{labels},limit=\"{limit}\"}}");
        metric(self.admin, &name).unwrap_or_else(|| panic!("{name} is not counted"))
    }

    /// The answer to a GET.
    pub fn get(&self, path: &str) -> String {
        get(self.server.addr(), path).text()
    }
}

/// A manifest with the component of `guest`, one instance of which many requests share.
pub fn manifest(folder: &Scratch, guest_name: &str, sections: &str) -> PathBuf {
    let component = guest(guest_name);
    let component = toml_text(&component);
    folder.write(
        "wharf.toml",
        format!("name = \"shop\"\ncomponent = {component}\nisolation = \"serial\"\n{sections}"),
    )
}

/// A path as a text of TOML's.
pub fn toml_text(path: &Path) -> String {
    format!("'{}'", path.display())
}

//! What the section `[server]` means.

use std::path::PathBuf;

use super::{Meaning, count};
use crate::app::{AdminAddress, ServerLimits, ServerSettings};
use crate::manifest::field::At;
use crate::manifest::problem::{Place, Problem, Source};
use crate::manifest::{value, written};

const LISTEN: &str = "127.0.0.1:8080";

/// What `written` means, and where its folder of apps is named.
pub(in crate::manifest) fn server(
    written: &written::Server,
    source: &Source,
) -> (ServerSettings, Option<Place>, Vec<Problem>) {
    let mut meaning = Meaning::new(source);
    let settings = ServerSettings {
        listen: meaning.listen(written),
        admin: written.admin.as_ref().and_then(|admin| meaning.admin(admin)),
        apps: written.apps.as_ref().map(|apps| meaning.path_of(apps, apps.span())),
        drain_timeout: meaning.duration("drain-timeout", &written.drain_timeout),
        limits: meaning.server_limits(&written.limits),
    };
    let apps = written.apps.as_ref().map(|apps| source.place(apps.span()));
    (settings, apps, meaning.problems)
}

impl Meaning<'_> {
    fn listen(&mut self, written: &written::Server) -> Vec<String> {
        let Some(written) = &written.listen else {
            return vec![LISTEN.to_owned()];
        };
        let texts = written.texts();
        if texts.is_empty() {
            self.problem(written.span(), "a server listens somewhere").help =
                Some(format!("leave `listen` out for {LISTEN}"));
        }
        for (text, span) in &texts {
            self.understood("listen", span.clone(), value::address(text));
        }
        texts.into_iter().map(|(text, _)| text.to_owned()).collect()
    }

    fn admin(&mut self, written: &At<String>) -> Option<AdminAddress> {
        if **written == "none" {
            return Some(AdminAddress::Off);
        }
        match written.strip_prefix("unix:") {
            Some("") => {
                self.problem(
                    written.span(),
                    "`admin`: the socket's path is missing, as in unix:/run/wharf/admin.sock",
                );
                None
            }
            Some(path) => {
                let socket: PathBuf = self.path_of(path, written.span());
                Some(AdminAddress::Unix(socket))
            }
            None if value::address(written).is_ok() => Some(AdminAddress::Tcp(written.to_string())),
            None => {
                let message = "`admin`: expected unix:PATH, HOST:PORT such as 127.0.0.1:9090, or none";
                self.problem(written.span(), message);
                None
            }
        }
    }

    fn server_limits(&mut self, written: &written::ServerLimits) -> ServerLimits {
        ServerLimits {
            connections_max: count(&written.connections),
            connections_per_client_max: count(&written.connections_per_client),
            requests_per_connection_max: count(&written.requests_per_connection),
            requests_max: count(&written.requests),
            head_bytes_max: self.size("header-bytes", &written.header_bytes),
            head_fields_max: count(&written.header_count),
            head_timeout: self.duration("head-timeout", &written.head_timeout),
            idle_timeout: self.duration("idle-timeout", &written.idle_timeout),
            write_rate_min: self.size("write-rate", &written.write_rate),
            write_timeout: self.duration("write-timeout", &written.write_timeout),
            streams_max: count(&written.streams),
            resets_max: count(&written.resets),
            instances_max: count(&written.instances),
        }
    }
}

//! What the section `[server]` means.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use super::{Meaning, count};
use crate::app::{AdminAddress, ServerLimits, ServerSettings};
use crate::manifest::field::{At, Count, Size};
use crate::manifest::problem::{Place, Problem, Source};
use crate::manifest::{value, written};

pub(super) const LISTEN: &str = "127.0.0.1:8080";

/// Below, ordinary requests of browsers are refused; above, one client holds memory that is meant for thousands.
const HEADER_BYTES: RangeInclusive<u64> = 8 << 10..=16 << 20;

/// More fields are looked through longer than any request takes.
const HEADER_COUNT_MAX: u32 = 10_000;

/// The engine reserves addresses for each instance before there is one, and a process has no more of them.
const INSTANCES_MAX: u32 = 100_000;

/// What `sockaddr_un` holds on Linux (unix(7)), without the NUL at its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What `written` means, and where its folder of apps is named.
pub(in crate::manifest) fn server(
    written: &written::Server,
    source: &Source,
) -> (ServerSettings, Option<Place>, Vec<Problem>) {
    let mut meaning = Meaning::new(source);
    let forwarded = meaning.forwarded(written);
    let settings = ServerSettings {
        listeners: meaning.listeners(written),
        trusted_proxies: meaning.trusted_proxies(written),
        forwarded,
        forwarded_host: meaning.forwarded_host(written, forwarded),
        forwarded_client_cert: meaning.forwarded_client_cert(written),
        admin: written.admin.as_ref().and_then(|admin| meaning.admin(admin)),
        apps: written.apps.as_ref().map(|apps| meaning.path_of(apps, apps.span())),
        drain_timeout: meaning.duration_or_none("drain-timeout", &written.drain_timeout),
        limits: meaning.server_limits(&written.limits),
        tls: meaning.tls(written),
    };
    let apps = written.apps.as_ref().map(|apps| source.place(apps.span()));
    (settings, apps, meaning.problems)
}

impl Meaning<'_> {
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
                self.socket_fits("admin", &socket, written.span());
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

    pub(super) fn socket_fits(&mut self, key: &str, socket: &Path, span: Range<usize>) {
        let bytes = socket.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            let message = format!(
                "`{key}`: the socket's path has {bytes} bytes, and the system takes {SOCKET_PATH_BYTES_MAX}: {}",
                socket.display()
            );
            self.problem(span, message).help = Some("put it into a folder with a shorter path".to_owned());
        }
    }

    /// The number, which is a problem past `max`.
    fn count_up_to(&mut self, key: &str, written: &Option<At<Count>>, max: u32) -> Option<u32> {
        let written = written.as_ref()?;
        if written.0 > max {
            self.problem(written.span(), format!("`{key}` is a number from 1 to {max}"))
                .help = Some(format!("write {max}, or less"));
        }
        Some(written.0)
    }

    fn header_bytes(&mut self, written: &Option<At<Size>>) -> Option<u64> {
        let bytes = self.size_or_none("header-bytes", written)?;
        if !HEADER_BYTES.contains(&bytes) {
            let span = written.as_ref().map_or(Source::WHOLE, At::span);
            self.problem(span, "`header-bytes` is from 8KiB to 16MiB").help =
                Some("write a size between the two, or leave it out for 128KiB".to_owned());
        }
        Some(bytes)
    }

    fn server_limits(&mut self, written: &written::ServerLimits) -> ServerLimits {
        ServerLimits {
            connections_max: count(&written.connections),
            connections_per_client_max: count(&written.connections_per_client),
            requests_per_connection_max: count(&written.requests_per_connection),
            requests_max: count(&written.requests),
            head_bytes_max: self.header_bytes(&written.header_bytes),
            head_fields_max: self.count_up_to("header-count", &written.header_count, HEADER_COUNT_MAX),
            handshake_timeout: self.duration("handshake-time", &written.handshake_time),
            head_timeout: self.duration("head-timeout", &written.head_timeout),
            idle_timeout: self.duration("idle-timeout", &written.idle_timeout),
            write_rate_min: self.size_or_none("write-rate", &written.write_rate),
            write_timeout: self.duration("write-timeout", &written.write_timeout),
            streams_max: count(&written.streams),
            resets_max: count(&written.resets),
            control_frames_max: count(&written.control_frames),
            instances_max: self.count_up_to("instances", &written.instances, INSTANCES_MAX),
        }
    }
}

//! What a server is given: where it listens, how it is asked for its state, what it may use.

use std::io;
use std::net::SocketAddr;

use anyhow::bail;
use wharf_server::manifest::app as plan;
use wharf_server::{
    Address, Development, ForwardedFields, Listen, ListenOn, ProxyOptions, Redirect, ServerLimits, ServerOptions,
};

use crate::cli::{Admin, Serve};
use crate::notify;

/// Where it is listened where nobody says otherwise: this machine alone reaches it.
const LISTEN: &str = "127.0.0.1:8080";

/// What flags say goes before what the manifest says.
pub(super) async fn options(
    settings: &plan::ServerSettings,
    serve: &Serve,
    open_files: Option<u64>,
    development: Option<Development>,
) -> anyhow::Result<ServerOptions> {
    let usual = ServerOptions::default();
    let drain_timeout = serve.drain_timeout.or(settings.drain_timeout);
    Ok(ServerOptions {
        listen: listen(listeners(serve, settings)).await?,
        admin: admin(serve, settings).await?,
        proxies: ProxyOptions {
            trusted: settings.trusted_proxies.clone(),
            fields: match settings.forwarded {
                plan::Forwarded::Custom => ForwardedFields::Custom,
                plan::Forwarded::Standard => ForwardedFields::Standard,
                plan::Forwarded::None => ForwardedFields::None,
            },
            believes_host: settings.forwarded_host,
            believes_client_cert: settings.forwarded_client_cert,
        },
        drain_timeout: drain_timeout.unwrap_or(usual.drain_timeout),
        limits: server_limits(serve, &settings.limits, open_files),
        tls: super::tls::tls(serve, settings)?,
        development,
    })
}

/// With flags for it, whatever listens by a flag or by default speaks TLS.
fn listeners(serve: &Serve, settings: &plan::ServerSettings) -> Vec<plan::Listener> {
    let by_flag = |address: plan::ListenAddress| plan::Listener {
        tls: serve.tls_certificate.is_some(),
        ..plan::Listener::plain(address)
    };
    match &serve.addr {
        Some(address) => vec![by_flag(address.clone())],
        None if settings.listeners.is_empty() => vec![by_flag(plan::ListenAddress::Tcp(LISTEN.to_owned()))],
        None => settings.listeners.clone(),
    }
}

/// Opens nothing yet: looks names up, and takes the sockets that were handed over.
async fn listen(listeners: Vec<plan::Listener>) -> anyhow::Result<Vec<Listen>> {
    let mut handed_over = notify::sockets()?;
    let is_by_name = |listener: &plan::Listener| matches!(listener.address, plan::ListenAddress::Systemd(_));
    if !handed_over.is_empty() && !listeners.iter().any(is_by_name) {
        // Nobody calls them by name: they stand in the place of all addresses, and are spoken to as the first of these.
        let first = listeners.into_iter().next();
        let like = first.unwrap_or_else(|| plan::Listener::plain(plan::ListenAddress::Tcp(LISTEN.to_owned())));
        return Ok(handed_over.into_iter().map(|(_, on)| listen_like(&like, on)).collect());
    }
    let mut listen = Vec::new();
    for listener in &listeners {
        match &listener.address {
            plan::ListenAddress::Tcp(address) => {
                listen.push(listen_like(listener, ListenOn::Tcp(resolve(address).await?)));
            }
            plan::ListenAddress::Unix(path) => {
                listen.push(listen_like(listener, ListenOn::Unix(path.clone(), listener.mode)));
            }
            plan::ListenAddress::Systemd(name) => {
                let (named, others) = handed_over.into_iter().partition(|(known, _)| known == name);
                handed_over = others;
                let named: Vec<(String, ListenOn)> = named;
                if named.is_empty() {
                    bail!(
                        "systemd has handed over no socket of the name {name}: {}",
                        known(&handed_over)
                    );
                }
                listen.extend(named.into_iter().map(|(_, on)| listen_like(listener, on)));
            }
        }
    }
    for (name, _) in handed_over {
        tracing::warn!(
            name,
            "a socket that systemd has handed over is not listened on: no listener names it"
        );
    }
    Ok(listen)
}

fn known(sockets: &[(String, ListenOn)]) -> String {
    let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    match names.is_empty() {
        true => "give the server a socket unit with `FileDescriptorName=`".to_owned(),
        false => format!("it has {}", names.join(", ")),
    }
}

fn listen_like(listener: &plan::Listener, on: ListenOn) -> Listen {
    Listen {
        on,
        tls: listener.tls,
        proxy_protocol: listener.proxy_protocol,
        redirect: listener.redirect.map(|redirect| match redirect {
            plan::Redirect::ToTls => Redirect::ToTls,
            plan::Redirect::ToPort(port) => Redirect::ToPort(port),
        }),
    }
}

async fn admin(serve: &Serve, settings: &plan::ServerSettings) -> anyhow::Result<Option<Address>> {
    let given = serve.admin.clone().or_else(|| settings.admin.clone().map(Into::into));
    Ok(match given {
        Some(Admin::Off) => None,
        Some(Admin::Tcp(addr)) => Some(Address::Tcp(resolve(&addr).await?)),
        Some(Admin::Unix(path)) => Some(Address::Unix(path)),
        None => notify::runtime_folder().map(|folder| {
            let name = format!("wharf-{}.sock", std::process::id());
            Address::Unix(folder.join(name))
        }),
    })
}

fn server_limits(serve: &Serve, given: &plan::ServerLimits, open_files: Option<u64>) -> ServerLimits {
    let usual = ServerLimits::default();
    let count = |given: Option<u32>, usual: usize| given.map_or(usual, |given| given as usize);
    let connections_max = connections_max(given.connections_max, usual.connections_max, open_files);
    // Half of all, unless somebody says otherwise.
    let per_client = connections_max.div_ceil(2);
    ServerLimits {
        connections_max,
        connections_per_client_max: count(given.connections_per_client_max, per_client),
        requests_per_connection_max: given
            .requests_per_connection_max
            .map_or(usual.requests_per_connection_max, u64::from),
        requests_max: count(given.requests_max, usual.requests_max),
        head_bytes_max: given
            .head_bytes_max
            .map_or(usual.head_bytes_max, |bytes| bytes as usize),
        head_fields_max: count(given.head_fields_max, usual.head_fields_max),
        handshake_timeout: given.handshake_timeout.unwrap_or(usual.handshake_timeout),
        head_timeout: serve.head_timeout.or(given.head_timeout).unwrap_or(usual.head_timeout),
        idle_timeout: serve.idle_timeout.or(given.idle_timeout).unwrap_or(usual.idle_timeout),
        write_rate_min: given.write_rate_min.unwrap_or(usual.write_rate_min),
        write_timeout: given.write_timeout.unwrap_or(usual.write_timeout),
        streams_max: given.streams_max.unwrap_or(usual.streams_max),
        resets_max: given.resets_max.unwrap_or(usual.resets_max),
        control_frames_max: given.control_frames_max.unwrap_or(usual.control_frames_max),
    }
}

impl From<plan::AdminAddress> for Admin {
    fn from(address: plan::AdminAddress) -> Admin {
        match address {
            plan::AdminAddress::Off => Admin::Off,
            plan::AdminAddress::Tcp(addr) => Admin::Tcp(addr),
            plan::AdminAddress::Unix(path) => Admin::Unix(path),
        }
    }
}

async fn resolve(addr: &str) -> anyhow::Result<SocketAddr> {
    let look_up = async {
        tokio::net::lookup_host(addr)
            .await?
            .next()
            .ok_or(io::ErrorKind::NotFound.into())
    };
    look_up
        .await
        .map_err(|error: io::Error| anyhow::Error::msg(format!("cannot find the address {addr}: {error}")))
}

/// Connections and files are open files, of which a process has few until it asks for all that it may have. How many that is
/// in the end, where it is known.
pub(super) fn raise_open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum
            && let Err(error) = setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: maximum,
                    maximum,
                },
            )
        {
            tracing::debug!(%error, "cannot open as many files as the system allows");
        }
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

/// Of the files that may be open, as many are left for what guests open and call.
const FILES_BESIDE_CONNECTIONS: f64 = 0.1;

/// Of what connections leave of the files that may be open, how much guests may hold. The rest is for the files that the server
/// sends, for connections to others, and for certificates and components that are read anew.
const FILES_OF_GUESTS: f64 = 0.5;

/// How many sockets and open files all guests may hold together, so that however many they ask for, each connection has its own.
pub(super) fn descriptors_max(open_files: Option<u64>, limits: &ServerLimits) -> usize {
    let Some(files) = open_files else { return usize::MAX };
    let left = files.saturating_sub(limits.connections_max as u64);
    (left as f64 * FILES_OF_GUESTS) as usize
}

/// As many connections as are wanted, or as the system permits: past that it would refuse them itself, and none would make
/// room.
fn connections_max(given: Option<u32>, usual: usize, open_files: Option<u64>) -> usize {
    let permitted = open_files.map(|files| (files as f64 * (1.0 - FILES_BESIDE_CONNECTIONS)) as usize);
    let permitted = permitted.unwrap_or(usize::MAX).max(1);
    let wanted = given.map_or(usual, |given| given as usize);
    if wanted > permitted && given.is_some() {
        tracing::warn!(
            wanted,
            permitted,
            "`connections` is more than the limit of open files permits"
        );
    }
    wanted.min(permitted)
}

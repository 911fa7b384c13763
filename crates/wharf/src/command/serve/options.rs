//! What a server is given: where it listens, how it is asked for its state, what it may use.

use std::io;
use std::net::SocketAddr;

use wharf_server::manifest::app as plan;
use wharf_server::{AdminAt, Listen, ServerLimits, ServerOptions};

use crate::cli::{Admin, Serve};
use crate::notify;

/// What flags say goes before what the manifest says.
pub(super) async fn options(
    settings: &plan::ServerSettings,
    serve: &Serve,
    open_files: Option<u64>,
) -> anyhow::Result<ServerOptions> {
    let usual = ServerOptions::default();
    let drain_timeout = serve.drain_timeout.or(settings.drain_timeout);
    Ok(ServerOptions {
        listen: listen(serve, settings).await?,
        admin: admin(serve, settings).await?,
        drain_timeout: drain_timeout.unwrap_or(usual.drain_timeout),
        limits: server_limits(serve, &settings.limits, open_files),
        tls: super::tls::tls(settings)?,
    })
}

async fn listen(serve: &Serve, settings: &plan::ServerSettings) -> anyhow::Result<Vec<Listen>> {
    let passed_on = notify::sockets()?;
    if !passed_on.is_empty() {
        return Ok(passed_on.into_iter().map(Listen::On).collect());
    }
    let given: Vec<&str> = match &serve.addr {
        Some(addr) => vec![addr],
        None if settings.listen.is_empty() => return Ok(ServerOptions::default().listen),
        None => settings.listen.iter().map(String::as_str).collect(),
    };
    let mut listen = Vec::new();
    for addr in given {
        listen.push(Listen::At(resolve(addr).await?));
    }
    Ok(listen)
}

async fn admin(serve: &Serve, settings: &plan::ServerSettings) -> anyhow::Result<Option<AdminAt>> {
    let given = serve.admin.clone().or_else(|| settings.admin.clone().map(Into::into));
    Ok(match given {
        Some(Admin::Off) => None,
        Some(Admin::Tcp(addr)) => Some(AdminAt::Tcp(resolve(&addr).await?)),
        Some(Admin::Unix(path)) => Some(AdminAt::Unix(path)),
        None => notify::runtime_folder().map(|folder| {
            let name = format!("wharf-{}.sock", std::process::id());
            AdminAt::Unix(folder.join(name))
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
        head_timeout: serve.head_timeout.or(given.head_timeout).unwrap_or(usual.head_timeout),
        idle_timeout: serve.idle_timeout.or(given.idle_timeout).unwrap_or(usual.idle_timeout),
        write_rate_min: given.write_rate_min.unwrap_or(usual.write_rate_min),
        write_timeout: given.write_timeout.unwrap_or(usual.write_timeout),
        streams_max: given.streams_max.unwrap_or(usual.streams_max),
        resets_max: given.resets_max.unwrap_or(usual.resets_max),
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

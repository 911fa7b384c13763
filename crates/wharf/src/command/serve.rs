//! `wharf serve`: apps that answer HTTP requests, from a component with flags or from a manifest.

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wharf_host::{Engine, EngineOptions};
use wharf_server::manifest::{Configuration, app as plan};
use wharf_server::{
    AdminAt, App, Apps, Deployment, Drained, Listen, Reloaded, Server, ServerLimits, ServerOptions, Source,
};

use crate::assemble::Assembler;
use crate::cli::{Admin, Isolation, Serve};
use crate::log::Lines;
use crate::{grants, load, log, notify};

/// How often it is looked whether something that was read has changed.
const LOOK: Duration = Duration::from_millis(500);

/// The signal that asks to read all anew.
const RELOAD: &str = "SIGHUP";

/// Serves until a signal ends it.
pub fn serve(serve: Serve) -> ExitCode {
    let (stdout, stderr) = match (Lines::new(io::stdout()), Lines::new(io::stderr())) {
        (Ok(stdout), Ok(stderr)) => (stdout, stderr),
        // No thread can be had: then there is nothing that could say so without waiting, and nothing else would work.
        _ => return ExitCode::FAILURE,
    };
    log::install(&stderr, serve.log.clone());
    stdout.open(None);
    let code = match try_serve(serve, &stdout, &stderr) {
        Ok(Drained::Completely) => ExitCode::SUCCESS,
        Ok(Drained::TimedOut) => ExitCode::FAILURE,
        Err(error) => {
            let said = match error.downcast_ref::<Said>() {
                Some(Said(said)) if said.starts_with("error") => format!("{}\n", said.trim_end()),
                _ => format!("error: {error:#}\n"),
            };
            stderr.push(said.into());
            ExitCode::FAILURE
        }
    };
    stdout.flush();
    stderr.flush();
    code
}

fn try_serve(serve: Serve, stdout: &Lines, stderr: &Lines) -> anyhow::Result<Drained> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let drained = runtime.block_on(start_and_drain(serve, stdout, stderr));
    // What is still running was given its time.
    runtime.shutdown_background();
    drained
}

async fn start_and_drain(serve: Serve, stdout: &Lines, stderr: &Lines) -> anyhow::Result<Drained> {
    // Before anything can be served: a signal that comes early is not lost.
    let mut signals = signals()?;
    let open_files = raise_open_files();
    let serve = Arc::new(serve);
    let begun = async {
        let site = Site::read(&serve)?;
        let options = site.options(&serve, open_files).await?;
        let starting = tokio::task::spawn_blocking({
            let (serve, stdout, stderr) = (serve.clone(), stdout.clone(), stderr.clone());
            move || site.start(&serve, &stdout, &stderr)
        });
        let (apps, deployment) = starting.await??;
        Ok::<_, anyhow::Error>((Server::bind(options, apps)?, deployment))
    };
    let mut begun = pin!(begun);
    let (server, deployment) = loop {
        tokio::select! {
            begun = begun.as_mut() => break begun?,
            signal = signals.recv() => if signal != Some(RELOAD) {
                tracing::info!(signal, "stopped before anything was served");
                return Ok(Drained::Completely);
            }
        }
    };
    stderr.open(Some(begins(&serve, &server)));
    notify::ready();
    let reloads = reload_when_told(deployment, server.apps())?;
    let stop = async move {
        let signal = loop {
            match signals.recv().await {
                // It fails only once nobody reloads any more.
                Some(RELOAD) => drop(reloads.send(())),
                signal => break signal,
            }
        };
        notify::stopping();
        tracing::info!(signal, "stopping: no new connections, finishing what has begun");
        tokio::spawn(exit_on_second(signals));
    };
    let drained = server.run(stop).await;
    if drained == Drained::TimedOut {
        tracing::warn!(
            "requests were cut off: they took longer than --drain-timeout, or `drain-timeout` of the manifest, allows"
        );
    }
    Ok(drained)
}

/// Connections and files are open files, of which a process has few until it asks for all that it may have. How many that is
/// in the end, where it is known.
fn raise_open_files() -> Option<u64> {
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

/// What is said once the server can be reached.
fn begins(serve: &Serve, server: &Server) -> String {
    let file = serve.file.display();
    let mut said = String::new();
    for addr in server.local_addrs() {
        said += &format!("wharf: serving {file} at http://{addr}\n");
    }
    match server.admin() {
        Some(AdminAt::Tcp(admin)) => said += &format!("wharf: metrics at http://{admin}/metrics\n"),
        Some(admin) => said += &format!("wharf: metrics at {admin}, path /metrics\n"),
        None => {}
    }
    said
}

/// What is to be served, read and not yet begun.
struct Site {
    source: Source,
    configuration: Configuration,
}

impl Site {
    fn read(serve: &Serve) -> anyhow::Result<Self> {
        let is_manifest = serve.file.extension().is_some_and(|extension| extension == "toml") || serve.file.is_dir();
        let source = match (is_manifest, serve.flag_of_an_app()) {
            (true, Some(flag)) => bail!(
                "{flag} is for a single component: with a manifest, {} says it",
                serve.file.display()
            ),
            (true, None) => Source::Manifest(serve.file.clone()),
            (false, _) => Source::App(Box::new(app(serve))),
        };
        let configuration = Deployment::configuration(&source);
        // It says itself that it is an error, and where.
        let configuration = configuration.map_err(|problems| anyhow::Error::new(Said(problems.to_string())))?;
        Ok(Self { source, configuration })
    }

    /// Compiles and links all apps. Those that cannot be are said, and served as not available, as long as there are others.
    fn start(self, serve: &Serve, stdout: &Lines, stderr: &Lines) -> anyhow::Result<(Vec<App>, Deployment)> {
        let instances_max = serve
            .limits
            .max_instances
            .or(self.configuration.server.limits.instances_max);
        let usual = EngineOptions::default();
        let engine = Engine::new(EngineOptions {
            instances_max: instances_max.unwrap_or(usual.instances_max),
            ..usual
        })
        .map_err(|error| anyhow::Error::msg(format!("cannot run components on this machine: {error:#}")))?;
        let assembler = Assembler {
            engine,
            cache: load::cache(&serve.machine)?,
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            // A component alone is compiled here at the start: there is nobody else to be held up.
            apart: AtomicBool::new(matches!(self.source, Source::Manifest(_))),
        };
        let assembler = Arc::new(assembler);
        let apps = self.configuration.apps.len() + self.configuration.broken.len();
        let mut deployment = Deployment::new(self.source, assembler.clone());
        let loaded = deployment.load(self.configuration).map_err(anyhow::Error::msg)?;
        assembler.apart.store(true, Ordering::Relaxed);
        if apps > 0 && loaded.refused.len() == apps {
            let said: Vec<&str> = loaded.refused.iter().map(|(_, trouble)| trouble.as_str()).collect();
            return Err(anyhow::Error::new(Said(said.join("\n"))));
        }
        say_refused(&loaded);
        Ok((loaded.apps, deployment))
    }

    /// What flags say goes before what the manifest says.
    async fn options(&self, serve: &Serve, open_files: Option<u64>) -> anyhow::Result<ServerOptions> {
        let settings = &self.configuration.server;
        let usual = ServerOptions::default();
        let drain_timeout = serve.drain_timeout.or(settings.drain_timeout);
        Ok(ServerOptions {
            listen: listen(serve, settings).await?,
            admin: admin(serve, settings).await?,
            drain_timeout: drain_timeout.unwrap_or(usual.drain_timeout),
            limits: server_limits(serve, &settings.limits, open_files),
        })
    }
}

/// An error that says already that it is one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// The app that flags describe.
fn app(serve: &Serve) -> plan::App {
    let name = serve.file.file_stem().unwrap_or(serve.file.as_os_str());
    let mut app = plan::App::of_component(name.to_string_lossy(), &serve.file);
    for component in &mut app.components {
        component.middleware.clone_from(&serve.middleware);
        component.isolation = serve.isolation.map(Into::into);
    }
    grants::grant(&mut app, &serve.grants);
    let limits = &serve.limits;
    app.limits = plan::AppLimits {
        memory_bytes_max: limits.max_memory.map(|bytes| bytes as u64),
        cpu_time_max: limits.max_cpu_time,
        response_timeout: limits.timeout,
        queue_timeout: limits.queue_timeout,
        background_timeout: limits.background_timeout,
        ..plan::AppLimits::default()
    };
    app
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
        control_frames_max: given.control_frames_max.unwrap_or(usual.control_frames_max),
    }
}

/// Starts [`reload`]; it ends with what this returns.
fn reload_when_told(deployment: Deployment, apps: Apps) -> io::Result<mpsc::Sender<()>> {
    let (tell, told) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("wharf-reload".into()).spawn(move || {
        let _runtime = runtime.enter();
        reload(deployment, &apps, &told);
    })?;
    Ok(tell)
}

/// Reads all anew when told to, and when something that was read has changed. In a thread of its own: reading and compiling
/// take their time.
fn reload(mut deployment: Deployment, apps: &Apps, told: &mpsc::Receiver<()>) {
    let mut before = deployment.look();
    loop {
        let told = match told.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        let now = deployment.look();
        // What is being written is read once it looks as it did before.
        if told || (deployment.is_stale(&now) && now == before) {
            notify::reloading();
            if told {
                deployment.forget_failures();
            }
            take(apps, deployment.reload());
            notify::ready();
        }
        before = now;
    }
}

/// Serves what a reload has made.
fn take(apps: &Apps, loaded: Result<Reloaded, String>) {
    match loaded {
        Ok(loaded) => {
            say_refused(&loaded);
            let (changed, gone) = (loaded.changed.join(" "), loaded.gone.join(" "));
            tracing::info!(changed, gone, refused = loaded.refused.len(), "reloaded");
            if loaded.settings_changed {
                tracing::warn!(
                    "`[server]` has changed, which is read at the start only: start the server anew for that"
                );
            }
            apps.reloaded(loaded.refused.is_empty());
            apps.replace(loaded.apps);
        }
        Err(trouble) => {
            tracing::error!("not reloaded, everything is served as before\n{trouble}");
            apps.reloaded(false);
        }
    }
}

fn say_refused(loaded: &Reloaded) {
    for (app, trouble) in &loaded.refused {
        tracing::error!(app, "an app cannot be taken as it is\n{trouble}");
    }
}

impl From<Isolation> for plan::Isolation {
    fn from(isolation: Isolation) -> plan::Isolation {
        match isolation {
            Isolation::Request => plan::Isolation::Request,
            Isolation::Serial => plan::Isolation::Serial,
            Isolation::Shared => plan::Isolation::Shared,
        }
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

/// The names of signals that ask for an end, as they come.
fn signals() -> anyhow::Result<UnboundedReceiver<&'static str>> {
    let (send, receive) = unbounded_channel();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (kind, name) in [
            (SignalKind::hangup(), RELOAD),
            (SignalKind::interrupt(), "SIGINT"),
            (SignalKind::terminate(), "SIGTERM"),
        ] {
            let mut signal = signal(kind).context("cannot listen for signals")?;
            let send = send.clone();
            tokio::spawn(async move { while signal.recv().await.is_some() && send.send(name).is_ok() {} });
        }
    }
    #[cfg(windows)]
    {
        let mut ctrl_c = tokio::signal::windows::ctrl_c().context("cannot listen for Ctrl-C")?;
        tokio::spawn(async move { while ctrl_c.recv().await.is_some() && send.send("Ctrl-C").is_ok() {} });
    }
    Ok(receive)
}

/// Whoever asks twice does not want to wait for anything.
async fn exit_on_second(mut signals: UnboundedReceiver<&'static str>) {
    while let Some(signal) = signals.recv().await {
        if signal != RELOAD {
            std::process::exit(1);
        }
    }
}

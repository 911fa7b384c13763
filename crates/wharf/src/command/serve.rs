//! `wharf serve`: apps that answer HTTP requests, from a component with flags or from a manifest.

mod dumps;
mod options;
mod reload;
#[cfg(test)]
mod tests;
mod tls;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wharf_host::{Engine, EngineOptions};
use wharf_server::manifest::{Configuration, app as plan};
use wharf_server::{Address, App, Deployment, Drained, Reloaded, Server, Source};

use crate::assemble::Assembler;
use crate::cli::{Isolation, Serve};
use crate::command::dev::Session;
use crate::kinds::Kinds;
use crate::log::Lines;
use crate::own::OwnComponents;
use crate::{grants, load, log, notify};
use options::{descriptors_max, options, raise_open_files};
use reload::reload_when_told;

/// The signal that asks to read all anew.
const RELOAD: &str = "SIGHUP";

/// How long somebody looks at a terminal on which nothing happens before he asks himself whether anything does.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// What he is told then. What else takes long at a start says so itself.
const COMPILING: &str = "wharf: compiling what is new; it is kept for the next start\n";

/// Serves until a signal ends it; with a session, what that builds.
pub fn serve(serve: Serve, kinds: &Kinds, session: Option<Arc<Session>>) -> ExitCode {
    let (stdout, stderr) = match (Lines::new(io::stdout()), Lines::new(io::stderr())) {
        (Ok(stdout), Ok(stderr)) => (stdout, stderr),
        // No thread can be had: then there is nothing that could say so without waiting, and nothing else would work.
        _ => return ExitCode::FAILURE,
    };
    log::install(&stderr, serve.log.clone());
    if !serve.core_dumps {
        dumps::forbid();
    }
    stdout.open(None);
    if let Some(session) = &session {
        // What is built comes before it is known where it is served.
        session.speak_to(&stderr);
        stderr.open(None);
    }
    let code = match run(start_and_drain(serve, kinds, session, &stdout, &stderr)) {
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

/// Runs a server to its end.
fn run(server: impl Future<Output = anyhow::Result<Drained>>) -> anyhow::Result<Drained> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let drained = runtime.block_on(server);
    // What is still running was given its time.
    runtime.shutdown_background();
    drained
}

async fn start_and_drain(
    serve: Serve,
    kinds: &Kinds,
    session: Option<Arc<Session>>,
    stdout: &Lines,
    stderr: &Lines,
) -> anyhow::Result<Drained> {
    // Before anything can be served: a signal that comes early is not lost.
    let mut signals = signals()?;
    let open_files = raise_open_files();
    let serve = Arc::new(serve);
    let begun = async {
        if let Some(session) = session.clone() {
            tokio::task::spawn_blocking(move || session.begin()).await??;
        }
        let site = Site::read(&serve, kinds)?;
        let development = session.as_ref().map(|session| session.development());
        let options = options(&site.configuration.server, &serve, open_files, development).await?;
        let descriptors_max = descriptors_max(open_files, &options.limits);
        let starting = tokio::task::spawn_blocking({
            let (serve, stdout, stderr) = (serve.clone(), stdout.clone(), stderr.clone());
            let session = session.clone();
            move || site.start(&serve, descriptors_max, session.as_deref(), &stdout, &stderr)
        });
        let is_queued = session.is_none();
        let (apps, deployment) = patiently(starting, || match (io::stderr().is_terminal(), is_queued) {
            (false, _) => {}
            (true, false) => stderr.push(COMPILING.into()),
            // Lines wait for the one that says where the server is; nobody else writes until then.
            (true, true) => drop(io::stderr().write_all(COMPILING.as_bytes())),
        })
        .await??;
        let (tls, status) = (options.tls.clone(), status(&apps));
        Ok::<_, anyhow::Error>((Server::bind(options, apps)?, deployment, tls, status))
    };
    let mut begun = pin!(begun);
    let (server, deployment, tls, status) = loop {
        tokio::select! {
            begun = begun.as_mut() => break begun?,
            signal = signals.recv() => if signal != Some(RELOAD) {
                if let Some(session) = &session {
                    session.end();
                }
                tracing::info!(signal, "stopped before anything was served");
                return Ok(Drained::Completely);
            }
        }
    };
    match &session {
        Some(_) => stderr.push(begins(&serve, &server).into()),
        None => stderr.open(Some(begins(&serve, &server))),
    }
    notify::ready(&status);
    let reloads = reload_when_told(deployment, server.apps(), tls, session.clone())?;
    if let Some(session) = &session {
        session.watch(reloads.clone())?;
    }
    let developed = session.clone();
    let stop = async move {
        let signal = loop {
            match signals.recv().await {
                // It fails only once nobody reloads any more.
                Some(RELOAD) => drop(reloads.send(())),
                signal => break signal,
            }
        };
        notify::stopping();
        if let Some(session) = developed {
            session.end();
        }
        tracing::info!(signal, "stopping: no new connections, finishing what has begun");
        tokio::spawn(exit_on_second(signals));
    };
    let drained = server.run(stop).await;
    kinds.close().await;
    if drained == Drained::TimedOut {
        tracing::warn!(
            "requests were cut off: they took longer than --drain-timeout, or `drain-timeout` of the manifest, allows"
        );
    }
    Ok(drained)
}

/// Waits for `work`, and tells of it where it takes longer than one looks on in silence.
async fn patiently<T>(work: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut work = pin!(work);
    match tokio::time::timeout(SILENCE_MAX, work.as_mut()).await {
        Ok(done) => done,
        Err(_) => {
            tell();
            work.await
        }
    }
}

/// What those who run the server read of it at a glance.
fn status(apps: &[App]) -> String {
    let broken = apps.iter().filter(|app| app.trouble().is_some());
    let broken: Vec<&str> = broken.map(App::name).collect();
    match broken.is_empty() {
        true => "Serving".to_owned(),
        false => format!("Serving, but for {}", broken.join(" ")),
    }
}

/// What is said once the server can be reached.
fn begins(serve: &Serve, server: &Server) -> String {
    let file = serve.file.display();
    let mut said = String::new();
    for listening in server.listening() {
        said += &format!("wharf: serving {file} at {listening}\n");
    }
    match server.admin() {
        Some(Address::Tcp(admin)) => said += &format!("wharf: metrics at http://{admin}/metrics\n"),
        Some(admin) => said += &format!("wharf: metrics at {admin}, path /metrics\n"),
        None => {}
    }
    said
}

/// What is to be served, read and not yet begun.
struct Site {
    source: Source,
    configuration: Configuration,
    kinds: Kinds,
}

impl Site {
    fn read(serve: &Serve, kinds: &Kinds) -> anyhow::Result<Self> {
        let source = match (is_manifest(&serve.file), serve.flag_of_an_app()) {
            (true, Some(flag)) => bail!(
                "{flag} is for a single component: with a manifest, {} says it",
                serve.file.display()
            ),
            (true, None) => Source::Manifest(serve.file.clone()),
            (false, _) => Source::App(Box::new(app(serve))),
        };
        let configuration = Deployment::configuration(&source, kinds.sections());
        // It says itself that it is an error, and where.
        let configuration = configuration.map_err(|problems| anyhow::Error::new(Said(problems.to_string())))?;
        Ok(Self {
            source,
            configuration,
            kinds: kinds.clone(),
        })
    }

    /// Compiles and links all apps. Those that cannot be are said, and served as not available, as long as there are others.
    fn start(
        self,
        serve: &Serve,
        descriptors_max: usize,
        session: Option<&Session>,
        stdout: &Lines,
        stderr: &Lines,
    ) -> anyhow::Result<(Vec<App>, Deployment)> {
        let instances_max = serve
            .limits
            .max_instances
            .or(self.configuration.server.limits.instances_max);
        let usual = EngineOptions::default();
        let engine = Engine::new(EngineOptions {
            instances_max: instances_max.unwrap_or(usual.instances_max),
            descriptors_max,
            source_lines: session.is_some() && load::source_lines(&serve.machine),
            ..usual
        })
        .map_err(|error| anyhow::Error::msg(format!("cannot run components on this machine: {error:#}")))?;
        let assembler = Assembler {
            engine,
            cache: load::cache(&serve.machine)?,
            allow_precompiled: serve.machine.allow_precompiled,
            kinds: self.kinds.clone(),
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            prefixes: session.map(Session::prefixes),
            // A component alone is compiled here at the start: there is nobody else to be held up. Who develops waits for it, and
            // trusts what it is made of.
            apart: AtomicBool::new(session.is_none() && matches!(self.source, Source::Manifest(_))),
            own: OwnComponents::default(),
        };
        let assembler = Arc::new(assembler);
        let apps = self.configuration.apps.len() + self.configuration.broken.len();
        let mut deployment = Deployment::new(self.source, self.kinds.sections().clone(), assembler.clone());
        if let Some(tls) = tls::of_flags(serve) {
            deployment = deployment.with_tls(tls);
        }
        let loaded = deployment.load(self.configuration).map_err(anyhow::Error::msg)?;
        assembler.apart.store(session.is_none(), Ordering::Relaxed);
        if let Some(session) = session {
            session.loaded(reload::trouble(&loaded), false);
        } else if apps > 0 && loaded.refused.len() == apps {
            let said: Vec<&str> = loaded.refused.iter().map(|(_, trouble)| trouble.as_str()).collect();
            return Err(anyhow::Error::new(Said(said.join("\n"))));
        }
        if session.is_none_or(Session::is_built) {
            say_refused(&loaded);
        }
        Ok((loaded.apps, deployment))
    }
}

/// An error that says already that it is one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Whether a file says what to serve, or is what to serve.
pub fn is_manifest(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "toml") || file.is_dir()
}

/// The app that a component is when no flag says more.
pub fn app_of_component(file: &Path) -> plan::App {
    let name = file.file_stem().unwrap_or(file.as_os_str());
    plan::App::of_component(name.to_string_lossy(), file)
}

/// The app that flags describe.
fn app(serve: &Serve) -> plan::App {
    let mut app = app_of_component(&serve.file);
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

fn say_refused(loaded: &Reloaded) {
    for (app, trouble) in &loaded.refused {
        tracing::error!("the app {app} cannot be taken as it is\n{trouble}");
    }
    for app in &loaded.late {
        tracing::warn!(
            app,
            "an app is being compiled: its old version, if there is one, answers until it is there"
        );
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

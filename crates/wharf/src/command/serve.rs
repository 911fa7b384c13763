//! `wharf serve`: a component that answers HTTP requests.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use wharf_host::stdio::Output as GuestOutput;
use wharf_host::{Engine, EngineOptions, Environment, Limits, ServiceOptions, TimeZone};
use wharf_server::{Drained, Server, ServerOptions, Service};

use crate::cli::{Isolation, Serve, ServeLimits};
use crate::log::Lines;
use crate::stdio::{LineOutput, Output};
use crate::{grants, load, log};

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
            stderr.push(format!("error: {error:#}\n").into());
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
    let addr = resolve(&serve.addr).await?;
    let admin = match &serve.admin {
        Some(addr) => Some(resolve(addr).await?),
        None => None,
    };
    let serve = Arc::new(serve);
    let starting = tokio::task::spawn_blocking({
        let (serve, stdout, stderr) = (serve.clone(), stdout.clone(), stderr.clone());
        move || service(&serve, &stdout, &stderr)
    });
    let service = tokio::select! {
        service = starting => service??,
        signal = signals.recv() => {
            tracing::info!(signal, "stopped before anything was served");
            return Ok(Drained::Completely);
        }
    };
    let options = ServerOptions {
        addr,
        admin,
        drain_timeout: serve.drain_timeout,
        head_timeout: serve.head_timeout,
    };
    let server = Server::bind(options, service)?;
    stderr.open(Some(begins(&serve, &server)));
    let stop = async move {
        let signal = signals.recv().await;
        tracing::info!(signal, "stopping: no new connections, finishing what has begun");
        tokio::spawn(exit_on_second(signals));
    };
    let drained = server.run(stop).await;
    if drained == Drained::TimedOut {
        tracing::warn!("requests were cut off: they took longer than --drain-timeout");
    }
    Ok(drained)
}

/// What is said once the server can be reached.
fn begins(serve: &Serve, server: &Server) -> String {
    let file = serve.file.display();
    let mut said = format!("wharf: serving {file} at http://{}\n", server.local_addr());
    if let Some(admin) = server.admin_addr() {
        said += &format!("wharf: metrics at http://{admin}/metrics\n");
    }
    said
}

fn service(serve: &Serve, stdout: &Lines, stderr: &Lines) -> anyhow::Result<Service> {
    let engine = Engine::new(EngineOptions {
        instances_max: serve.limits.max_instances,
        ..EngineOptions::default()
    })
    .map_err(|error| anyhow::Error::msg(format!("cannot run components on this machine: {error:#}")))?;
    let component = load::component(&engine, &serve.machine, &serve.file, &serve.middleware)?;
    let capabilities = grants::capabilities(&serve.grants)?;
    let options = ServiceOptions {
        isolation: serve.isolation.map(Into::into),
        environment: Environment {
            variables: grants::variables(&serve.grants),
            stdout: by_line(stdout),
            stderr: by_line(stderr),
            time_zone: TimeZone::system(),
            ..Environment::default()
        },
        limits: limits(&serve.limits),
        ..ServiceOptions::default()
    };
    Ok(Service::new(&component, capabilities, options)?)
}

fn by_line(lines: &Lines) -> GuestOutput {
    let lines = lines.clone();
    GuestOutput::per_instance(move || Box::new(Output::new(LineOutput::new(lines.clone()))))
}

fn limits(limits: &ServeLimits) -> Limits {
    Limits {
        memory_bytes_max: limits.max_memory,
        cpu_time_max: limits.max_cpu_time,
        response_timeout: limits.timeout,
        queue_timeout: limits.queue_timeout,
        background_timeout: limits.background_timeout,
        ..Limits::default()
    }
}

impl From<Isolation> for wharf_host::Isolation {
    fn from(isolation: Isolation) -> wharf_host::Isolation {
        match isolation {
            Isolation::Request => wharf_host::Isolation::Request,
            Isolation::Serial => wharf_host::Isolation::Serial,
            Isolation::Shared => wharf_host::Isolation::Shared,
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
fn signals() -> anyhow::Result<mpsc::UnboundedReceiver<&'static str>> {
    let (send, receive) = mpsc::unbounded_channel();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (kind, name) in [
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
async fn exit_on_second(mut signals: mpsc::UnboundedReceiver<&'static str>) {
    if signals.recv().await.is_some() {
        std::process::exit(1);
    }
}

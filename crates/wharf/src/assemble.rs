//! From a manifest's app to a service: what its guests may reach, how they are limited, where their code is compiled.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wharf_host::stdio::Output as GuestOutput;
use wharf_host::{
    Capabilities, CodeCache, Component, Engine, Environment, Limits, OpenedSocketLimits, ServiceOptions, TimeZone,
};
use wharf_server::manifest::app::{App, AppComponent, AppLimits, Isolation, OpenedWebsocket};
use wharf_server::manifest::compose::exporters;
use wharf_server::{Assemble, Part, Service, Trouble, TroubleWith};

use crate::kinds::Kinds;
use crate::log::Lines;
use crate::own::OwnComponents;
use crate::prefix::Prefixes;
use crate::stdio::{LineOutput, Output};
use crate::{compile, grants, load};

/// Assembles the services of one server.
pub struct Assembler {
    pub engine: Engine,
    pub cache: Option<CodeCache>,
    pub kinds: Kinds,
    pub stdout: Lines,
    pub stderr: Lines,
    /// What the lines of guests begin with. `None`: with nothing.
    pub prefixes: Option<Prefixes>,
    /// Files of compiled code are taken.
    pub allow_precompiled: bool,
    /// Components are compiled in a process of their own.
    pub apart: AtomicBool,
    /// Components with instances of their own.
    pub own: OwnComponents,
}

impl Assemble for Assembler {
    fn assemble(&self, part: &Part<'_>) -> Result<Service, Trouble> {
        let (app, component) = (part.app, part.component);
        let isolation = component.isolation.map(isolation);
        let (compiled, _) = self.compiled(part).map_err(trouble)?;
        let capabilities = self.capabilities(part, &compiled)?;
        let usual = ServiceOptions::default();
        let options = ServiceOptions {
            isolation,
            environment: self.environment(part),
            limits: all_limits(app),
            requests_max: requests_max(&app.limits, isolation).unwrap_or(usual.requests_max),
            reuse_max: app.limits.reuse_max.unwrap_or(usual.reuse_max),
            idle_timeout: app.limits.idle_timeout.unwrap_or(usual.idle_timeout),
            ..usual
        };
        Ok(Service::new(&compiled, capabilities, options)?)
    }
}

impl Assembler {
    /// What a component's imports are met with: by Wharf, and by the app's components with instances of their own.
    pub fn capabilities(&self, part: &Part<'_>, compiled: &Component) -> Result<Capabilities, Trouble> {
        let (name, app) = (compiled.name(), part.app);
        let (linked, interfaces) = self.linked(part, compiled)?;
        let mut missing = self.kinds.sections().missing(compiled.inspection(), &app.sections);
        missing.imports.retain(|missing| !interfaces.contains(&missing.name));
        if !missing.is_empty() {
            let missing = missing.with_functions(|import| compiled.functions_of_import(import));
            let file = |file: &Path| part.file(file);
            let missing = missing.with_exporters(|import| exporters(app, part.component, import, file));
            return Err(format!("{name}: {missing}").into());
        }
        let mut capabilities = grants::capabilities(app).map_err(Trouble::from)?;
        capabilities.extend(self.kinds.open(app).map_err(Trouble::from)?);
        capabilities.extend(linked);
        Ok(capabilities.into())
    }

    /// What a component sees of its surroundings.
    pub fn environment(&self, part: &Part<'_>) -> Environment {
        let prefix = |is_terminal| -> Arc<str> {
            let prefixes = self.prefixes.as_ref();
            prefixes.map_or_else(Arc::default, |prefixes| {
                prefixes.of(&name_of(part.app, part.component), is_terminal).into()
            })
        };
        let variables = part.app.environment.iter().chain(part.secrets());
        Environment {
            variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
            stdout: by_line(&self.stdout, prefix(io::stdout().is_terminal())),
            stderr: by_line(&self.stderr, prefix(io::stderr().is_terminal())),
            time_zone: TimeZone::system(),
            ..Environment::default()
        }
    }

    /// The component's code, and the whole that it was made of.
    pub fn compiled<'a>(&self, part: &Part<'a>) -> anyhow::Result<(Component, Cow<'a, [u8]>)> {
        let name = part.component.file.display().to_string();
        let bytes = compile::joined(part)?;
        if let Some(component) = load::precompiled(&self.engine, self.allow_precompiled, &name, &bytes)? {
            return Ok((component, bytes));
        }
        let component = match self.apart.load(Ordering::Relaxed) {
            true => compile::apart(&self.engine, &name, &bytes, self.cache.as_ref(), part.wanted)?,
            false => Component::new(&self.engine, &name, &bytes, self.cache.as_ref())?,
        };
        Ok((component, bytes))
    }
}

/// An error as it is told. One that names a part of the app can be told by that ([`TroubleWith`]).
pub fn trouble(error: anyhow::Error) -> Trouble {
    match error.downcast::<TroubleWith>() {
        Ok(trouble) => trouble.into(),
        Err(error) => error.into(),
    }
}

fn by_line(lines: &Lines, prefix: Arc<str>) -> GuestOutput {
    let lines = lines.clone();
    GuestOutput::per_instance(move || Box::new(Output::new(LineOutput::new(lines.clone(), prefix.clone()))))
}

/// What people call a component: by its app, and by its own name where there are several.
pub fn name_of(app: &App, component: &AppComponent) -> String {
    match app.components.len() {
        1 => app.name.clone(),
        _ => format!("{}/{}", app.name, component.name),
    }
}

/// What is said of both requests and instances holds for the smaller one, where each request has an instance.
fn requests_max(limits: &AppLimits, isolation: Option<wharf_host::Isolation>) -> Option<usize> {
    let instances = match isolation {
        Some(wharf_host::Isolation::Shared) => None,
        _ => limits.instances_max,
    };
    let most = limits.requests_max.into_iter().chain(instances).min()?;
    usize::try_from(most).ok()
}

/// The limits of an app's instances.
pub fn all_limits(app: &App) -> Limits {
    Limits {
        app: Some(app.name.as_str().into()),
        opened_sockets: opened_sockets(&app.websocket.opened),
        ..limits(&app.limits)
    }
}

fn limits(limits: &AppLimits) -> Limits {
    let usual = Limits::default();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        memory_bytes_max: limits.memory_bytes_max.map_or(usual.memory_bytes_max, bytes),
        descriptors_max: limits
            .descriptors_max
            .map_or(usual.descriptors_max, |most| most as usize),
        cpu_time_max: limits.cpu_time_max.unwrap_or(usual.cpu_time_max),
        response_timeout: limits.response_timeout.unwrap_or(usual.response_timeout),
        background_timeout: limits.background_timeout.unwrap_or(usual.background_timeout),
        queue_timeout: limits.queue_timeout.unwrap_or(usual.queue_timeout),
        queue_length_max: limits
            .queue_length_max
            .map_or(usual.queue_length_max, |most| most as usize),
        ..usual
    }
}

fn opened_sockets(written: &OpenedWebsocket) -> OpenedSocketLimits {
    let usual = OpenedSocketLimits::default();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    OpenedSocketLimits {
        message_bytes_max: written.message_bytes_max.map_or(usual.message_bytes_max, bytes),
        idle_timeout: written.idle_timeout.unwrap_or(usual.idle_timeout),
        ping_interval: written.ping_interval.unwrap_or(usual.ping_interval),
        pong_timeout: written.pong_timeout.unwrap_or(usual.pong_timeout),
        close_timeout: written.close_timeout.unwrap_or(usual.close_timeout),
    }
}

fn isolation(isolation: Isolation) -> wharf_host::Isolation {
    match isolation {
        Isolation::Request => wharf_host::Isolation::Request,
        Isolation::Serial => wharf_host::Isolation::Serial,
        Isolation::Shared => wharf_host::Isolation::Shared,
    }
}

//! From a manifest's app to a service: what its guests may reach, how they are limited, where their code is compiled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use wharf_host::stdio::Output as GuestOutput;
use wharf_host::{CodeCache, Component, Engine, Environment, Limits, ServiceOptions, TimeZone};
use wharf_server::manifest::app::{App, AppComponent, AppLimits, Isolation};
use wharf_server::{Assemble, Service, Trouble};

use crate::log::Lines;
use crate::stdio::{LineOutput, Output};
use crate::{compile, grants};

/// Assembles the services of one server.
pub struct Assembler {
    pub engine: Engine,
    pub cache: Option<CodeCache>,
    pub stdout: Lines,
    pub stderr: Lines,
    /// Components are compiled in a process of their own.
    pub apart: AtomicBool,
}

impl Assemble for Assembler {
    fn assemble(
        &self,
        app: &App,
        component: &AppComponent,
        bytes: &[u8],
        secrets: &BTreeMap<String, String>,
    ) -> Result<Service, Trouble> {
        let name = component.file.display().to_string();
        let isolation = component.isolation.map(isolation);
        let compiled = self.compiled(&name, bytes).map_err(Trouble::from)?;
        let capabilities = grants::capabilities(app).map_err(Trouble::from)?;
        let variables = app.environment.iter().chain(secrets);
        let usual = ServiceOptions::default();
        let options = ServiceOptions {
            isolation,
            environment: Environment {
                variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
                stdout: by_line(&self.stdout),
                stderr: by_line(&self.stderr),
                time_zone: TimeZone::system(),
                ..Environment::default()
            },
            limits: limits(&app.limits),
            requests_max: requests_max(&app.limits, isolation).unwrap_or(usual.requests_max),
            reuse_max: app.limits.reuse_max.unwrap_or(usual.reuse_max),
            ..usual
        };
        Ok(Service::new(&compiled, capabilities, options)?)
    }
}

impl Assembler {
    fn compiled(&self, name: &str, bytes: &[u8]) -> anyhow::Result<Component> {
        match &self.cache {
            Some(cache) if self.apart.load(Ordering::Relaxed) => compile::apart(&self.engine, name, bytes, cache),
            cache => Ok(Component::new(&self.engine, name, bytes, cache.as_ref())?),
        }
    }
}

fn by_line(lines: &Lines) -> GuestOutput {
    let lines = lines.clone();
    GuestOutput::per_instance(move || Box::new(Output::new(LineOutput::new(lines.clone()))))
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

fn limits(limits: &AppLimits) -> Limits {
    let usual = Limits::default();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        memory_bytes_max: limits.memory_bytes_max.map_or(usual.memory_bytes_max, bytes),
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

fn isolation(isolation: Isolation) -> wharf_host::Isolation {
    match isolation {
        Isolation::Request => wharf_host::Isolation::Request,
        Isolation::Serial => wharf_host::Isolation::Serial,
        Isolation::Shared => wharf_host::Isolation::Shared,
    }
}

//! What an app costs that was compiled before and never touched since.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wharf_host::{Component, Engine, EngineOptions, Service, ServiceOptions};

use crate::ask::ask;
use crate::{Folders, resident_bytes, thread_cpu_us};

const GUEST: &str = "http-hello";
const PYTHON: &str = "bench-python";

/// Apps opened for one figure of [`first_responses`]; the first in the process is told apart.
const FIRSTS: u32 = 50;

/// The same with an interpreter inside, which takes a hundred times the room.
const PYTHON_FIRSTS: u32 = 6;

/// Apps of [`many_apps`].
const APPS: u32 = 1000;

/// The component, and something that makes it another.
fn app(component: &[u8], nth: u32) -> Vec<u8> {
    let mut app = component.to_vec();
    let name = CustomSection {
        name: "wharf-bench".into(),
        data: Cow::Owned(nth.to_le_bytes().to_vec()),
    };
    name.append_to_component(&mut app);
    app
}

fn open(engine: &Engine, folders: &Folders, bytes: &[u8]) -> Result<Service> {
    let component = Component::new(engine, GUEST, bytes, Some(&folders.cache))?;
    Ok(Service::new(&component, Arc::new([]), ServiceOptions::default())?)
}

/// Microseconds of processor time from a component's bytes to its first response, its code in the cache: of the first app
/// in the process, and the median of others.
pub async fn first_responses(folders: &Folders) -> Result<Value> {
    let firsts = Firsts::of(folders, GUEST, FIRSTS).await?;
    Ok(json!({
        "first_in_process_us": firsts.first_in_process,
        "open_us": firsts.open,
        "first_request_us": firsts.request,
        "first_response_us": firsts.response,
    }))
}

/// The same of a service in Python.
pub async fn first_responses_of_python(folders: &Folders) -> Result<Value> {
    let firsts = Firsts::of(folders, PYTHON, PYTHON_FIRSTS).await?;
    Ok(json!({
        "python_open_us": firsts.open,
        "python_first_request_us": firsts.request,
        "python_first_response_us": firsts.response,
    }))
}

/// Microseconds of processor time.
struct Firsts {
    first_in_process: f64,
    open: f64,
    request: f64,
    response: f64,
}

impl Firsts {
    async fn of(folders: &Folders, guest: &str, count: u32) -> Result<Self> {
        let component = folders.guest(guest)?;
        let apps: Vec<_> = (0..count).map(|nth| app(&component, nth)).collect();
        compile(folders, &apps)?;
        let engine = Engine::new(EngineOptions::default())?;
        let (mut opened, mut answered, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut services = Vec::new();
        for bytes in &apps {
            let begun = thread_cpu_us();
            let service = open(&engine, folders, bytes)?;
            let open = thread_cpu_us();
            ask(&service, "/", Bytes::new()).await?;
            let done = thread_cpu_us();
            opened.push(open - begun);
            answered.push(done - open);
            all.push(done - begun);
            services.push(service);
        }
        Ok(Self {
            first_in_process: all[0],
            open: median(&mut opened[1..]),
            request: median(&mut answered[1..]),
            response: median(&mut all[1..]),
        })
    }
}

/// What so many open apps cost that nobody has called: time, and resident memory.
pub fn many_apps(folders: &Folders) -> Result<Value> {
    let component = folders.guest(GUEST)?;
    let apps: Vec<_> = (0..APPS).map(|nth| app(&component, nth)).collect();
    compile(folders, &apps)?;
    let engine = Engine::new(EngineOptions::default())?;
    let first = open(&engine, folders, &component)?;
    let (resident, begun, cpu) = (resident_bytes()?, Instant::now(), thread_cpu_us());
    let mut services = Vec::with_capacity(apps.len());
    for bytes in &apps {
        services.push(open(&engine, folders, bytes)?);
    }
    let (elapsed, cpu) = (begun.elapsed(), thread_cpu_us() - cpu);
    let grown = resident_bytes()?.saturating_sub(resident);
    drop(first);
    Ok(json!({
        "apps": APPS,
        "open_all_ms": elapsed.as_secs_f64() * 1e3,
        "open_all_cpu_ms": cpu / 1e3,
        "kib_each": grown as f64 / f64::from(APPS) / 1024.0,
    }))
}

/// Sees to it that all are in the cache.
fn compile(folders: &Folders, apps: &[Vec<u8>]) -> Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let compile = |apps: &[Vec<u8>]| -> Result<()> {
        for bytes in apps {
            Component::new(&engine, GUEST, bytes, Some(&folders.cache))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let parts = apps.chunks(apps.len().div_ceil(threads));
        let workers: Vec<_> = parts.map(|part| scope.spawn(|| compile(part))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().ok().context("a compiling thread panicked")?)
    })
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

//! What a call from one component of an app to another costs.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wharf_host::{Component, Engine, EngineOptions, Environment, Instance, Limits};

use crate::{Folders, thread_cpu_us};

const HOP: &str = "wharf:bench/hop";
const CALLS: &str = "wharf:bench/calls";

/// Calls in a row, for one figure.
const TIMES: u32 = 1000;

/// Such rows; the fastest is nearest to what the call costs.
const ROWS: usize = 50;

/// Microseconds of processor time for one asynchronous call, within one instance of an app of two components.
pub async fn measure(folders: &Folders) -> Result<Value> {
    let engine = Engine::new(EngineOptions::default())?;
    let component = Component::new(&engine, "calls", &compose(folders)?, Some(&folders.cache))?;
    let mut app = Instance::new(&component, Arc::new([]), Environment::default(), Limits::default()).await?;
    let mut rows = Vec::new();
    for _ in 0..ROWS {
        // Without a call it costs something too.
        let nothing = row(&mut app, 0).await?;
        rows.push((row(&mut app, TIMES).await? - nothing) / f64::from(TIMES));
    }
    rows.sort_by(f64::total_cmp);
    Ok(json!({ "call_us_min": rows[0], "call_us_median": rows[ROWS / 2] }))
}

async fn row(app: &mut Instance, times: u32) -> Result<f64> {
    let before = thread_cpu_us();
    let (sum,): (u32,) = app.call(&format!("{CALLS}#calls"), (times,)).await?;
    let elapsed = thread_cpu_us() - before;
    anyhow::ensure!(sum == (1..=times).sum::<u32>(), "the calls added up to {sum}");
    Ok(elapsed)
}

fn compose(folders: &Folders) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let callee = Package::from_bytes("wharf:callee", None, folders.guest("bench-callee")?, graph.types_mut())?;
    let caller = Package::from_bytes("wharf:caller", None, folders.guest("bench-caller")?, graph.types_mut())?;
    let (callee, caller) = (graph.register_package(callee)?, graph.register_package(caller)?);
    let (callee, caller) = (graph.instantiate(callee), graph.instantiate(caller));
    let hop = graph.alias_instance_export(callee, HOP)?;
    graph.set_instantiation_argument(caller, HOP, hop)?;
    let calls = graph.alias_instance_export(caller, CALLS)?;
    graph.export(calls, CALLS)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

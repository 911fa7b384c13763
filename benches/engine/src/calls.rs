//! What a call costs: from one component of an app to another, and, beside it, within one component.
//!
//! The same guest calls in all of them but the direct one, whose source is the same but for the boundary. They take turns, so that
//! what the machine does besides is done to all.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Map, Value, json};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wharf_host::{
    Capabilities, Component, Engine, EngineOptions, Environment, Instance, Limits, LinkedComponent, LinkedInterface,
};

use crate::{Folders, thread_cpu_us};

const HOP: &str = "wharf:bench/hop";
const CALLS: &str = "wharf:bench/calls";

/// Calls in a row, for one figure.
const TIMES: u32 = 1000;

/// Likewise of those that leave no component: a few nanoseconds each.
const TIMES_DIRECT: u32 = 1_000_000;

/// Such rows of each; the fastest is nearest to what the call costs.
const ROWS: usize = 50;

/// An app that calls, and what its rows took, in microseconds for one call.
struct Caller {
    name: &'static str,
    times: u32,
    instance: Instance,
    rows: Vec<f64>,
}

/// Microseconds of processor time for one asynchronous call: within a component (`direct`), between two that are one instance
/// (`call`), and to one with an instance of its own (`linked`), which lives in another task of the same thread.
pub async fn measure(folders: &Folders) -> Result<Value> {
    let engine = Engine::new(EngineOptions::default())?;
    let component = |name: &str, bytes: &[u8]| Component::new(&engine, name, bytes, Some(&folders.cache));
    let direct = component("direct", &folders.guest("bench-direct")?)?;
    let composed = component("calls", &compose(folders)?)?;
    let callee = component("callee", &folders.guest("bench-callee")?)?;
    let caller = component("caller", &folders.guest("bench-caller")?)?;
    let mut callers = [
        Caller::new("direct", TIMES_DIRECT, &direct, Arc::new([])).await?,
        Caller::new("call", TIMES, &composed, Arc::new([])).await?,
        Caller::new("linked", TIMES, &caller, linked(&callee)?).await?,
    ];
    for _ in 0..ROWS {
        for caller in &mut callers {
            caller.take_turn().await?;
        }
    }
    Ok(Value::Object(callers.into_iter().flat_map(Caller::figures).collect()))
}

/// What leads to an instance of its own.
fn linked(callee: &Component) -> Result<Capabilities> {
    let capabilities: Capabilities = Arc::new([]);
    let linked = LinkedComponent::new(
        "callee",
        callee,
        capabilities,
        Environment::default(),
        Limits::default(),
    )?;
    let interface = LinkedInterface {
        import: HOP.to_owned(),
        export: HOP.to_owned(),
    };
    Ok(Arc::new([linked.capability(vec![interface])]))
}

impl Caller {
    async fn new(name: &'static str, times: u32, component: &Component, capabilities: Capabilities) -> Result<Self> {
        let instance = Instance::new(component, capabilities, Environment::default(), Limits::default()).await?;
        let rows = Vec::new();
        Ok(Self {
            name,
            times,
            instance,
            rows,
        })
    }

    async fn take_turn(&mut self) -> Result<()> {
        // The first comes after the others' turns, and finds none of its own in the processor's caches.
        self.row(0).await?;
        // Without a call it costs something too.
        let nothing = self.row(0).await?;
        let row = self.row(self.times).await? - nothing;
        self.rows.push(row / f64::from(self.times));
        Ok(())
    }

    async fn row(&mut self, times: u32) -> Result<f64> {
        let before = thread_cpu_us();
        let (sum,): (u32,) = self.instance.call(&format!("{CALLS}#calls"), (times,)).await?;
        let elapsed = thread_cpu_us() - before;
        let expected = (1..=times).fold(0, u32::wrapping_add);
        anyhow::ensure!(sum == expected, "the calls added up to {sum}");
        Ok(elapsed)
    }

    fn figures(mut self) -> Map<String, Value> {
        self.rows.sort_by(f64::total_cmp);
        let figure = |what: &str, value: f64| (format!("{}_us_{what}", self.name), json!(value));
        [
            figure("min", self.rows[0]),
            figure("median", self.rows[self.rows.len() / 2]),
        ]
        .into_iter()
        .collect()
    }
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

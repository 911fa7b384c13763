//! Counters of an app, which outlive its instances: `acme:tally/tally`, granted by the section `[tally]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wharf_host::capability::{OpenError, Section, Written};
use wharf_host::wasmtime::{self, component::Accessor};
use wharf_host::wit::Package;
use wharf_host::{Admission, Capability, Imports, InstanceState, Kind, Sample};

/// Counters that outlive the instances that count.
// This comment and those of the fields are what the reference says of the section.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenTally {
    /// What the app may count. Each counter begins at 0 when the server starts.
    counters: Vec<String>,
}

/// Reads the section and opens the counters.
pub struct TallyKind;

impl Section for TallyKind {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenTally>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["acme:tally/tally@0.1.0"]
    }

    fn wit(&self) -> Vec<Package> {
        let text = include_str!("../../wit/tally.wit");
        vec![Package::new("acme:tally", "0.1.0", "counters of an app", text)]
    }

    fn check(&self, written: &Written) -> Vec<wharf_host::capability::Fault> {
        let tally: WrittenTally = match written.read() {
            Ok(tally) => tally,
            Err(fault) => return vec![fault],
        };
        let empty = tally.counters.iter().position(String::is_empty);
        let fault =
            |nth: usize| wharf_host::capability::Fault::new(["counters", &nth.to_string()], "a counter has a name");
        empty.map(fault).into_iter().collect()
    }
}

impl Kind for TallyKind {
    fn open(&self, _app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let tally: WrittenTally = written.read()?;
        let counters = tally.counters.into_iter().map(|name| (name, AtomicU64::new(0)));
        Ok(Arc::new(Tally(Arc::new(counters.collect()))))
    }
}

/// The counters of one app.
struct Tally(Arc<Counters>);

type Counters = BTreeMap<String, AtomicU64>;

impl Capability for Tally {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        let mut tally = imports.linker().instance("acme:tally/tally@0.1.0")?;
        tally.func_wrap_concurrent("add", |accessor, params: (String, u64)| {
            Box::pin(async move { Ok((add(accessor, params),)) })
        })
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        admission.extend(self.0.clone());
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |(name, counter): (&String, &AtomicU64)| Sample {
            name: "counted",
            help: "What each counter has come to",
            is_counter: true,
            labels: vec![("counter", name.clone())],
            value: counter.load(Ordering::Relaxed) as f64,
        };
        self.0.iter().map(sample).collect()
    }
}

/// A capability that has to wait for something would await it here: the guest waits with it, and nobody else does.
fn add(accessor: &Accessor<InstanceState>, (name, by): (String, u64)) -> Option<u64> {
    let counters = accessor.with(|mut store| store.get().extension::<Arc<Counters>>().cloned())?;
    let before = counters.get(&name)?.fetch_add(by, Ordering::Relaxed);
    Some(before.wrapping_add(by))
}

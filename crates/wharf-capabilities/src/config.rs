//! `wasi:config`: values that the manifest gives to an app's guests.
//!
//! Secrets among them are read anew each time a guest asks, on a thread for that: a new value is there without a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wharf_host::InstanceState;
use wharf_host::capability::secret::WrittenSecret;
use wharf_host::capability::{
    Admission, Capability, Fault, Imports, Kind, OpenError, SecretSource, Section, Written, field,
};
use wharf_host::wit::Package;

const NAME: &str = "config";

/// Both have the same types.
const INTERFACES: &[&str] = &[
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft-2024-09-27",
];

/// Values for guests, as `KEY = "value"`, with `wasi:config`. A secret is written `KEY = { file = "..." }` or
/// `KEY = { variable = "..." }`, or `KEY = { encrypted = "...", name = "..." }`, and read anew each time a guest asks for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct WrittenConfig(BTreeMap<String, field::TextOr<WrittenSecret>>);

/// A value, or where it is.
#[derive(Debug)]
enum Value {
    Text(String),
    Secret(SecretSource),
}

type Values = BTreeMap<String, Value>;

fn read(written: &Written) -> Result<Values, Vec<Fault>> {
    let section: WrittenConfig = written.read().map_err(|fault| vec![fault])?;
    let mut wrong = Vec::new();
    let mut values = Values::new();
    for (key, value) in section.0 {
        if key.is_empty() {
            wrong.push(Fault::new([""], "a value has a key"));
        }
        let value = match value {
            field::TextOr::Text(text) => Value::Text(text),
            field::TextOr::Table(secret) => match secret.source(written) {
                Ok(source) => Value::Secret(source),
                Err(fault) => {
                    wrong.push(fault.below(&key));
                    continue;
                }
            },
        };
        values.insert(key, value);
    }
    match wrong.is_empty() {
        true => Ok(values),
        false => Err(wrong),
    }
}

/// The capability's section.
pub struct ConfigKind;

impl Section for ConfigKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenConfig>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        INTERFACES
    }

    fn wit(&self) -> Vec<Package> {
        vec![
            Package::new(
                "wasi:config",
                "0.2.0-rc.1",
                "values of the app's configuration",
                include_str!("../../../wit/config/rc1/config.wit"),
            ),
            Package::new(
                "wasi:config",
                "0.2.0-draft-2024-09-27",
                "the same, under its former name",
                include_str!("../../../wit/config/draft-2024-09-27/config.wit"),
            ),
        ]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        read(written).err().unwrap_or_default()
    }

    fn secrets(&self, written: &Written) -> Vec<(Vec<String>, SecretSource)> {
        let values = read(written).unwrap_or_default().into_iter();
        let secrets = values.filter_map(|(key, value)| match value {
            Value::Secret(source) => Some((vec![key], source)),
            Value::Text(_) => None,
        });
        secrets.collect()
    }
}

impl Kind for ConfigKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let values = read(written).map_err(crate::section::first)?;
        Ok(Arc::new(Config(Arc::new(Shared {
            app: app.to_owned(),
            values,
        }))))
    }
}

/// The values of one app.
struct Config(Arc<Shared>);

struct Shared {
    app: String,
    values: Values,
}

/// The variant `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

impl Capability for Config {
    fn name(&self) -> &'static str {
        NAME
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        INTERFACES
            .iter()
            .try_for_each(|interface| link(imports.linker(), interface, &self.0))
    }

    fn admit(&self, _: &mut Admission<'_>) -> wasmtime::Result<()> {
        // The functions that were linked know the app's values.
        Ok(())
    }
}

fn link(linker: &mut Linker<InstanceState>, interface: &str, shared: &Arc<Shared>) -> wasmtime::Result<()> {
    let mut store = linker.instance(interface)?;
    let known = shared.clone();
    store.func_wrap_async("get", move |_, (key,): (String,)| {
        let known = known.clone();
        Box::new(async move {
            let got = match known.values.get(&key) {
                Some(value) => known.value(&key, value).await.map(Some),
                None => Ok(None),
            };
            Ok((got,))
        })
    })?;
    let known = shared.clone();
    store.func_wrap_async("get-all", move |_, ()| {
        let known = known.clone();
        Box::new(async move { Ok((known.all().await,)) })
    })
}

impl Shared {
    async fn all(&self) -> Result<Vec<(String, String)>, Error> {
        let mut all = Vec::with_capacity(self.values.len());
        for (key, value) in &self.values {
            all.push((key.clone(), self.value(key, value).await?));
        }
        Ok(all)
    }

    /// What a guest hears of a secret that cannot be read is its key; why, the log says.
    async fn value(&self, key: &str, value: &Value) -> Result<String, Error> {
        let source = match value {
            Value::Text(text) => return Ok(text.clone()),
            Value::Secret(source) => source.clone(),
        };
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let reason = match read {
            Ok(Ok(secret)) => return Ok(secret),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(app = %self.app, section = NAME, key, reason, "a secret cannot be read");
        Err(Error::Io(format!("the value of {key} cannot be read")))
    }
}

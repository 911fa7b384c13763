//! The section `[keyvalue.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wharf_host::capability::field;
use wharf_host::capability::{Capability, Fault, Kind, OpenError, SecretSource, Section, Written};
use wharf_host::wit::Package;

use super::memory::Memory;
use super::redis::Remote;
use super::sqlite::{Sqlite, SqliteOptions};
use super::store::{Backend, Store};
use super::{KeyvalueCapability, Stores};
use crate::held::Holding;
use crate::redis::{RedisOptions, WrittenRedis};
use crate::section::{bytes, faults, first, held, sqlite_files};

pub(super) const NAME: &str = "keyvalue";

/// Little beside what a server has.
const MEMORY_BYTES: u64 = 64 << 20;
/// Room for years of sessions, and no full disk.
const FILE_BYTES: u64 = 1 << 30;
/// What is larger belongs into files.
const VALUE_BYTES: u64 = 1 << 20;
/// What one call may put into a guest's memory.
const BATCH_BYTES: u64 = 16 << 20;
/// What SQLite takes for a table's name, and Redis for a part of keys, without marks of their own.
const NAME_BYTES_MAX: usize = 64;

/// Stores that guests open by name, with `wasi:keyvalue`. NAME is what they call it; who names none means `default`. An empty
/// section is a store in memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct WrittenKeyvalue(BTreeMap<String, WrittenStore>);

/// A store. Its entries are in memory, and end with the server, unless `file` or `redis` says otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenStore {
    /// A file of SQLite's that the entries are in; it is made where it is not there. Several stores may share one.
    file: Option<String>,
    /// A Redis or Valkey server that the entries are in.
    redis: Option<WrittenRedis>,
    /// How much the store may hold: in memory the entries, with their keys and 128 bytes each, in a file the whole file. Past
    /// it, what is new is refused. Default: `"64MiB"` in memory, `"1GiB"` in a file; Redis has its own.
    size: Option<field::Size>,
    /// How large a value may be; larger ones are refused. Default: `"1MiB"`.
    value: Option<field::Size>,
    /// How much the values of one call may have together, where it names several keys. Default: `"16MiB"`.
    batch: Option<field::Size>,
    /// How much the values may take together that are on their way to a file or to Redis; past it calls are refused. Default:
    /// `"64MiB"`, or as much as one call may have where that is more.
    held: Option<field::Size>,
}

/// What a store is like.
#[derive(Debug)]
struct Options {
    place: Place,
    value_bytes_max: u64,
    batch_bytes_max: u64,
    holding: Arc<Holding>,
}

#[derive(Debug)]
enum Place {
    Memory { bytes_max: u64 },
    File { file: PathBuf, bytes_max: u64 },
    Redis(Box<RedisOptions>),
}

/// All stores of a section.
fn read(written: &Written) -> Result<BTreeMap<String, Options>, Vec<Fault>> {
    let section: WrittenKeyvalue = written.read().map_err(|fault| vec![fault])?;
    let mut wrong = Vec::new();
    let mut stores = BTreeMap::new();
    for (name, store) in &section.0 {
        if !is_name(name) {
            let message = format!("`{}` cannot be the name of a store", name.escape_debug());
            let help = "use ASCII letters, digits, `-`, `_` and `.`, at most 64";
            wrong.push(Fault::new([name.as_str()], message).with_help(help));
        }
        if let Some(options) = faults(&mut wrong, store.options(written), name) {
            stores.insert(name.clone(), options);
        }
    }
    match wrong.is_empty() {
        true => Ok(stores),
        false => Err(wrong),
    }
}

fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_fine)
}

impl WrittenStore {
    fn options(&self, written: &Written) -> Result<Options, Vec<Fault>> {
        let mut wrong = Vec::new();
        let place = match (&self.file, &self.redis) {
            (None, None) => Place::Memory {
                bytes_max: bytes(&mut wrong, "size", &self.size, MEMORY_BYTES),
            },
            (Some(file), None) => Place::File {
                file: written.path(file),
                bytes_max: bytes(&mut wrong, "size", &self.size, FILE_BYTES),
            },
            (None, Some(redis)) => {
                if self.size.is_some() {
                    let fault = Fault::new(["size"], "how much a Redis server holds is its own to say");
                    wrong.push(fault.with_help("set `maxmemory` there"));
                }
                let redis = faults(&mut wrong, redis.options(written), "redis").ok_or_else(|| wrong.clone())?;
                Place::Redis(Box::new(redis))
            }
            (Some(_), Some(_)) => {
                let fault = Fault::new(["redis"], "a store is in a file or in Redis, not in both");
                return Err(vec![fault.with_help("leave one of them out")]);
            }
        };
        let value_bytes_max = bytes(&mut wrong, "value", &self.value, VALUE_BYTES);
        let batch_bytes_max = bytes(&mut wrong, "batch", &self.batch, BATCH_BYTES);
        let options = Options {
            place,
            value_bytes_max,
            batch_bytes_max,
            holding: held(&mut wrong, &self.held, value_bytes_max.max(batch_bytes_max)),
        };
        if options.value_bytes_max > u64::from(u32::MAX / 4) {
            wrong.push(Fault::new(["value"], "a value has at most 1 GiB"));
        }
        match wrong.is_empty() {
            true => Ok(options),
            false => Err(wrong),
        }
    }
}

impl Options {
    fn open(self, app: &str, name: &str) -> Result<Store, OpenError> {
        let backend = match self.place {
            Place::Memory { bytes_max } => Backend::Memory(Memory::new(bytes_max)),
            Place::Redis(redis) => Backend::Redis(Box::new(Remote::new(app, name, *redis, self.value_bytes_max))),
            Place::File { file, bytes_max } => {
                let options = SqliteOptions {
                    app: app.to_owned(),
                    store: name.to_owned(),
                    file: file.clone(),
                    file_bytes_max: bytes_max,
                };
                let opened = Sqlite::open(options);
                Backend::Sqlite(opened.map_err(|error| format!("store `{name}`: {}: {error}", file.display()))?)
            }
        };
        Ok(Store::new(
            backend,
            self.value_bytes_max,
            self.batch_bytes_max,
            self.holding,
        ))
    }
}

/// The capability's section.
pub struct KeyvalueKind;

impl Section for KeyvalueKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenKeyvalue>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &[
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:keyvalue/atomics@0.2.0-draft",
            "wasi:keyvalue/batch@0.2.0-draft",
            "wasi:keyvalue/store@0.2.0-draft2",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/batch@0.2.0-draft2",
        ]
    }

    /// Spin's shape is left out: its name and version are those of the proposal.
    fn wit(&self) -> Vec<Package> {
        vec![
            Package::new(
                "wasi:keyvalue",
                "0.2.0-draft2",
                "keys and values",
                include_str!("../../../../wit/keyvalue/draft2/keyvalue.wit"),
            ),
            Package::new(
                "wasi:keyvalue",
                "0.2.0-draft",
                "the same, in its former shape",
                include_str!("../../../../wit/keyvalue/draft/keyvalue.wit"),
            ),
        ]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        read(written).err().unwrap_or_default()
    }

    fn data(&self, written: &Written) -> Vec<PathBuf> {
        let stores = read(written).unwrap_or_default().into_values();
        let files = stores.flat_map(|options| match options.place {
            Place::File { file, .. } => sqlite_files(&file),
            Place::Memory { .. } | Place::Redis(_) => Vec::new(),
        });
        files.collect()
    }

    fn secrets(&self, written: &Written) -> Vec<(Vec<String>, SecretSource)> {
        let stores = read(written).unwrap_or_default().into_iter();
        let secrets = stores.filter_map(|(name, options)| match options.place {
            Place::Redis(redis) => redis.secret(&[&name]),
            Place::Memory { .. } | Place::File { .. } => None,
        });
        secrets.collect()
    }
}

impl Kind for KeyvalueKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let mut stores = Stores::new();
        for (name, options) in read(written).map_err(first)? {
            let store = options.open(app, &name)?;
            stores.insert(name, Arc::new(store));
        }
        Ok(Arc::new(KeyvalueCapability(Arc::new(stores))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &[&str]) {
        assert_eq!(crate::section::wrong_with(&KeyvalueKind, value), expected);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        check(
            json!({ "default": {}, "a-b.c_9": { "file": "a.db", "size": "1MiB" } }),
            &[],
        );
        check(json!({ "a b": {} }), &["`a b`: `a b` cannot be the name of a store"]);
        check(
            json!({ "a": { "file": "a.db", "redis": { "url": "redis://h" } } }),
            &["`a.redis`: a store is in a file or in Redis, not in both"],
        );
        check(
            json!({ "a": { "size": "1MiB", "redis": { "url": "redis://h" } } }),
            &["`a.size`: how much a Redis server holds is its own to say"],
        );
        check(
            json!({ "a": { "batch": "2MiB", "held": "1MiB" } }),
            &["`a.held`: one call alone may have more"],
        );
        check(
            json!({ "a": { "redis": { "url": "no" } } }),
            &["`a.redis.url`: no URL of a Redis server"],
        );
    }
}

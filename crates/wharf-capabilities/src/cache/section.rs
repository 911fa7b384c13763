//! The section `[cache]`.

use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wharf_host::capability::field;
use wharf_host::capability::{Capability, Fault, Kind, OpenError, SecretSource, Section, Written};
use wharf_host::wit::Package;

use super::leases::LeaseOptions;
use super::{Cache, CacheCapability};
use crate::held::Holding;
use crate::redis::{RedisOptions, WrittenRedis};
use crate::section::{bytes, count, duration, faults, held};

pub(super) const NAME: &str = "cache";

/// Enough for thousands of rendered pages, and little beside what a server has.
const MEMORY_BYTES: u64 = 64 << 20;
/// What is larger is rarely worth a copy for each reader, and pushes out hundreds of others.
const VALUE_BYTES: u64 = 1 << 20;
/// An entry that nobody gave a time should not outlive the day's work that it belongs to.
const TTL: Duration = Duration::from_secs(3600);
/// Longer than a slow query takes, shorter than a client waits.
const LEASE_TIME: Duration = Duration::from_secs(10);
/// As many as an app has requests under way, so that only a loop in a guest comes near.
const LEASES: u32 = 1000;
/// The same for those who wait.
const WAITING: u32 = 1000;

/// A cache that all of the app's components share: entries that guests keep for a while, with the interface `wharf:cache/cache`.
/// An empty section is enough. Entries are in the server's memory, unless `[cache.redis]` says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WrittenCache {
    /// How much memory entries may take, with their keys and 256 bytes each. Past it, those go that are asked for seldom.
    /// Default: `"64MiB"`.
    memory: Option<field::Size>,
    /// How large one entry may be; larger ones are refused with `too-large`. Default: `"1MiB"`.
    value: Option<field::Size>,
    /// How long an entry lives for which the guest says nothing. Default: `"1h"`.
    ttl: Option<field::Duration>,
    /// How long a guest may take to make an entry that others wait for, before one of them gets the lease. Default: `"10s"`.
    lease_time: Option<field::Duration>,
    /// How many entries may be in the making at a time; past it calls are refused with `busy`. Default: 1000.
    leases: Option<field::Count>,
    /// How many calls may wait for entries in the making; past it calls are refused with `busy`. Default: 1000.
    waiting: Option<field::Count>,
    /// Interfaces of the app's own that the cache meets as well, such as `["acme:shop/cache"]`: those with the functions
    /// `get(key: string) -> option<string>` and `set(key: string, value: string, ttl-seconds: u32)`, or one of them, `async`
    /// or not. Without errors: what fails is as if it were not there.
    #[serde(default)]
    meets: Vec<String>,
    /// How much the values that are on their way to Redis may take together; past it calls are refused with `busy`. Default: `"64MiB"`,
    /// or `value` where that is more.
    held: Option<field::Size>,
    /// A Redis or Valkey server that holds the entries, for all servers that share it.
    redis: Option<WrittenRedis>,
    /// How long an entry from Redis is answered for from memory without asking Redis again; other servers' changes show after
    /// that time at the latest. Default: `"0s"`, never.
    local_time: Option<field::Duration>,
}

/// What a cache is like.
#[derive(Debug)]
pub(super) struct Options {
    pub memory_bytes_max: u64,
    pub value_bytes_max: u64,
    pub ttl: Duration,
    pub leases: LeaseOptions,
    pub meets: Vec<String>,
    pub redis: Option<RedisOptions>,
    pub local_time: Duration,
    pub holding: Arc<Holding>,
}

impl Options {
    fn read(written: &Written) -> Result<Self, Vec<Fault>> {
        let section: WrittenCache = written.read().map_err(|fault| vec![fault])?;
        let mut wrong = Vec::new();
        let value_bytes_max = bytes(&mut wrong, "value", &section.value, VALUE_BYTES);
        if section.held.is_some() && section.redis.is_none() {
            let fault = Fault::new(["held"], "there is no Redis that values are on their way to");
            wrong.push(fault.with_help("leave it out, or add `[cache.redis]`"));
        }
        let options = Self {
            memory_bytes_max: bytes(&mut wrong, "memory", &section.memory, MEMORY_BYTES),
            value_bytes_max,
            holding: held(&mut wrong, &section.held, value_bytes_max),
            ttl: duration(&mut wrong, "ttl", &section.ttl, TTL),
            leases: LeaseOptions {
                lease_time: duration(&mut wrong, "lease-time", &section.lease_time, LEASE_TIME),
                leases_max: count(&section.leases, LEASES),
                waiting_max: count(&section.waiting, WAITING),
            },
            redis: section
                .redis
                .as_ref()
                .and_then(|redis| faults(&mut wrong, redis.options(written), "redis")),
            local_time: duration(&mut wrong, "local-time", &section.local_time, Duration::ZERO),
            meets: section.meets,
        };
        options.check(&mut wrong);
        match wrong.is_empty() {
            true => Ok(options),
            false => Err(wrong),
        }
    }

    fn check(&self, wrong: &mut Vec<Fault>) {
        for (key, time) in [("ttl", self.ttl), ("lease-time", self.leases.lease_time)] {
            if time.is_zero() {
                let fault = Fault::new([key], "in no time at all nothing is kept");
                wrong.push(fault.with_help("write `\"1ms\"` or more, or leave it out for the default"));
            }
        }
        if self.value_bytes_max > self.memory_bytes_max {
            let message = "an entry may be larger than the memory for all of them";
            wrong.push(Fault::new(["value"], message).with_help("raise `memory`, or lower `value`"));
        }
        if self.value_bytes_max > u64::from(u32::MAX / 2) {
            wrong.push(Fault::new(["value"], "an entry has at most 2 GiB"));
        }
        if self.redis.is_none() && !self.local_time.is_zero() {
            let message = "there is no Redis that entries could come from";
            wrong.push(Fault::new(["local-time"], message).with_help("leave it out, or add `[cache.redis]`"));
        }
        for (nth, name) in self.meets.iter().enumerate() {
            let is_interface = name.split_once(':').is_some_and(|(_, rest)| rest.contains('/'));
            if !is_interface || name.starts_with("wharf:") || name.starts_with("wasi:") {
                let nth = nth.to_string();
                let fault = Fault::new(["meets", &nth], format!("`{name}` is no interface of the app's own"));
                wrong.push(fault.with_help("write it as in the component: `acme:shop/cache`"));
            }
        }
    }
}

/// The capability's section.
pub struct CacheKind;

impl Section for CacheKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenCache>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wharf:cache/cache@0.1.0", "wharf:cache/text@0.1.0"]
    }

    fn wit(&self) -> Vec<Package> {
        vec![Package::new(
            "wharf:cache",
            "0.1.0",
            "entries with a time to live, counters, leases",
            include_str!("../../../../wit/cache/cache.wit"),
        )]
    }

    fn named(&self, written: &Written) -> Vec<String> {
        Options::read(written).map(|options| options.meets).unwrap_or_default()
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        Options::read(written).err().unwrap_or_default()
    }

    fn secrets(&self, written: &Written) -> Vec<(Vec<String>, SecretSource)> {
        let redis = Options::read(written).ok().and_then(|options| options.redis);
        redis.iter().filter_map(|redis| redis.secret(&[])).collect()
    }
}

impl Kind for CacheKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let options = Options::read(written).map_err(crate::section::first)?;
        Ok(Arc::new(CacheCapability(Arc::new(Cache::new(app, options)))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &[&str]) {
        assert_eq!(crate::section::wrong_with(&CacheKind, value), expected);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        check(json!({}), &[]);
        check(
            json!({ "memory": "1GiB", "value": 1024, "ttl": "5m", "meets": ["acme:shop/cache"] }),
            &[],
        );
        check(
            json!({ "memory": "1MB", "value": "2MB" }),
            &["`value`: an entry may be larger than the memory for all of them"],
        );
        check(
            json!({ "value": "2MB", "held": "1MB", "redis": { "url": "redis://h" } }),
            &["`held`: one call alone may have more"],
        );
        check(
            json!({ "held": "2MB" }),
            &["`held`: there is no Redis that values are on their way to"],
        );
        check(
            json!({ "local-time": "1s" }),
            &["`local-time`: there is no Redis that entries could come from"],
        );
        check(
            json!({ "meets": ["acme:shop/cache", "cache", "wasi:http/types"] }),
            &[
                "`meets.1`: `cache` is no interface of the app's own",
                "`meets.2`: `wasi:http/types` is no interface of the app's own",
            ],
        );
        check(
            json!({ "redis": { "url": "redis://:hunter2@h", "timeout": "1s" } }),
            &["`redis.url`: names and passwords do not stand in the URL"],
        );
        check(
            json!({ "ttl": "0s", "lease-time": "0ms" }),
            &[
                "`ttl`: in no time at all nothing is kept",
                "`lease-time`: in no time at all nothing is kept",
            ],
        );
        check(
            json!({ "redis": { "url": "redis://h", "timeout": "0s", "trust": "ca.pem", "password": {} } }),
            &[
                "`redis.timeout`: no server answers in no time",
                "`redis.password`: a secret stands in one place",
                "`redis.trust`: there is no TLS to this server",
            ],
        );
    }
}

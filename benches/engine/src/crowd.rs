//! What ten thousand requests at the same moment hold: parked in one shared instance, or in an instance each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use wharf_host::{Component, Engine, EngineOptions, Isolation, Service, ServiceOptions};

use crate::ask::ask;
use crate::{Folders, resident_bytes};

const CROWD: u32 = 10_000;

/// Long enough for all to be parked at the same moment, and within the usual deadline.
const PATH: &str = "/timer/15000";

/// All have begun by then, and the timers of the first still run.
const READ_AFTER: Duration = Duration::from_secs(12);

/// Kibibytes of resident memory for each.
pub async fn measure(folders: &Folders) -> Result<Value> {
    let engine = Engine::new(EngineOptions {
        instances_max: CROWD,
        ..EngineOptions::default()
    })?;
    ensure!(engine.is_pooled(), "too little address space for so many instances");
    let component = Component::new(&engine, "bench", &folders.guest("bench")?, Some(&folders.cache))?;
    let mut figures = serde_json::Map::new();
    for (name, isolation) in [("shared", Isolation::Shared), ("serial", Isolation::Serial)] {
        let options = ServiceOptions {
            isolation: Some(isolation),
            idle_max: CROWD as usize,
            requests_max: CROWD as usize,
            ..ServiceOptions::default()
        };
        let service = Service::new(&component, Arc::new([]), options)?;
        ask(&service, "/", Bytes::new()).await?;
        let before = resident_bytes()?;
        let crowd = join_all((0..CROWD).map(|_| ask(&service, PATH, Bytes::new())));
        let watch = async {
            tokio::time::sleep(READ_AFTER).await;
            Ok::<_, anyhow::Error>((resident_bytes()?, maps()?))
        };
        let (answers, parked) = tokio::join!(crowd, watch);
        answers.into_iter().collect::<Result<Vec<_>>>()?;
        let (parked, maps) = parked?;
        let each = |bytes: u64| bytes.saturating_sub(before) as f64 / f64::from(CROWD) / 1024.0;
        figures.insert(format!("{name}_parked_kib"), json!(each(parked)));
        figures.insert(format!("{name}_maps"), json!(maps));
        if isolation == Isolation::Serial {
            let idle = engine.pool_usage().map(|usage| usage.instances);
            ensure!(idle >= Some(u64::from(CROWD)), "only {idle:?} instances are kept");
            figures.insert("idle_instance_kib".into(), json!(each(resident_bytes()?)));
        }
        service.finished().await;
    }
    Ok(figures.into())
}

/// Mappings of this process; the kernel allows `vm.max_map_count` of them.
fn maps() -> Result<usize> {
    Ok(std::fs::read_to_string("/proc/self/maps")?.lines().count())
}

//! One entry in a cache and in a key-value store: in memory (moka, a map), or in Redis.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use bytes::Bytes;
use moka::sync::Cache;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

const KEY: &str = "entry";
const VALUE: &[u8] = &[b'v'; 64];

/// As many bytes as a cache of Wharf's has by default.
const CACHE_BYTES: u64 = 64 << 20;

pub struct Stores {
    cache: Cache<String, Bytes>,
    keyvalue: Mutex<HashMap<String, Bytes>>,
    /// Where there is one, it has the entries of both: one connection, over which all calls go side by side.
    redis: Option<MultiplexedConnection>,
}

impl Stores {
    pub async fn open(redis: Option<&str>) -> Result<Self> {
        let redis = match redis {
            None => None,
            Some(url) => Some(redis::Client::open(url)?.get_multiplexed_async_connection().await?),
        };
        let size = |key: &String, value: &Bytes| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX);
        Ok(Self {
            cache: Cache::builder().max_capacity(CACHE_BYTES).weigher(size).build(),
            keyvalue: Mutex::default(),
            redis,
        })
    }

    pub async fn fill(&self) -> Result<()> {
        if let Some(mut redis) = self.redis.clone() {
            return Ok(redis.set(KEY, VALUE).await?);
        }
        self.cache.insert(KEY.to_owned(), Bytes::from_static(VALUE));
        let mut entries = self.keyvalue.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(KEY.to_owned(), Bytes::from_static(VALUE));
        Ok(())
    }

    pub async fn cache(&self, count: u64) -> Result<()> {
        for _ in 0..count {
            match self.redis.clone() {
                Some(redis) => ask(redis).await?,
                None => is_value(self.cache.get(KEY).as_deref())?,
            }
        }
        Ok(())
    }

    pub async fn keyvalue(&self, count: u64) -> Result<()> {
        for _ in 0..count {
            match self.redis.clone() {
                Some(redis) => ask(redis).await?,
                None => {
                    let entries = self.keyvalue.lock().unwrap_or_else(PoisonError::into_inner);
                    is_value(entries.get(KEY).map(|value| &value[..]))?;
                }
            }
        }
        Ok(())
    }
}

async fn ask(mut redis: MultiplexedConnection) -> Result<()> {
    let found: Option<Vec<u8>> = redis.get(KEY).await?;
    is_value(found.as_deref())
}

fn is_value(found: Option<&[u8]>) -> Result<()> {
    ensure!(found == Some(VALUE), "the entry is not there");
    Ok(())
}

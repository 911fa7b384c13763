//! Entries in Redis or Valkey, for all servers that share it.

use std::time::Duration;

use bytes::Bytes;
use redis::Pipeline;

use super::{Failure, section};
use crate::redis::{Redis, RedisFailure, RedisOptions};

/// The entries of one app.
pub(super) struct Remote(pub Redis);

impl From<RedisFailure> for Failure {
    fn from(failure: RedisFailure) -> Self {
        match failure {
            RedisFailure::Unavailable => Self::Unavailable,
            RedisFailure::Busy => Self::Busy,
            RedisFailure::NotANumber => Self::NotANumber,
            RedisFailure::TooLarge(_) => Self::TooLarge,
            RedisFailure::Refused(code) => Self::Other(code),
        }
    }
}

impl Remote {
    pub fn new(app: &str, options: RedisOptions) -> Self {
        Self(Redis::new(app, section::NAME.to_owned(), section::NAME, options))
    }

    /// The value of an entry, and how long it lives yet.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<(Bytes, Duration)>, Failure> {
        let found = self.0.string(key, bytes_max).await?;
        Ok(found.map(|(value, left)| {
            // Below zero: without an end, or gone meanwhile.
            let left = u64::try_from(left).map_or(Duration::MAX, Duration::from_millis);
            (value, left)
        }))
    }

    pub async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), Failure> {
        if ttl.is_zero() {
            return self.delete(key).await;
        }
        let mut commands = Pipeline::new();
        let set = commands.cmd("SET").arg(self.0.name(key)).arg(&value[..]);
        set.arg("PX").arg(milliseconds(ttl)).ignore();
        Ok(self.0.call(&commands).await?)
    }

    pub async fn delete(&self, key: &str) -> Result<(), Failure> {
        let mut commands = Pipeline::new();
        commands.cmd("DEL").arg(self.0.name(key)).ignore();
        Ok(self.0.call(&commands).await?)
    }

    /// One transaction: a counter that is not there begins at 0, with its time to live.
    pub async fn increment(&self, key: &str, delta: i64, ttl: Duration) -> Result<i64, Failure> {
        let name = self.0.name(key);
        let mut commands = Pipeline::new();
        commands.atomic();
        let begin = commands.cmd("SET").arg(&name).arg(0).arg("PX").arg(milliseconds(ttl));
        begin.arg("NX").ignore();
        commands.cmd("INCRBY").arg(&name).arg(delta);
        let (sum,): (i64,) = self.0.call(&commands).await?;
        Ok(sum)
    }
}

/// At least one: Redis takes no less.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

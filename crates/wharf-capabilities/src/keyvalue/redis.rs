//! Entries in Redis or Valkey: plain strings, under names that begin with the store's prefix.

use bytes::Bytes;
use redis::Pipeline;

use super::section;
use super::store::{Failure, Operation, Outcome};
use crate::redis::{Redis, RedisFailure, RedisOptions};

/// Sets where the present value has this fingerprint, or where there is none.
const SWAP: &str = "\
local value = redis.call('GET', KEYS[1])
local seen = ''
if value then seen = redis.sha1hex(value) end
if seen ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// How many names the server looks at for one page of a list.
const SCANNED: usize = 1000;

/// The entries of one store.
pub(super) struct Remote {
    redis: Redis,
    /// How large a value may be. Others may have set it.
    value_bytes_max: u64,
}

impl From<RedisFailure> for Failure {
    fn from(failure: RedisFailure) -> Self {
        match failure {
            RedisFailure::Unavailable => Self::Unavailable,
            RedisFailure::Busy => Self::Busy,
            RedisFailure::NotANumber => Self::NotANumber,
            RedisFailure::TooLarge(bytes_max) => Self::TooLarge(bytes_max),
            RedisFailure::Refused(code) if code == "OOM" => Self::Full,
            RedisFailure::Refused(code) => Self::Refused(code),
        }
    }
}

impl Remote {
    pub fn new(app: &str, store: &str, options: RedisOptions, value_bytes_max: u64) -> Self {
        Self {
            redis: Redis::new(app, format!("{}.{store}", section::NAME), store, options),
            value_bytes_max,
        }
    }

    /// Whether there is a connection, and how many there were.
    pub fn connections(&self) -> (u64, u64) {
        (self.redis.is_connected().into(), self.redis.connections())
    }

    pub async fn run(&self, operation: Operation, batch_bytes_max: u64) -> Result<Outcome, Failure> {
        let mut commands = Pipeline::new();
        match operation {
            Operation::Get(keys) => return self.values(&keys, batch_bytes_max).await,
            Operation::Set(entries) if entries.is_empty() => Ok(Outcome::Done),
            Operation::Set(entries) => {
                let set = commands.cmd("MSET");
                for (key, value) in &entries {
                    set.arg(self.redis.name(key)).arg(&value[..]);
                }
                self.redis.call::<((),)>(&commands).await?;
                Ok(Outcome::Done)
            }
            Operation::Delete(keys) if keys.is_empty() => Ok(Outcome::Done),
            Operation::Delete(keys) => {
                commands.cmd("DEL").arg(self.names(&keys));
                self.redis.call::<(u64,)>(&commands).await?;
                Ok(Outcome::Done)
            }
            Operation::Exists(key) => {
                commands.cmd("EXISTS").arg(self.redis.name(&key));
                let (count,): (u64,) = self.redis.call(&commands).await?;
                Ok(Outcome::Is(count > 0))
            }
            Operation::List(after) => self.keys(after).await,
            Operation::Increment(key, delta) => {
                commands.cmd("INCRBY").arg(self.redis.name(&key)).arg(delta);
                let (sum,): (i64,) = self.redis.call(&commands).await?;
                Ok(Outcome::Sum(sum))
            }
            Operation::Swap(key, seen, value) => {
                let seen = seen.map(|seen| seen.hex()).unwrap_or_default();
                let swap = commands.cmd("EVAL").arg(SWAP).arg(1).arg(self.redis.name(&key));
                swap.arg(seen).arg(&value[..]);
                let (swapped,): (u64,) = self.redis.call(&commands).await?;
                Ok(Outcome::Is(swapped == 1))
            }
        }
    }

    async fn values(&self, keys: &[String], most: u64) -> Result<Outcome, Failure> {
        if keys.is_empty() {
            return Ok(Outcome::Values(Vec::new()));
        }
        if let [key] = keys {
            let found = self.redis.string(key, self.value_bytes_max).await?;
            return Ok(Outcome::Values(vec![found.map(|(value, _)| value)]));
        }
        // Asked for before they are sent: what is too much is never here.
        let mut commands = Pipeline::new();
        for key in keys {
            commands.cmd("STRLEN").arg(self.redis.name(key));
        }
        let lengths: Vec<u64> = self.redis.call(&commands).await?;
        if lengths.iter().any(|length| *length > self.value_bytes_max) {
            return Err(Failure::TooLarge(self.value_bytes_max));
        }
        if lengths.iter().sum::<u64>() > most {
            return Err(Failure::BatchTooLarge(most));
        }
        let mut commands = Pipeline::new();
        commands.cmd("MGET").arg(self.names(keys));
        let (values,): (Vec<Option<Bytes>>,) = self.redis.call(&commands).await?;
        Ok(Outcome::Values(values))
    }

    async fn keys(&self, after: u64) -> Result<Outcome, Failure> {
        let mut commands = Pipeline::new();
        let scan = commands.cmd("SCAN").arg(after).arg("MATCH").arg(self.pattern());
        scan.arg("COUNT").arg(SCANNED);
        let ((next, names),): ((u64, Vec<String>),) = self.redis.call(&commands).await?;
        let keys = names.iter().filter_map(|name| name.strip_prefix(self.redis.prefix()));
        let keys = keys.map(str::to_owned).collect();
        Ok(Outcome::Keys(keys, (next != 0).then_some(next)))
    }

    /// All names of the store, as a pattern of Redis's.
    fn pattern(&self) -> String {
        let mut pattern = String::new();
        for c in self.redis.prefix().chars() {
            if "*?[]\\^".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    fn names(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.redis.name(key)).collect()
    }
}

//! How a Redis server is named in a manifest: `[cache.redis]`, `[keyvalue.NAME.redis]`.

use std::time::Duration;

use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisError, TlsCertificates};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use wharf_host::capability::SecretSource;
use wharf_host::capability::field;
use wharf_host::capability::secret::WrittenSecret;
use wharf_host::capability::{Fault, Written};

use crate::section::{count, duration};

/// Far more than a server in the same network takes, and less than a client's patience.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy app has under way; each may hold one value.
const CALLS: u32 = 256;

/// A Redis or Valkey server. It may be away when the app starts, and come back at any time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct WrittenRedis {
    /// Where it is: `redis://HOST:PORT/DATABASE`, `rediss://` for TLS, or `unix:///PATH`. Without a password.
    url: String,
    /// The name to log in with. Default: none, which is the server's user `default`.
    user: Option<String>,
    /// Its password. It is read anew for each connection, and looked at every two seconds while one is used.
    password: Option<WrittenSecret>,
    /// A file of certificates (PEM) to trust in place of the system's.
    trust: Option<String>,
    /// What the names of entries begin with on the server, which apps may share. Default: the app's name, then `:cache:` for a
    /// cache and `:STORE:` for a key-value store.
    prefix: Option<String>,
    /// How long a call may take, with connecting where there is no connection. Default: `"1s"`.
    timeout: Option<field::Duration>,
    /// How many calls may be under way at a time; past it they are refused. Default: 256.
    calls: Option<field::Count>,
}

/// A Redis server, and how it is used. Its debug form shows no password: it has none, but where one stands.
#[derive(Clone, Debug)]
pub(crate) struct RedisOptions {
    /// For messages: where it is.
    pub address: String,
    addr: ConnectionAddr,
    database: i64,
    user: Option<String>,
    pub password: Option<SecretSource>,
    trust: Option<PathBuf>,
    pub prefix: Option<String>,
    pub timeout: Duration,
    pub calls_max: usize,
}

impl WrittenRedis {
    /// What it means in the section `written`.
    pub fn options(&self, written: &Written) -> Result<RedisOptions, Vec<Fault>> {
        let mut wrong = Vec::new();
        let timeout = duration(&mut wrong, "timeout", &self.timeout, TIMEOUT);
        if timeout.is_zero() {
            wrong.push(Fault::new(["timeout"], "no server answers in no time"));
        }
        let password = self.password.as_ref().map(|secret| secret.source(written));
        let password = password.transpose();
        let password = password.unwrap_or_else(|fault| {
            wrong.push(fault.below("password"));
            None
        });
        let (addr, database) = match place(&self.url) {
            Ok(place) => place,
            Err(fault) => {
                wrong.push(fault);
                return Err(wrong);
            }
        };
        if self.trust.is_some() && !matches!(addr, ConnectionAddr::TcpTls { .. }) {
            let fault = Fault::new(["trust"], "there is no TLS to this server");
            wrong.push(fault.with_help("write the URL with `rediss://`"));
        }
        let options = RedisOptions {
            address: addr.to_string(),
            addr,
            database,
            user: self.user.clone(),
            password,
            trust: self.trust.as_ref().map(|file| written.path(file)),
            prefix: self.prefix.clone(),
            timeout,
            calls_max: count(&self.calls, CALLS),
        };
        match wrong.is_empty() {
            true => Ok(options),
            false => Err(wrong),
        }
    }
}

/// Where a URL leads, and which database it means.
fn place(url: &str) -> Result<(ConnectionAddr, i64), Fault> {
    const HELP: &str = "write `redis://HOST:PORT/DATABASE`, `rediss://` for TLS, or `unix:///PATH`";
    let wrong = |message: &str| Fault::new(["url"], message).with_help(HELP);
    // Not the library's error: it might show what it has read.
    let info = url
        .into_connection_info()
        .map_err(|_| wrong("no URL of a Redis server"))?;
    let settings = info.redis_settings();
    if settings.password().is_some() || settings.username().is_some() {
        let fault = Fault::new(["url"], "names and passwords do not stand in the URL");
        return Err(fault.with_help("write `user = \"...\"` and `password = { file = \"...\" }` beside it"));
    }
    if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
        return Err(wrong("certificates are always checked"));
    }
    Ok((info.addr().clone(), settings.db()))
}

impl RedisOptions {
    /// The password under its key, for a section that has this server under the keys `path`.
    pub fn secret(&self, path: &[&str]) -> Option<(Vec<String>, SecretSource)> {
        let keys = path.iter().chain(&["redis", "password"]);
        let keys = keys.map(|key| (*key).to_owned()).collect();
        Some((keys, self.password.clone()?))
    }

    /// What connects with `password`.
    pub fn client(&self, password: Option<&str>) -> Result<Client, RedisError> {
        let info = self.addr.clone().into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_db(self.database);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let info = info.set_redis_settings(settings);
        let Some(trust) = &self.trust else {
            return Client::open(info);
        };
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(std::fs::read(trust)?),
        };
        Client::build_with_tls(info, certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<(&str, i64), &str>) {
        let found = place(url).map(|(addr, database)| (addr.to_string(), database));
        let found = found.as_ref().map(|(addr, database)| (addr.as_str(), *database));
        assert_eq!(found.map_err(|fault| fault.message.as_str()), expected, "{url}");
    }

    #[test]
    fn urls() {
        check("redis://127.0.0.1:6380/3", Ok(("127.0.0.1:6380", 3)));
        check("redis://cache.test", Ok(("cache.test:6379", 0)));
        check("rediss://cache.test:1", Ok(("cache.test:1", 0)));
        check("unix:///run/redis.sock", Ok(("/run/redis.sock", 0)));
        check("http://cache.test", Err("no URL of a Redis server"));
        check("cache.test:6379", Err("no URL of a Redis server"));
        check("rediss://cache.test/#insecure", Err("certificates are always checked"));
        let inline = "names and passwords do not stand in the URL";
        check("redis://:hunter2@cache.test", Err(inline));
        check("redis://app@cache.test", Err(inline));
    }
}

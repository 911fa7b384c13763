//! A connection to Redis or Valkey: one per app and backend, over which all calls go side by side.
//!
//! It is made when it is first needed and anew when it is lost, never at the start: the server may come later. Each time its
//! password is read anew; a password that changes while a connection stands is found within seconds of use, and leads to
//! a new connection. What goes over it is for those who have one to say (`cache/redis.rs`, `keyvalue/redis.rs`).

mod options;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use wharf_host::capability::secret::SecretError;

pub(crate) use options::{RedisOptions, WrittenRedis};

/// What is left of the time of what is not there, as `PTTL` says it.
const NOT_THERE: i64 = -2;
/// How long a server that could not be reached is left alone: calls fail at once meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a password is looked for that has changed.
const PASSWORD_INTERVAL: Duration = Duration::from_secs(2);
/// How often the same is said of a server.
const SAME_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How long after one thing another is said.
const OTHER_AFTER: Duration = Duration::from_secs(1);
/// After how many answers that did not come in time, one after the other, a connection is taken for dead.
const LATE_MAX: u32 = 3;

/// Why a call has no answer. What is wrong with the server the log says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedisFailure {
    /// There is no connection, or no answer in time.
    #[error("the server cannot be reached, or is too slow")]
    Unavailable,
    /// More calls are under way than there may be.
    #[error("too many calls are under way")]
    Busy,
    /// The value is not what the command takes.
    #[error("the value is no number, or cannot hold the sum")]
    NotANumber,
    /// The value is larger than it may be.
    #[error("the value has more than {0} bytes")]
    TooLarge(u64),
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// One backend of an app's.
pub(crate) struct Redis {
    options: RedisOptions,
    /// For the log: whose it is, and where in the manifest it stands.
    app: String,
    section: String,
    /// What all names begin with.
    prefix: String,
    calls: Semaphore,
    /// Calls that found no place.
    refused: AtomicU64,
    state: Mutex<State>,
    /// Held by whoever connects; others wait for the outcome.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<Connected>,
    /// Not before then is it tried again.
    retry_at: Option<Instant>,
    /// What was last said of it, and when.
    said: Option<(String, Instant)>,
    late: u32,
    connections: u64,
}

#[derive(Clone)]
struct Connected {
    number: u64,
    connection: MultiplexedConnection,
    password: Option<Arc<str>>,
    looked_at: Instant,
}

/// Why there is no connection; for the log.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// It does say that it has too many clients, unless we come to know first that it has hung up.
    #[error("{0}: it closes new connections, perhaps because the number of clients is at its limit (`maxclients`)")]
    Closed(RedisError),
    #[error("its password: {0}")]
    Secret(#[from] SecretError),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Whether there was a connection, and the server has ended it.
fn was_closed(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

impl Redis {
    /// The backend of the section `section` of `app`, such as `keyvalue.sessions`. What it holds is called `name` on the server,
    /// unless its options say.
    pub fn new(app: &str, section: String, name: &str, options: RedisOptions) -> Self {
        let prefix = options.prefix.clone();
        Self {
            calls: Semaphore::new(options.calls_max),
            refused: AtomicU64::new(0),
            prefix: prefix.unwrap_or_else(|| format!("{app}:{name}:")),
            options,
            app: app.to_owned(),
            section,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// The name under which the server knows `key`.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.state().connections
    }

    /// How many calls found no place.
    pub fn without_place(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.state().connection.is_some()
    }

    /// The answer to `commands`, which are sent at once. Dropping it gives the answer up.
    pub async fn call<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisFailure> {
        let Ok(_place) = self.calls.try_acquire() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(RedisFailure::Busy);
        };
        let mut used = None;
        let answered = timeout(self.options.timeout, async {
            let mut connected = self.connected().await?;
            used = Some(connected.number);
            commands
                .query_async::<T>(&mut connected.connection)
                .await
                .map_err(|error| self.failed(connected.number, error))
        });
        match answered.await {
            Ok(answer) => {
                if answer.is_ok() {
                    self.state().late = 0;
                }
                answer
            }
            Err(_) => {
                self.late(used);
                Err(RedisFailure::Unavailable)
            }
        }
    }

    /// A string, and what is left of its time in milliseconds, below zero where that has no end. Others may have set it to anything:
    /// of one that has more than `bytes_max`, no more than that and a byte is sent here.
    pub async fn string(&self, key: &str, bytes_max: u64) -> Result<Option<(Bytes, i64)>, RedisFailure> {
        let name = self.name(key);
        let ask = |commands: &mut Pipeline| {
            commands.cmd("GETRANGE").arg(&name).arg(0).arg(bytes_max);
            commands.cmd("PTTL").arg(&name);
        };
        let mut commands = Pipeline::new();
        ask(&mut commands);
        let (mut value, mut left): (Bytes, i64) = self.call(&commands).await?;
        if value.is_empty() && left != NOT_THERE {
            // It is empty, or somebody has made it between the two.
            let mut commands = Pipeline::new();
            ask(commands.atomic());
            (value, left) = self.call(&commands).await?;
        }
        match value.len() as u64 > bytes_max {
            true => Err(RedisFailure::TooLarge(bytes_max)),
            false if value.is_empty() && left == NOT_THERE => Ok(None),
            false => Ok(Some((value, left))),
        }
    }

    async fn connected(&self) -> Result<Connected, RedisFailure> {
        if let Some(connected) = self.current() {
            return Ok(connected);
        }
        let _connecting = self.connecting.lock().await;
        // Somebody else may have done it, or tried to.
        if let Some(connected) = self.current() {
            return Ok(connected);
        }
        let (old, retry_at) = {
            let state = self.state();
            (state.connection.clone(), state.retry_at)
        };
        if let (None, Some(retry_at)) = (&old, retry_at)
            && retry_at > Instant::now()
        {
            return Err(RedisFailure::Unavailable);
        }
        match self.connect(old.as_ref()).await {
            Ok(connected) => {
                self.state().connection = Some(connected.clone());
                Ok(connected)
            }
            Err(error) => {
                self.say(&error.to_string());
                let mut state = self.state();
                state.retry_at = Some(Instant::now() + RETRY_AFTER);
                // A connection that stands is good, whatever the password is to be.
                let kept = state.connection.as_mut().filter(|_| old.is_some());
                kept.map(|kept| {
                    kept.looked_at = Instant::now();
                    kept.clone()
                })
                .ok_or(RedisFailure::Unavailable)
            }
        }
    }

    /// The connection that stands, unless it is time to look at the password.
    fn current(&self) -> Option<Connected> {
        let state = self.state();
        let connected = state.connection.as_ref()?;
        let is_fresh = self.options.password.is_none() || connected.looked_at.elapsed() < PASSWORD_INTERVAL;
        is_fresh.then(|| connected.clone())
    }

    /// A new connection, or `old` where its password is still the same.
    async fn connect(&self, old: Option<&Connected>) -> Result<Connected, ConnectError> {
        let password = self.password().await?;
        if let Some(old) = old.filter(|old| old.password == password) {
            return Ok(Connected {
                looked_at: Instant::now(),
                ..old.clone()
            });
        }
        let client = self.options.client(password.as_deref())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.timeout))
            .set_response_timeout(Some(self.options.timeout));
        let connection = self.dial(&client, &config).await?;
        let mut state = self.state();
        state.connections += 1;
        state.late = 0;
        state.retry_at = None;
        let number = state.connections;
        if state.said.take().is_some() {
            drop(state);
            tracing::info!(app = %self.app, section = self.section, server = %self.options.address, "Redis is back");
        }
        Ok(Connected {
            number,
            connection,
            password,
            looked_at: Instant::now(),
        })
    }

    async fn dial(
        &self,
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let dialled = client.get_multiplexed_async_connection_with_config(config);
        match timeout(self.options.timeout, dialled).await {
            Ok(Err(error)) if was_closed(&error) => Err(ConnectError::Closed(error)),
            Ok(connection) => Ok(connection?),
            Err(_) => Err(ConnectError::Timeout(self.options.timeout)),
        }
    }

    async fn password(&self) -> Result<Option<Arc<str>>, ConnectError> {
        let Some(source) = self.options.password.clone() else {
            return Ok(None);
        };
        let password = tokio::task::spawn_blocking(move || source.read()).await??;
        Ok(Some(password.into()))
    }

    fn failed(&self, number: u64, error: RedisError) -> RedisFailure {
        let is_lost = error.is_unrecoverable_error() || error.is_connection_dropped();
        match error.kind() {
            _ if error.is_timeout() => {
                self.late(Some(number));
                RedisFailure::Unavailable
            }
            _ if is_lost => {
                self.lose(number);
                self.say(&error.to_string());
                RedisFailure::Unavailable
            }
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain | ServerErrorKind::MasterDown,
            ) => {
                self.say(&error.to_string());
                RedisFailure::Unavailable
            }
            _ => self.refused(&error),
        }
    }

    /// The server answered that it will not.
    fn refused(&self, error: &RedisError) -> RedisFailure {
        // In words alone does it say what it does not add to.
        let reason = error.to_string();
        if reason.contains("not an integer") || reason.contains("would overflow") {
            return RedisFailure::NotANumber;
        }
        self.say(&reason);
        let errors = error.clone().into_server_errors();
        let code = errors
            .as_ref()
            .and_then(|errors| errors.first())
            .map(|(_, error)| error.code());
        RedisFailure::Refused(code.unwrap_or("the server refused it").to_owned())
    }

    /// An answer did not come in time.
    fn late(&self, number: Option<u64>) {
        let mut state = self.state();
        state.late += 1;
        let is_dead = state.late >= LATE_MAX;
        drop(state);
        self.say(&format!("no answer within {:?}", self.options.timeout));
        if let Some(number) = number.filter(|_| is_dead) {
            self.lose(number);
        }
    }

    fn lose(&self, number: u64) {
        let mut state = self.state();
        if state
            .connection
            .as_ref()
            .is_some_and(|connected| connected.number == number)
        {
            state.connection = None;
        }
    }

    /// Tells whoever runs the server: not the same all the time, and nothing with every call.
    fn say(&self, reason: &str) {
        let mut state = self.state();
        let is_said = state.said.as_ref().is_some_and(|(said, at)| {
            let again = if said == reason { SAME_AGAIN_AFTER } else { OTHER_AFTER };
            at.elapsed() < again
        });
        if is_said {
            return;
        }
        state.said = Some((reason.to_owned(), Instant::now()));
        drop(state);
        let server = &self.options.address;
        tracing::warn!(app = %self.app, section = self.section, %server, reason, "Redis does not do what it is asked");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

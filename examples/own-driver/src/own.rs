//! Notes by way of a driver and a pool of our own.

use std::cell::RefCell;
use std::ops::Deref;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls, Statement};
use wasip3::cli::environment::get_environment;
use wasip3::wit_bindgen::{StreamWriter, spawn_local};

use crate::Error;
use crate::socket::Socket;

/// How many connections there are at most. Whoever comes then waits for one.
const CONNECTIONS_MAX: usize = 10;

/// The right to use one, which tasks of all requests wait for.
static FREE: Semaphore = Semaphore::const_new(CONNECTIONS_MAX);

thread_local! {
    /// There is one thread, and with isolation `shared` one instance: one pool for all requests.
    static POOL: RefCell<Vec<Connection>> = const { RefCell::new(Vec::new()) };
}

/// A connection with its statements.
struct Connection {
    client: Client,
    note: Statement,
    list: Statement,
}

/// One that somebody uses; it goes back when it is dropped.
struct Lent {
    connection: Option<Connection>,
    _right: SemaphorePermit<'static>,
}

pub async fn note(id: i64) -> Result<Option<String>, Error> {
    let lent = lend().await?;
    let row = lent.client.query_opt(&lent.note, &[&id]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// All of them, a line each.
pub async fn list(mut body: StreamWriter<u8>) -> Result<(), Error> {
    let lent = lend().await?;
    let parameters: [i64; 0] = [];
    let mut rows = pin!(lent.client.query_raw(&lent.list, parameters).await?);
    let mut lines = String::new();
    while let Some(row) = rows.try_next().await? {
        lines += row.get(0);
        lines.push('\n');
        if lines.len() > 8 << 10 && !body.write_all(std::mem::take(&mut lines).into_bytes()).await.is_empty() {
            return Ok(());
        }
    }
    body.write_all(lines.into_bytes()).await;
    Ok(())
}

/// A connection that nobody else uses: one of the pool, or a new one.
async fn lend() -> Result<Lent, Error> {
    let right = FREE.acquire().await?;
    let idle = || POOL.with_borrow_mut(Vec::pop);
    let connection = loop {
        match idle() {
            Some(connection) if connection.client.is_closed() => {}
            Some(connection) => break connection,
            None => break open().await?,
        }
    };
    Ok(Lent {
        connection: Some(connection),
        _right: right,
    })
}

async fn open() -> Result<Connection, Error> {
    let variables = get_environment();
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| format!("{name} is not set"))
    };
    let mut config = Config::new();
    config
        .user(variable("DB_USER")?)
        .dbname(variable("DB_NAME")?)
        .password(variable("DB_PASSWORD")?);
    // Under this name the database lists the connection.
    config.application_name("own-driver");
    let socket = Socket::connect(variable("DB_ADDRESS")?.parse()?).await?;
    let (client, connection) = config.connect_raw(socket, NoTls).await?;
    // Whoever lends it speaks to this task, which lives as long as the client does.
    spawn_local(async move { drop(connection.await) });
    let note = client.prepare("select text from note where id = $1").await?;
    let list = client.prepare("select text from note order by id").await?;
    Ok(Connection { client, note, list })
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is lent until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        POOL.with_borrow_mut(|pool| pool.extend(self.connection.take()));
    }
}

//! The service's database: ships at their berths, in a table behind `wharf:sql`.
//!
//! Which database that is, the manifest says; the table is made by `migrations/`. Each call borrows a connection of the app's pool,
//! which outlives requests and instances. Waiting neither holds up other requests nor costs a thread.

use futures_util::stream::{self, Stream, TryStreamExt};
use serde::{Deserialize, Serialize};
use wasip3::clocks::monotonic_clock::{self, Duration};

use crate::bindings::wharf::sql::database::Database;
pub use crate::bindings::wharf::sql::types::Error;
use crate::bindings::wharf::sql::types::Value;

/// Between two rows that are sent one by one; long enough to see them arrive.
const ROW_INTERVAL: Duration = 100_000_000;

const ALL: &str = "select berth, name, tons from ship order by berth";
const ONE: &str = "select berth, name, tons from ship where berth = $1";
const PUT: &str = "insert into ship (berth, name, tons) values ($1, $2, $3) \
                   on conflict (berth) do update set name = excluded.name, tons = excluded.tons";

/// A ship at its berth.
#[derive(Serialize)]
pub struct Ship {
    berth: i64,
    #[serde(flatten)]
    ship: Kind,
}

/// What ship it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    name: String,
    tons: i64,
}

/// All ships.
pub async fn ships() -> Result<Vec<Ship>, Error> {
    query(ALL, Vec::new()).await?.try_collect().await
}

/// The ship at a berth, if there is one.
pub async fn ship(berth: i64) -> Result<Option<Ship>, Error> {
    let ships: Vec<Ship> = query(ONE, vec![Value::Integer(berth)]).await?.try_collect().await?;
    Ok(ships.into_iter().next())
}

/// Puts a ship to a berth, in place of the one that is there.
pub async fn put(berth: i64, ship: Kind) -> Result<(), Error> {
    let values = vec![Value::Integer(berth), Value::Text(ship.name), Value::Integer(ship.tons)];
    Database::open("default")?.execute(PUT.to_owned(), values).await?;
    Ok(())
}

/// The ships one after another. Dropping the stream ends the query.
pub async fn arrivals() -> Result<impl Stream<Item = Result<Ship, Error>>, Error> {
    let ships = query(ALL, Vec::new()).await?;
    Ok(ships.and_then(|ship| async {
        monotonic_clock::wait_for(ROW_INTERVAL).await;
        Ok(ship)
    }))
}

/// The rows of a statement as the database produces them, which is no faster than they are read. What goes wrong on the way is the
/// last item: rows that merely ended were all of them.
async fn query(sql: &str, values: Vec<Value>) -> Result<impl Stream<Item = Result<Ship, Error>>, Error> {
    let (_, rows, ended) = Database::open("default")?.query(sql.to_owned(), values).await?;
    Ok(stream::try_unfold((rows, ended), |(mut rows, ended)| async {
        match rows.next().await {
            Some(row) => Ok(Some((Ship::try_from(row)?, (rows, ended)))),
            None => ended.await.map(|()| None),
        }
    }))
}

impl TryFrom<Vec<Value>> for Ship {
    type Error = Error;

    fn try_from(row: Vec<Value>) -> Result<Self, Error> {
        match <[Value; 3]>::try_from(row) {
            Ok([Value::Integer(berth), Value::Text(name), Value::Integer(tons)]) => Ok(Self {
                berth,
                ship: Kind { name, tons },
            }),
            _ => Err(Error::Other("a row is no ship".to_owned())),
        }
    }
}

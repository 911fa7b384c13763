//! What was stored, by station.

use serde::Serialize;
use wasip3::wit_bindgen::StreamResult;

use crate::bindings::wharf::sql::database::Database;
use crate::bindings::wharf::sql::types::{Error, Value};

const BY_STATION: &str =
    "select station, count(*), avg(celsius) from reading group by station order by count(*) desc, station limit 20";

#[derive(Serialize)]
struct Station {
    station: String,
    readings: i64,
    celsius: f64,
}

/// The twenty stations with the most readings, as JSON.
pub async fn list() -> Result<String, String> {
    let stations = read().await.map_err(|error| format!("the database: {error:?}"))?;
    serde_json::to_string(&stations).map_err(|error| error.to_string())
}

async fn read() -> Result<Vec<Station>, Error> {
    let database = Database::open("default")?;
    let (_, mut rows, ended) = database.query(BY_STATION.to_owned(), Vec::new()).await?;
    let mut stations = Vec::new();
    loop {
        let (result, read) = rows.read(Vec::with_capacity(20)).await;
        stations.extend(read.into_iter().filter_map(station));
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    ended.await?;
    Ok(stations)
}

fn station(row: Vec<Value>) -> Option<Station> {
    match <[Value; 3]>::try_from(row).ok()? {
        [Value::Text(station), Value::Integer(readings), Value::Float(celsius)] => Some(Station {
            station,
            readings,
            celsius,
        }),
        _ => None,
    }
}

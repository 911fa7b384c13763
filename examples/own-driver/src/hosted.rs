//! Notes by way of `wharf:sql`.

use wasip3::wit_bindgen::{StreamResult, StreamWriter};

use crate::Error;
use crate::bindings::wharf::sql::database::Database;
use crate::bindings::wharf::sql::types::{self, Value};

/// How many rows are asked for at a time.
const ROWS: usize = 256;

pub async fn note(id: i64) -> Result<Option<String>, Error> {
    let database = Database::open("default").map_err(said)?;
    let query = database.query(
        "select text from note where id = $1".to_owned(),
        vec![Value::Integer(id)],
    );
    let (_, mut rows, ended) = query.await.map_err(said)?;
    let (_, found) = rows.read(Vec::with_capacity(1)).await;
    drop(rows);
    let text = found.into_iter().flatten().find_map(text);
    if text.is_none() {
        ended.await.map_err(said)?;
    }
    Ok(text)
}

/// All of them, a line each.
pub async fn list(mut body: StreamWriter<u8>) -> Result<(), Error> {
    let database = Database::open("default").map_err(said)?;
    let query = database.query("select text from note order by id".to_owned(), Vec::new());
    let (_, mut rows, ended) = query.await.map_err(said)?;
    loop {
        let (result, read) = rows.read(Vec::with_capacity(ROWS)).await;
        let lines: String = read
            .into_iter()
            .flatten()
            .filter_map(text)
            .map(|text| text + "\n")
            .collect();
        if !body.write_all(lines.into_bytes()).await.is_empty() {
            return Ok(());
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    Ok(ended.await.map_err(said)?)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn said(error: types::Error) -> Error {
    format!("{error:?}").into()
}

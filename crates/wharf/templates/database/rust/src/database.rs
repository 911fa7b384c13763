//! Where the notes are: a table behind `wharf:sql`. Which database that is, `wharf.toml` says; `migrations/` makes the table.
//!
//! Each call borrows a connection of the app's pool, which outlives requests. Values are bound, never put into the statement.

use wasip3::wit_bindgen;

use crate::note::Note;
use wharf::sql::database::Database;
pub use wharf::sql::types::Error;
use wharf::sql::types::Value;

wit_bindgen::generate!({
    path: "wit",
    world: "service",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

pub async fn notes() -> Result<Vec<Note>, Error> {
    query("select id, text from note order by id", Vec::new()).await
}

pub async fn note(id: i64) -> Result<Option<Note>, Error> {
    let notes = query("select id, text from note where id = $1", vec![Value::Integer(id)]).await?;
    Ok(notes.into_iter().next())
}

/// Stores a note, which gets its number.
pub async fn add(text: String) -> Result<Note, Error> {
    let notes = query("insert into note (text) values ($1) returning id, text", vec![Value::Text(text)]).await?;
    notes.into_iter().next().ok_or_else(|| Error::Other("nothing was stored".to_owned()))
}

/// Whether there was such a note.
pub async fn remove(id: i64) -> Result<bool, Error> {
    let statement = "delete from note where id = $1".to_owned();
    let removed = Database::open("default")?.execute(statement, vec![Value::Integer(id)]).await?;
    Ok(removed > 0)
}

/// All rows of a statement. They come no faster than they are read, so a long table could be sent on row by row instead.
async fn query(statement: &str, values: Vec<Value>) -> Result<Vec<Note>, Error> {
    let (_, mut rows, ended) = Database::open("default")?.query(statement.to_owned(), values).await?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next().await {
        match <[Value; 2]>::try_from(row) {
            Ok([Value::Integer(id), Value::Text(text)]) => notes.push(Note { id, text }),
            _ => return Err(Error::Other("a row is no note".to_owned())),
        }
    }
    // Rows that merely ended may not have been all of them.
    ended.await?;
    Ok(notes)
}

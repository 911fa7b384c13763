//! Calls a store that somebody else has linked, as the query says: `?call=NAME`.

use guests_http::{Query, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};

wit_bindgen::generate!({
    path: "wit",
    world: "caller",
});

use acme::store::store::{self, Cursor, Entry, Failure, Modes};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let number = |name: &str| query.number(name).unwrap_or(0) as u32;
    let word = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let said = match word("call").as_str() {
        "about" => store::about(number("hold")).await,
        "set" => {
            store::set(word("key"), word("value")).await;
            "set".to_owned()
        }
        "get" => format!("{:?}", store::get(word("key")).await),
        "mirror" => mirror().await,
        "cursors" => cursors().await,
        "open" => match store::open(number("count")).await {
            Ok(cursors) => {
                let count = cursors.len();
                sleep_ms(number("hold").into()).await;
                match word("then").as_str() {
                    "leak" => std::mem::forget(cursors),
                    "trap" => panic!("the caller ends, not the store"),
                    _ => drop(cursors),
                }
                format!("{count} cursors")
            }
            Err(failure) => format!("{failure:?}"),
        },
        "rows" => return rows(number("count"), number("pause"), word("how"), number("most")).await,
        "sum" => {
            let (mut writer, numbers) = wit_stream::new();
            let count = u64::from(number("count"));
            wit_bindgen::spawn_local(async move {
                writer.write_all((1..=count).collect()).await;
            });
            store::sum(numbers).await.to_string()
        }
        "upper" => {
            let (mut writer, text) = wit_stream::new();
            let bytes = "aé".repeat(number("count") as usize).into_bytes();
            wit_bindgen::spawn_local(async move {
                writer.write_all(bytes).await;
            });
            String::from_utf8_lossy(&store::upper(text).await.collect().await).into_owned()
        }
        "ticks" => {
            let (ticks, ended) = store::ticks(number("count")).await;
            let count = ticks.collect().await.len();
            ended.await;
            count.to_string()
        }
        "count" => {
            let (mut writer, ticks) = wit_stream::new();
            let count = number("count") as usize;
            wit_bindgen::spawn_local(async move {
                writer.write_all(vec![(); count]).await;
            });
            store::count(ticks).await.to_string()
        }
        "sizes" => sizes(number("count")).await,
        "made" => store::made().await.to_string(),
        "live" => store::live().to_string(),
        "stale" => stale().await,
        "text" => format!("{:?}", store::fail_text(word("how")).await),
        "case" => format!("{:?}", store::fail_case(word("how")).await),
        "name" => format!("{:?}", store::fail_name(word("how")).await),
        "bare" => format!("{:?}", store::fail_bare(word("how")).await),
        "plain" => format!("{:?}", store::fail_plain(word("how")).await),
        other => format!("no call {other:?}"),
    };
    Ok(text(said))
}

/// Writes rows as they come, at most so many of them; then how they ended, unless it is still to come.
async fn rows(count: u32, pause_ms: u32, how: String, most: u32) -> Result<Response, ErrorCode> {
    let (mut rows, ended) = store::rows(count, pause_ms, how).await;
    let (response, mut reply) = guests_http::reply(guests_http::fields(&[]));
    wit_bindgen::spawn_local(async move {
        let mut taken = 0;
        while let Some(row) = rows.next().await {
            reply
                .write(format!("{} {:?} {}\n", row.key, row.value, row.tags.concat()).into())
                .await;
            taken += 1;
            if taken == most {
                break;
            }
        }
        drop(rows);
        if most == 0 {
            reply.write(format!("{:?}\n", ended.await).into()).await;
        }
        reply.finish(Ok(None)).await;
    });
    Ok(response)
}

async fn sizes(count: u32) -> String {
    let (odd, wide) = store::sizes(count).await;
    let odd = odd.collect().await;
    let odd: Vec<_> = odd
        .iter()
        .map(|odd| (odd.number, &*odd.texts.0, &*odd.texts.5))
        .collect();
    let wide = wide.collect().await;
    let wide: Vec<_> = wide
        .iter()
        .map(|wide| (wide.number, &*wide.first.0, &*wide.last.6))
        .collect();
    format!("{odd:?} {wide:?}")
}

async fn mirror() -> String {
    let entry = |key: &str| Entry {
        key: key.to_owned(),
        value: vec![0, 255],
        tags: vec!["ä".to_owned(), String::new()],
    };
    let maybe = Some(Err(Failure::Unavailable("why".to_owned())));
    let (entries, modes, pair, maybe) =
        store::mirror(vec![entry("a"), entry("")], Modes::SAFE, (0.5, 'ß'), maybe).await;
    let keys: Vec<_> = entries
        .iter()
        .map(|entry| format!("{}={:?}{:?}", entry.key, entry.value, entry.tags))
        .collect();
    format!("{keys:?} {modes:?} {pair:?} {maybe:?}")
}

async fn cursors() -> String {
    let (one, other) = (Cursor::new(5), Cursor::new(9));
    one.next().await;
    let both = Cursor::merge(one, &other);
    format!("{} {} {}", both.next().await, both.at(), other.at())
}

/// Uses a cursor of an instance that has ended since.
async fn stale() -> String {
    let cursor = Cursor::new(1);
    let failed = store::fail_text("trap".to_owned()).await.is_err();
    format!("{failed} {}", cursor.next().await)
}

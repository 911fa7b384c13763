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
        "large" => {
            let large = store::large(number("count")).await.collect().await;
            let said: Vec<_> = large
                .iter()
                .map(|vast| (vast.number, &*vast.texts.0.0.0, &*vast.texts.7.7.7))
                .collect();
            format!("{said:?}")
        }
        "echo" => {
            let large = store::large(number("count")).await;
            store::heard(large).await
        }
        "walk" => walk(number("count"), word("how"), number("most"), word("then")).await,
        "gather" => {
            let mut cursors: Vec<_> = (0..number("count")).map(Cursor::new).collect();
            if word("how") == "stale" {
                let _ = store::fail_text("trap".to_owned()).await;
                cursors.insert(0, Cursor::new(7));
                cursors.push(Cursor::new(8));
            }
            let (mut writer, reader) = wit_stream::new();
            wit_bindgen::spawn_local(async move {
                writer.write_all(cursors).await;
            });
            store::gather(reader).await.to_string()
        }
        "later" => store::later(number("at")).await.await.next().await.to_string(),
        "arrived" => {
            let (writer, cursor) = wit_future::new(|| Cursor::new(0));
            let at = number("at");
            wit_bindgen::spawn_local(async move {
                let _ = writer.write(Cursor::new(at)).await;
            });
            store::arrived(cursor).await.to_string()
        }
        // Back to where they come from, unread.
        "circle" => {
            let cursors = store::walk(number("count"), String::new()).await;
            let chunks = store::chunks(number("count")).await;
            format!("{} {}", store::gather(cursors).await, store::join(chunks).await)
        }
        // A future that has no value as long as this lasts.
        "withhold" => {
            let held = store::open(number("count")).await;
            let (_writer, cursor) = wit_future::new(|| Cursor::new(0));
            let at = store::arrived(cursor).await;
            format!("{} {at}", held.is_ok())
        }
        "chunks" => {
            let mut chunks = store::chunks(number("count")).await;
            let mut bytes = Vec::new();
            let mut taken = 0;
            while let Some(chunk) = chunks.next().await {
                bytes.extend(chunk.collect().await);
                taken += 1;
                if taken == number("most") {
                    break;
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        "join" => {
            let (mut writer, chunks) = wit_stream::new();
            let count = number("count");
            wit_bindgen::spawn_local(async move {
                for number in 0..count {
                    let (mut bytes, chunk) = wit_stream::new();
                    writer.write_one(chunk).await;
                    bytes.write_all(format!("{number} ").into_bytes()).await;
                }
            });
            store::join(chunks).await
        }
        "promise" => {
            let numbers = store::promise(number("count")).await.await.collect().await;
            format!("{} {}", numbers.len(), numbers.iter().sum::<u32>())
        }
        "pages" => pages(number("count"), word("how")).await,
        "body" => {
            let (_, result) = wasip3::wit_future::new(|| Ok(()));
            let (body, _) = Request::consume_body(request, result);
            let (_, trailers) = wasip3::wit_future::new(|| Ok(None));
            let upper = store::upper(body).await;
            return Ok(Response::new(guests_http::fields(&[]), Some(upper), trailers).0);
        }
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

/// Moves each cursor on, at most so many of them.
async fn walk(count: u32, how: String, most: u32, then: String) -> String {
    let lives = how.is_empty();
    let mut cursors = store::walk(count, how).await;
    let (mut taken, mut sum) = (0, 0);
    while let Some(cursor) = cursors.next().await {
        sum += if lives { cursor.at() } else { 0 };
        taken += 1;
        if taken == most {
            break;
        }
    }
    assert_ne!(then, "trap", "the caller ends, not the store");
    format!("{taken} {sum}")
}

/// Each page, with its rows and how they ended.
async fn pages(count: u32, how: String) -> String {
    let lives = how.is_empty();
    let mut pages = store::pages(count, how).await;
    let mut said = String::new();
    while let Some(page) = pages.next().await {
        let rows = page.rows.collect().await;
        let mark = page.mark.as_ref().filter(|_| lives).map_or(0, Cursor::at);
        let ended = match page.ended.await {
            Ok(rows) => rows.to_string(),
            Err(Failure::Unavailable(_)) => "unavailable".to_owned(),
            Err(Failure::NotFound) => "dropped".to_owned(),
        };
        said += &format!("{}: {rows:?} {mark} {ended}\n", page.number);
    }
    said
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

//! The example that streams a file into a database.

#[cfg(target_os = "linux")]
use std::io::Write as _;

use serde_json::Value;
use wharf_tests::eventually;
use wharf_tests::http::{Connection, Reply, get, send};

use crate::app::{App, Served};
use crate::operator::metric;

fn import() -> Served {
    App::of("bulk-import").serve(&[])
}

/// The events of an answer, each with its data.
fn events(text: &str) -> Vec<(String, Value)> {
    let event = |block: &str| {
        let (event, data) = block.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((event.to_owned(), serde_json::from_str(data).ok()?))
    };
    text.split_terminator("\n\n")
        .map(|block| event(block).unwrap_or_else(|| panic!("no event: {block:?}")))
        .collect()
}

fn upload(served: &Served, content_type: &str, content: &str) -> Reply {
    let fields = [("content-type", content_type)];
    send(served.server.addr(), "POST", "/api/import", &fields, content.as_bytes())
}

/// How many readings each station has.
fn stored(served: &Served) -> Vec<(String, u64)> {
    let stations: Value = serde_json::from_str(&get(served.server.addr(), "/api/stations").text()).expect("JSON");
    let station = |station: &Value| {
        let name = station["station"].as_str().expect("a name").to_owned();
        (name, station["readings"].as_u64().expect("a number"))
    };
    stations.as_array().expect("a list").iter().map(station).collect()
}

fn csv(rows: usize) -> String {
    let row = |nth: usize| {
        format!(
            "{},2026-11-23T00:00:00Z,{}.5\n",
            ["Bergen", "Nazaré"][nth % 2],
            nth % 30
        )
    };
    "station,at,celsius\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

/// The same, with an object on each line.
#[cfg(target_os = "linux")]
fn lines(rows: usize) -> String {
    let row = |nth: usize| {
        let (station, celsius) = (["Bergen", "Nazaré"][nth % 2], nth % 30);
        format!("{{\"station\":\"{station}\",\"at\":\"2026-11-23T00:00:00Z\",\"celsius\":{celsius}.5}}\n")
    };
    (0..rows).map(row).collect()
}

#[test]
fn bulk_import_stores_all_or_nothing() {
    let served = import();
    let done = events(&upload(&served, "text/csv; charset=utf-8", &csv(25_000)).text());
    let rows: Vec<_> = done
        .iter()
        .map(|(event, data)| (event.as_str(), data["rows"].as_u64()))
        .collect();
    assert_eq!(rows.last(), Some(&("done", Some(25_000))));
    assert!(
        rows[..rows.len() - 1].iter().all(|(event, _)| *event == "progress") && rows.len() > 2,
        "{rows:?}"
    );
    assert_eq!(
        stored(&served),
        [("Bergen".to_owned(), 12_500), ("Nazaré".to_owned(), 12_500)]
    );

    let lines = "{\"station\":\"Bergen\",\"at\":\"now\",\"celsius\":1}\n";
    let done = events(&upload(&served, "application/x-ndjson", lines).text());
    assert_eq!(done[0].1["rows"], 1);

    // One that is wrong at its end has stored nothing of what came before.
    let before = stored(&served);
    let failed = events(&upload(&served, "text/csv", &(csv(25_000) + "Bergen,now,warm\n")).text());
    let (event, data) = failed.last().expect("an event");
    assert_eq!(event, "failed");
    assert_eq!(data["reason"], "record 25001: `warm` is no temperature");
    assert_eq!(stored(&served), before);
    assert_eq!(upload(&served, "image/png", "").status, 415);
    assert_eq!(get(served.server.addr(), "/api/import").status, 405);
}

/// It says how far it is while it reads; a client that leaves then has stored nothing, and left nothing behind.
#[test]
fn bulk_import_ends_with_its_client() {
    let served = import();
    let now = |name: &str| metric(served.admin, name).expect("it is always counted");
    let mut connection = Connection::open(served.server.addr());
    connection.send(
        "POST /api/import HTTP/1.1\r\nhost: a.test\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    connection.send_chunk(csv(30_000));
    assert_eq!(connection.head().status(), 200);
    let mut said = String::new();
    while said.matches("event: progress").count() < 2 {
        said += &String::from_utf8(connection.data().expect("events come while it reads")).expect("events are text");
    }
    drop(connection);
    eventually(|| now("wharf_requests") == 0.0, "the request to end");
    assert_eq!(stored(&served), []);
    let done = events(&upload(&served, "text/csv", &csv(10)).text());
    assert_eq!(done.last().expect("an event").0, "done", "the database is free again");
}

/// Much more than fits: the instance has 4 MiB, and the server holds little of what is on its way. How much comes may be said, and what
/// was held meanwhile is printed, as the example's README shows.
///
/// The most that the server ever held is what the kernel counts, not what somebody happened to see.
#[cfg(target_os = "linux")]
#[test]
fn bulk_import_keeps_nothing() {
    let bytes = std::env::var("WHARF_TESTS_IMPORT_BYTES").ok();
    let bytes = bytes.map_or(12 << 20, |bytes| bytes.parse().expect("a number of bytes"));
    type Form = (&'static str, &'static str, fn(usize) -> String);
    let forms: [Form; 2] = [
        ("text/csv", "station,at,celsius\n", csv),
        ("application/x-ndjson", "", lines),
    ];
    for (content_type, head, content) in forms {
        let served = import();
        upload(&served, content_type, &content(20_000));
        let memory = || (served.server.resident_bytes(), served.server.most_resident_bytes());
        let before = memory();
        let begun = std::time::Instant::now();
        let (rows, length) = upload_blocks(&served, content_type, head, &content(BLOCK_ROWS), bytes);
        let (seconds, after) = (begun.elapsed().as_secs(), memory());
        let mib = |bytes: u64| bytes >> 20;
        let (held, most, holds) = (mib(before.0), mib(after.1), mib(after.0));
        println!(
            "{content_type}: {rows} rows, {length} bytes in {seconds} s: {held} MiB before, {most} at most, {holds} after"
        );
        let more = after.0.saturating_sub(before.0);
        assert!(
            more < 8 << 20,
            "{content_type}: it holds {more} bytes more than after a small one"
        );
        let more = after.1.saturating_sub(before.1);
        assert!(more < 16 << 20, "{content_type}: meanwhile it held {more} bytes more");
    }
}

/// How many rows of an upload are made at a time.
#[cfg(target_os = "linux")]
const BLOCK_ROWS: usize = 10_000;

/// Uploads at least so many bytes, none of which are kept here either. Returns how many rows and bytes it were.
#[cfg(target_os = "linux")]
fn upload_blocks(served: &Served, content_type: &str, head: &str, block: &str, bytes: usize) -> (usize, usize) {
    let block = block.strip_prefix(head).expect("it begins so");
    let blocks = bytes / block.len() + 1;
    let (rows, length) = (blocks * BLOCK_ROWS, head.len() + blocks * block.len());
    let mut connection = Connection::open(served.server.addr());
    let mut sending = connection.stream().try_clone().expect("a socket has many handles");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let request = format!("POST /api/import HTTP/1.1\r\nhost: a.test\r\ncontent-type: {content_type}\r\n");
            let request = format!("{request}content-length: {length}\r\n\r\n{head}");
            sending.write_all(request.as_bytes()).expect("it is taken");
            for _ in 0..blocks {
                sending.write_all(block.as_bytes()).expect("it is taken");
            }
        });
        assert_eq!(connection.head().status(), 200);
        let mut last = Vec::new();
        while let Some(piece) = connection.data() {
            // The last event is not the first of its piece, and may be in several.
            last.drain(..last.len().saturating_sub(200));
            last.extend(piece);
        }
        let last = String::from_utf8(last).expect("events are text");
        let done = format!("event: done\ndata: {{\"rows\":{rows}}}\n\n");
        assert!(last.ends_with(&done), "{last}");
    });
    (rows, length)
}

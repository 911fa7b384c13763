//! The example services, served as their READMEs say.

use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, get, send};
use wharf_tests::{Server, eventually};

use crate::app::{App, Served};
use crate::axes::Isolation;
use crate::operator::metric;

#[test]
fn hello() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("example-hello", &[]);
        assert_eq!(get(server.addr(), "/there").text(), "Hello from /there\n");
    }
}

#[test]
fn two_routes() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("example-two-routes", &[]);
        let health = get(server.addr(), "/api/health");
        assert_eq!((health.status, health.text().as_str()), (200, r#"{"status":"ok"}"#));
        assert_eq!(health.header("content-type"), Some("application/json"));
        let rows = get(server.addr(), "/api/data").text();
        assert_eq!(rows.matches("\"berth\"").count(), 10, "{rows}");
        assert_eq!(get(server.addr(), "/nothing").status, 404);
        let posted = send(server.addr(), "POST", "/api/data", &[], b"");
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
        check_stream(&server);
    }
}

/// Ten rows, the last most of a second after the first.
fn check_stream(server: &Server) {
    let mut connection = Connection::open(server.addr());
    connection.send("GET /api/stream HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().header("content-type"), Some("application/x-ndjson"));
    let first = connection.data().expect("a row");
    let began = Instant::now();
    let rest = connection.body();
    assert!(began.elapsed() > Duration::from_millis(300), "all came at once");
    let rows = String::from_utf8([first, rest].concat()).expect("JSON is text");
    assert_eq!(rows.lines().count(), 10, "{rows}");
    assert!(
        rows.lines().all(|row| row.starts_with('{') && row.ends_with('}')),
        "{rows}"
    );
}

/// Somebody who listens to the feed, and has what was sent so far.
struct Listener {
    connection: Connection,
    unread: String,
}

impl Listener {
    /// `target` with its query; `last_id` as browsers send it.
    fn new(feed: &Served, target: &str, last_id: Option<&str>) -> Self {
        let mut connection = Connection::open(feed.server.addr());
        let field = last_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        connection.send(format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n{field}\r\n"));
        let head = connection.head();
        assert_eq!(
            (head.status(), head.header("content-type")),
            (200, Some("text/event-stream"))
        );
        assert_eq!(head.header("cache-control"), Some("no-store"));
        let unread = String::new();
        Self { connection, unread }
    }

    /// The next block: an event, or a comment.
    fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                return block;
            }
            let piece = self.connection.data().expect("the feed does not end");
            self.unread += &String::from_utf8(piece).expect("events are text");
        }
    }

    /// The events up to where the feed says that this is now, and what else it said.
    fn missed(&mut self) -> (Vec<Event>, Vec<String>) {
        let (mut events, mut notes) = (Vec::new(), Vec::new());
        loop {
            let block = self.block();
            if let Some(event) = Event::read(&block) {
                events.push(event);
                continue;
            }
            let is_now = block.starts_with("event: now\n");
            notes.push(block);
            if is_now {
                return (events, notes);
            }
        }
    }

    /// The next events.
    fn events(&mut self, count: usize) -> Vec<Event> {
        let blocks = std::iter::repeat_with(|| self.block());
        blocks.filter_map(|block| Event::read(&block)).take(count).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    id: String,
    number: u64,
    block: String,
}

impl Event {
    fn read(block: &str) -> Option<Self> {
        let (id, data) = block.strip_prefix("id: ")?.split_once("\ndata: ")?;
        let number = id.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let number = number.unwrap_or_else(|| panic!("no number in {block}"));
        assert!(data.starts_with(&format!("{{\"number\":{number},")), "{block}");
        Some(Self {
            id: id.to_owned(),
            number,
            block: block.to_owned(),
        })
    }
}

fn feed(interval_ms: &str, keep_alive_ms: &str) -> Served {
    App::of("live-feed")
        .set(r#"INTERVAL_MS = "1000""#, &format!("INTERVAL_MS = \"{interval_ms}\""))
        .set(
            r#"KEEP_ALIVE_MS = "15000""#,
            &format!("KEEP_ALIVE_MS = \"{keep_alive_ms}\""),
        )
        .serve(&[])
}

/// Who comes back hears what came after the last event they name, and nothing of before.
#[test]
fn live_feed_goes_on_where_a_client_was() {
    let feed = feed("5", "15000");
    let mut first = Listener::new(&feed, "/api/feed", None);
    assert_eq!(first.block(), "retry: 500");
    let heard = first.events(30);
    let back = &heard[9];
    let (by_field, by_query) = ("/api/feed", format!("/api/feed?after={}", back.id));
    // What the browser says itself goes before what stands in an address, which grows old.
    let by_both = format!("/api/feed?after={}", heard[0].id);
    for (target, last_id) in [
        (by_field, Some(&*back.id)),
        (&*by_query, None),
        (&*by_both, Some(&*back.id)),
    ] {
        let (missed, notes) = Listener::new(&feed, target, last_id).missed();
        assert_eq!(missed[..20], heard[10..], "{target} {last_id:?}");
        assert!(missed.windows(2).all(|pair| pair[0].number + 1 == pair[1].number));
        assert_eq!(
            notes,
            ["retry: 500".to_owned(), format!("event: now\ndata: {}", missed.len())]
        );
    }
}

/// What cannot be given back is said: events that are too long ago, and those of an instance that is gone.
#[test]
fn live_feed_says_what_it_has_not() {
    let feed = feed("1", "15000");
    let mut first = Listener::new(&feed, "/api/feed", None);
    let oldest = first.events(1).remove(0);
    // Of a thousand the history keeps, the first is gone once there are more.
    first.events(1020);
    let (missed, notes) = Listener::new(&feed, "/api/feed", Some(&oldest.id)).missed();
    assert_eq!(missed.len(), 1000);
    let lost = missed[0].number - oldest.number - 1;
    assert!(
        lost > 0 && notes.contains(&format!("event: gap\ndata: {lost}")),
        "{notes:?}"
    );

    let newest = missed.last().expect("there are a thousand").number;
    let future = oldest.id.replace("-1", "-999999999");
    for id in ["another-7", "", "-", &*future, "\u{e4}", "0000"] {
        let (missed, notes) = Listener::new(&feed, "/api/feed", Some(id)).missed();
        assert!(notes.contains(&"event: restart\ndata: 0".to_owned()), "{id}: {notes:?}");
        assert!(missed.len() == 8 && missed[0].number + 7 >= newest, "{id}: {missed:?}");
    }
}

/// A feed without events is not silent, and one that nobody is asking for answers like any other service.
#[test]
fn live_feed_stays_alive() {
    let feed = feed("3600000", "20");
    let mut listener = Listener::new(&feed, "/api/feed", None);
    assert_eq!(listener.missed().0, []);
    assert_eq!([listener.block(), listener.block()], [": still here"; 2]);
    assert_eq!(get(feed.server.addr(), "/api/nothing").status, 404);
    assert_eq!(send(feed.server.addr(), "POST", "/api/feed", &[], b"").status, 405);
    assert_eq!(
        get(feed.server.addr(), "/").header("content-type"),
        Some("text/html; charset=utf-8")
    );
}

fn answer(word_ms: &str) -> Served {
    let set = format!("WORD_MS = \"{word_ms}\"");
    App::of("streaming-answer").set(r#"WORD_MS = "45""#, &set).serve(&[])
}

/// A story comes word by word, to its end; each name has its own.
#[test]
fn streaming_answer_tells() {
    let answer = answer("1");
    let story = |ship: &str| get(answer.server.addr(), &format!("/api/story?ship={ship}")).text();
    let mut connection = Connection::open(answer.server.addr());
    connection.send("GET /api/story HTTP/1.1\r\nhost: a.test\r\n\r\n");
    connection.head();
    let first = connection.data().expect("a word");
    let whole = String::from_utf8([first.clone(), connection.body()].concat()).expect("stories are text");
    assert!(first.len() < whole.len() / 10, "it came as a whole");
    assert!(
        whole.starts_with("The Albatross leaves ") && whole.ends_with("than she left.\n"),
        "{whole}"
    );
    assert_eq!(story("Albatross"), whole);
    for (ship, begins) in [
        ("Gr%C3%BCne+Welle", "The Gr\u{fc}ne Welle leaves "),
        ("%00%0a%ff", "The \u{fffd} leaves "),
        (&*"x".repeat(9_000), &*format!("The {} leaves ", "x".repeat(40))),
    ] {
        let story = story(ship);
        assert!(story.starts_with(begins), "{ship}: {story}");
        let last = story.lines().last().expect("a story has lines");
        assert!(last.contains("The lighthouse of home"), "{ship}: {story}");
        assert!(
            !whole.ends_with(&story[begins.len()..]),
            "{ship} has the story of another"
        );
    }
}

/// Rows are made while they are sent: all of them pass through an instance that could not hold them.
#[test]
fn streaming_answer_lists() {
    let answer = answer("45");
    let rows = get(answer.server.addr(), "/api/rows?count=200000").body;
    assert!(rows.len() > 4 << 20, "{} bytes would fit into 2 MiB twice", rows.len());
    let rows = String::from_utf8(rows).expect("rows are text");
    for (index, row) in rows.lines().enumerate() {
        let begins = format!("{{\"row\":{},\"berth\":", index + 1);
        assert!(row.starts_with(&begins) && row.ends_with('}'), "{row}");
    }
    assert_eq!(rows.lines().count(), 200_000);
    for (count, rows) in [("0", 0), ("1", 1), ("none", 1000), ("-1", 1000)] {
        let listed = get(answer.server.addr(), &format!("/api/rows?count={count}"));
        assert_eq!((listed.status, listed.text().lines().count()), (200, rows), "{count}");
    }
}

/// More rows than anybody could take: the work ends with the client.
#[test]
fn streaming_answer_ends_with_its_client() {
    let answer = answer("45");
    let now = |name: &str| metric(answer.admin, name).expect("it is always counted");
    let mut connection = Connection::open(answer.server.addr());
    connection.send("GET /api/rows?count=18446744073709551615 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    connection.head();
    connection.data().expect("rows");
    assert_eq!((now("wharf_requests"), now("wharf_instances")), (1.0, 1.0));
    drop(connection);
    eventually(|| now("wharf_requests") == 0.0, "the request to end");
    eventually(|| now("wharf_instances") == 0.0, "the guest to end");
}

//! The example services, served as their READMEs say.

mod driver;
mod import;
mod two_routes;

use serde_json::{Value, json};
use wharf_tests::eventually;
use wharf_tests::http::{Connection, get, send};
use wharf_tests::websocket::{BINARY, Frame, WebSocket};

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

/// Somebody in the chat.
struct Guest(WebSocket);

impl Guest {
    /// Comes in; gives the welcome as well.
    fn enter(chat: &Served, name: &str) -> (Self, Value) {
        let mut guest = Self(WebSocket::open(chat.server.addr(), &format!("/api/chat?name={name}")));
        let welcome = guest.hear();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (guest, welcome)
    }

    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.0.text()).expect("what is told is JSON")
    }

    /// What the chat closes the connection with, after whatever there is to hear.
    fn code(&mut self) -> u16 {
        let frames = std::iter::from_fn(|| self.0.receive());
        let mut codes = frames.filter_map(|frame| frame.code());
        codes.next().expect("the chat says why it closes")
    }

    /// What happens next, up to `number`, each as its kind, who, and what was said.
    fn hear_until(&mut self, number: u64) -> Vec<(u64, String)> {
        let mut heard: Vec<(u64, String)> = Vec::new();
        while heard.last().is_none_or(|(last, _)| *last < number) {
            let word = self.hear();
            let [kind, name, text] = ["type", "name", "text"].map(|key| word[key].as_str().unwrap_or_default());
            let what = format!("{name} {kind} {text}");
            heard.push((word["number"].as_u64().expect("a number"), what.trim().to_owned()));
        }
        heard
    }
}

/// Everybody hears everything, in one order, whoever says it; who comes later finds the last fifty.
#[test]
fn chat_has_one_order() {
    let chat = App::of("chat").set(r#"PACE_MS = "100""#, r#"PACE_MS = "0""#).serve(&[]);
    let mut guests: Vec<_> = (0..4).map(|_| Guest::enter(&chat, "Ada")).collect();
    let names: Vec<_> = guests.iter().map(|(_, welcome)| welcome["you"].clone()).collect();
    assert_eq!(names, ["Ada", "Ada 2", "Ada 3", "Ada 4"]);
    assert_eq!(guests[3].1["people"], json!(names));
    for turn in 0..20 {
        for (index, (guest, _)) in guests.iter_mut().enumerate() {
            guest
                .0
                .send_text(&format!("{index} says \u{e4} for the {turn}. time\n"));
        }
    }
    let all = 4 + 4 * 20;
    let heard: Vec<_> = guests.iter_mut().map(|(guest, _)| guest.hear_until(all)).collect();
    assert!(heard[0].iter().map(|(number, _)| *number).eq(1..=all), "{:?}", heard[0]);
    for (index, other) in heard.iter().enumerate() {
        // Who came later has heard the same, with what was before as history.
        assert_eq!(*other, heard[0], "{index}");
        let own = heard[0]
            .iter()
            .filter(|(_, what)| what.contains(&format!("said {index} says")));
        let expected: Vec<_> = (0..20)
            .map(|turn| format!("said {index} says \u{e4} for the {turn}. time"))
            .collect();
        let own: Vec<_> = own
            .map(|(_, what)| what[what.find("said").unwrap_or(0)..].to_owned())
            .collect();
        assert_eq!(own, expected);
    }

    let (mut late, welcome) = Guest::enter(&chat, "B%C3%A9la+");
    assert_eq!(
        (&welcome["you"], &welcome["newest"]),
        (&json!("B\u{e9}la"), &json!(all + 1))
    );
    let found = late.hear_until(all + 1);
    assert_eq!(found[..50], heard[0][34..]);
    assert_eq!(found[50], (all + 1, "B\u{e9}la joined".to_owned()));

    // One closes, another is just gone.
    let (mut first, _) = guests.remove(0);
    first.0.send(&Frame::close(1000, ""));
    assert_eq!(first.code(), 1000);
    drop(guests.remove(0));
    let left: Vec<_> = late.hear_until(all + 3).into_iter().map(|(_, what)| what).collect();
    assert_eq!(left.len(), 2);
    assert!(
        left.contains(&"Ada left".to_owned()) && left.contains(&"Ada 2 left".to_owned()),
        "{left:?}"
    );
    assert_eq!(
        Guest::enter(&chat, "Ada").1["people"],
        json!(["Ada 3", "Ada 4", "B\u{e9}la", "Ada"])
    );
}

/// What is not done in the chat, and how it is answered.
#[test]
fn chat_has_its_rules() {
    let chat = App::of("chat").serve(&[]);
    let addr = chat.server.addr();
    let long_name = format!("/api/chat?name={}", "n".repeat(21));
    for path in ["/api/chat", "/api/chat?name=", "/api/chat?name=%20%0a", &*long_name] {
        let refused = WebSocket::try_open(addr, path, &[])
            .err()
            .map(|reply| (reply.status, reply.text()));
        assert_eq!(
            refused,
            Some((400, "a name has 1 to 20 characters\n".to_owned())),
            "{path}"
        );
    }
    assert_eq!(get(addr, "/api/chat?name=Ada").status, 426);
    let (mut witness, _) = Guest::enter(&chat, "Witness");
    let enter = || Guest::enter(&chat, "Ada").0;
    let cases: [(Frame, u16); 2] = [
        (Frame::new(BINARY, "x"), 1003),
        (Frame::new(wharf_tests::websocket::TEXT, "\u{e4}".repeat(501)), 1009),
    ];
    for (frame, code) in cases {
        let mut guest = enter();
        guest.0.send(&frame);
        assert_eq!(guest.code(), code, "{frame:?}");
    }
    // Nothing of that was heard; five hundred characters are, and what is nothing is not.
    let mut guest = enter();
    for text in ["  ", "\n\u{7}", &*"\u{e4}".repeat(500)] {
        guest.0.send_text(text);
    }
    let heard: Vec<_> = witness.hear_until(7).into_iter().map(|(_, what)| what).collect();
    let said = format!("Ada said {}", "\u{e4}".repeat(500));
    let visit = ["Ada joined", "Ada left"];
    assert_eq!(
        heard,
        [&["Witness joined"][..], &visit, &visit, &["Ada joined", &said]].concat()
    );
}

/// One who does not listen holds nobody up, and costs no memory: past a thousand words they are asked to come again.
#[test]
fn chat_waits_for_nobody() {
    let chat = App::of("chat").set(r#"PACE_MS = "100""#, r#"PACE_MS = "0""#).serve(&[]);
    let (mut deaf, _) = Guest::enter(&chat, "Deaf");
    let (mut speaker, _) = Guest::enter(&chat, "Speaker");
    speaker.hear_until(2);
    // Two kilobytes each: more than the system holds for a socket, and a thousand on top.
    let text = "\u{1f6a2}".repeat(500);
    for _ in 0..8_000 {
        speaker.0.send_text(&text);
        speaker.hear();
    }
    assert_eq!(deaf.code(), 1013);
}

/// A new version takes everybody over, and nobody is told that the others left.
#[test]
fn chat_is_replaced() {
    let chat = App::of("chat").serve(&[]);
    let mut guests: Vec<_> = ["Ada", "Ben", "Cem"]
        .iter()
        .map(|name| Guest::enter(&chat, name))
        .collect();
    let room = guests[0].1["room"].clone();
    for (guest, _) in &mut guests {
        guest.hear_until(3);
    }
    chat.app.change(r#"PACE_MS = "100""#, r#"PACE_MS = "99""#);
    for (guest, _) in &mut guests {
        // Nothing before it: nobody is said to have left.
        assert_eq!(guest.0.receive(), Some(Frame::close(1012, "a new version is there")));
    }
    let (_, welcome) = Guest::enter(&chat, "Ada");
    assert_eq!((&welcome["you"], &welcome["people"]), (&json!("Ada"), &json!(["Ada"])));
    assert_ne!(welcome["room"], room);
}

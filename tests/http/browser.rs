//! The pages of the examples, in a real browser with several tabs.
//!
//! What the examples are for is seen there: that pages come back by themselves, lose nothing, and show what comes while it
//! comes. What goes over the wire is looked at in `examples.rs`.

mod develop;
mod driver;
mod line;

use std::collections::BTreeMap;

use wharf_tests::eventually;

use crate::app::App;
use crate::operator::metric;
use driver::{Browser, Tab};
use line::Line;

/// An old version's streams are soon cut.
const SOON_DRAINED: [&str; 2] = ["--drain-timeout", "500ms"];

/// Three tabs hear the same; one whose line is cut, and one that leaves on purpose, hear what they missed, once.
#[test]
fn live_feed() {
    let Some(browser) = Browser::start() else { return };
    let feed = App::of("live-feed").set(r#"INTERVAL_MS = "1000""#, r#"INTERVAL_MS = "50""#);
    let feed = feed.serve(&SOON_DRAINED);
    let line = Line::to(feed.server.addr());
    let url = feed.server.url("/");
    let far = browser.open(&format!("http://{}/", line.addr()));
    let near = [browser.open(&url), browser.open(&url)];
    let tabs = || near.iter().chain([&far]);
    for tab in tabs() {
        tab.until(&heard(10));
    }

    line.cut();
    far.until("document.querySelector('#state').dataset.state === 'connecting'");
    let meanwhile = near[0].number("#heard") + 20;
    near[0].until(&heard(meanwhile));
    line.mend();
    far.until("document.querySelector('#state').dataset.state === 'connected'");
    far.until("Number(document.querySelector('#caught-up').textContent) >= 20");

    near[1].click("#plug");
    near[0].until(&heard(meanwhile + 30));
    near[1].click("#plug");
    near[1].until("Number(document.querySelector('#caught-up').textContent) >= 5");

    let mut known = BTreeMap::new();
    for tab in tabs() {
        tab.click("#plug");
        assert_eq!((tab.number("#lost"), tab.number("#twice")), (0, 0));
        for (number, event) in events(tab) {
            let known = known.entry(number).or_insert_with(|| event.clone());
            assert_eq!(*known, event, "event {number}");
        }
    }

    // Plugged in once more, to a version that knows nothing of the events before it.
    for tab in tabs() {
        tab.click("#plug");
        tab.until("document.querySelector('#state').dataset.state === 'connected'");
    }
    feed.app.change(r#"INTERVAL_MS = "50""#, r#"INTERVAL_MS = "51""#);
    for tab in tabs() {
        tab.until("document.querySelector('#events').textContent.includes('began anew')");
        let after = tab.number("#heard") + 10;
        tab.until(&heard(after));
        assert_eq!((tab.number("#lost"), tab.number("#twice")), (0, 0));
    }
}

fn heard(count: u64) -> String {
    format!("Number(document.querySelector('#heard').textContent) >= {count}")
}

/// The events that a tab shows, by their numbers, which have no gap.
fn events(tab: &Tab) -> BTreeMap<u64, String> {
    let shown = tab.run(
        "return [...document.querySelectorAll('#events li:not(.note)')]
            .map((item) => [Number(item.firstChild.textContent), item.children[1].textContent])",
    );
    let shown: Vec<(u64, String)> = serde_json::from_value(shown).expect("numbers and texts");
    for pair in shown.windows(2) {
        assert_eq!(pair[0].0, pair[1].0 + 1, "newest first, and none is missing: {shown:?}");
    }
    shown.into_iter().collect()
}

/// Words stand on the page while others are still to come, and no guest goes on for a page that has stopped.
#[test]
fn streaming_answer() {
    let Some(browser) = Browser::start() else { return };
    // Slow enough that no story ends while this looks at it.
    let answer = App::of("streaming-answer").set(r#"WORD_MS = "45""#, r#"WORD_MS = "300""#);
    let answer = answer.serve(&[]);
    let tab = browser.open(&answer.server.url("/"));
    let now = |name: &str| metric(answer.admin, name).expect("it is always counted");
    tab.click("#tell");
    tab.until("document.querySelector('#story').textContent.startsWith('The Albatross leaves ')");
    assert_eq!(tab.run(STORY_STATE), "telling", "it came as a whole");
    assert_eq!((now("wharf_requests"), now("wharf_instances")), (1.0, 1.0));

    tab.click("#tell");
    tab.until("document.querySelector('#story').dataset.state === 'stopped'");
    eventually(|| now("wharf_requests") == 0.0, "the request to end");
    eventually(|| now("wharf_instances") == 0.0, "the guest to end");

    tab.click("#list");
    tab.until("document.querySelector('#listed').textContent.startsWith('1,000,000 rows')");
    tab.until("document.querySelector('#listed').textContent.endsWith('and that was all')");
}

const STORY_STATE: &str = "return document.querySelector('#story').dataset.state";

/// Three tabs hear each other in one order; one that is closed is seen to leave; a new version finds all of them again.
#[test]
fn chat() {
    let Some(browser) = Browser::start() else { return };
    let chat = App::of("chat").serve(&[]);
    let url = chat.server.url("/");
    let mut tabs: Vec<_> = ["Ada", "Ben", "Cem"]
        .iter()
        .map(|name| enter(&browser, &url, name))
        .collect();
    for tab in &tabs {
        tab.until(&people(&["Ada", "Ben", "Cem"]));
    }
    for turn in 0..3 {
        for (index, tab) in tabs.iter().enumerate() {
            tab.write("#text", &format!("<b>{turn}</b> from {index}\u{e007}"));
        }
    }
    for tab in &tabs {
        tab.until("document.querySelectorAll('#log .said').length === 9");
    }
    let first = said(&tabs[0]);
    for tab in &tabs {
        assert_eq!(said(tab), first);
    }
    for (index, name) in ["Ada", "Ben", "Cem"].iter().enumerate() {
        let own = first
            .iter()
            .filter(|line| line.starts_with(name))
            .cloned()
            .collect::<Vec<_>>();
        assert_eq!(own, [0, 1, 2].map(|turn| format!("{name}: <b>{turn}</b> from {index}")));
    }

    tabs.pop().expect("there are three").close();
    for tab in &tabs {
        tab.until(&people(&["Ada", "Ben"]));
        tab.until("document.querySelector('#log').lastElementChild.textContent === 'Cem left'");
    }

    // Half a line is written, and is still there when the new version is.
    tabs[0].write("#text", "back ");
    chat.app.change(r#"PACE_MS = "100""#, r#"PACE_MS = "99""#);
    for tab in &tabs {
        tab.until("document.querySelector('#log').textContent.includes('a new version of the chat')");
        tab.until("document.querySelector('#state').dataset.state === 'connected'");
        assert!(!tab.text("#log").contains("Ben left"), "{}", tab.text("#log"));
    }
    tabs[0].until(&people_in_any_order(&["Ada", "Ben"]));
    tabs[0].write("#text", "again\u{e007}");
    for tab in &tabs {
        tab.until("document.querySelectorAll('#log .said').length === 10");
        assert_eq!(said(tab).last().map(String::as_str), Some("Ada: back again"));
    }
    // A tab that is loaded anew is the same person's, and finds what was said in this room.
    tabs[1].reload();
    tabs[1].until(&people_in_any_order(&["Ada", "Ben"]));
    tabs[1].until("document.querySelectorAll('#log .said').length === 1");
}

fn enter<'browser>(browser: &'browser Browser, url: &str, name: &str) -> Tab<'browser> {
    let tab = browser.open(url);
    tab.write("#name", &format!("{name}\u{e007}"));
    tab.until("document.querySelector('#state').dataset.state === 'connected'");
    tab
}

fn people(names: &[&str]) -> String {
    format!(
        "[...document.querySelectorAll('#people li')].map((item) => item.textContent).join() === '{}'",
        names.join(",")
    )
}

/// Who comes back first is chance. `names` are in order.
fn people_in_any_order(names: &[&str]) -> String {
    people(names).replace(".join()", ".sort().join()")
}

/// What was said, as a tab shows it.
fn said(tab: &Tab) -> Vec<String> {
    let shown = tab.run(
        "return [...document.querySelectorAll('#log .said')]
            .map((item) => `${item.querySelector('b').textContent}: ${item.querySelector('.text').textContent}`)",
    );
    serde_json::from_value(shown).expect("texts")
}

/// A file that the page makes is stored while the page shows how far it is; stopped in the middle, nothing of it is.
#[test]
fn bulk_import() {
    let Some(browser) = Browser::start() else { return };
    let served = App::of("bulk-import").serve(&SOON_DRAINED);
    let tab = browser.open(&served.server.url("/"));
    let rows = "document.querySelectorAll('#stations tr').length";
    tab.click("#make");
    tab.until("document.querySelector('#progress').value > 0");
    tab.click("#make");
    tab.until("document.querySelector('#state').dataset.state === 'failed'");
    tab.until(&format!("{rows} === 1"));
    tab.click("#make");
    tab.until("document.querySelector('#state').dataset.state === 'done'");
    tab.until(&format!("{rows} === 8"));
    tab.until("document.querySelector('#stations').textContent.includes('25,000')");
}

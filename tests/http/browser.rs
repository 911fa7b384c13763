//! The pages of the examples, in a real browser with several tabs.
//!
//! What the examples are for is seen there: that pages come back by themselves, lose nothing, and show what comes while it
//! comes. What goes over the wire is looked at in `examples.rs`.

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

//! The events that have been, and who waits for the next.
//!
//! Nobody has a queue of their own. There is one history, and a listener is a place in it: the number of the last event
//! it was told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::watch;
use wasip3::random::random::get_random_u64;

/// How many events are kept for those who come back. Who was away for longer is told how many are gone.
const HISTORY_MAX: usize = 1000;

/// How many of them somebody sees who comes for the first time.
const RECENT: u64 = 8;

/// What is said where nothing happens: a line that pages do not see. What is between here and the browser does not take the
/// connection for dead, and a client that has left without a word is found out, since it cannot be written to.
const KEEP_ALIVE: &str = ": still here\n\n";

thread_local! {
    /// There is one thread, and with isolation `shared` one instance: one feed for everybody.
    static FEED: Rc<Feed> = Rc::new(Feed::new());
}

pub struct Feed {
    /// Tells this feed from that of an instance before it, whose events had the same numbers.
    name: String,
    /// The newest events, as they are sent.
    history: RefCell<VecDeque<String>>,
    /// The number of the newest event; the first is 1. Who listens holds a receiver.
    newest: watch::Sender<u64>,
    is_running: Cell<bool>,
}

impl Feed {
    pub fn of_this_instance() -> Rc<Self> {
        FEED.with(Rc::clone)
    }

    fn new() -> Self {
        Self {
            name: format!("{:08x}", get_random_u64() >> 32),
            history: RefCell::default(),
            newest: watch::Sender::new(0),
            is_running: Cell::new(false),
        }
    }

    /// Whether somebody has to make events now who did not before.
    pub fn begins(&self) -> bool {
        !self.is_running.replace(true)
    }

    pub fn ends(&self) {
        self.is_running.set(false);
    }

    pub fn is_running(&self) -> bool {
        self.is_running.get()
    }

    pub fn is_heard(&self) -> bool {
        self.newest.receiver_count() > 0
    }

    /// Adds an event, whose data follow from its number, and wakes all who wait for it.
    pub fn tell(&self, data: impl FnOnce(u64) -> String) {
        let number = self.newest() + 1;
        let event = format!("id: {}-{number}\ndata: {}\n\n", self.name, data(number));
        let mut history = self.history.borrow_mut();
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(event);
        drop(history);
        self.newest.send_replace(number);
    }

    /// Wakes all who wait, though nothing has happened.
    pub fn nudge(&self) {
        self.newest.send_modify(|_| ());
    }

    fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// All events after the one with this number.
    fn after(&self, number: u64) -> String {
        let history = self.history.borrow();
        let unseen = (self.newest() - number) as usize;
        let kept = unseen.min(history.len());
        let events = history.range(history.len() - kept..).map(String::as_str);
        match unseen - kept {
            0 => events.collect(),
            lost => note("gap", lost) + &events.collect::<String>(),
        }
    }

    /// The number in an id, if the id is of this feed.
    fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok()?;
        (number <= self.newest()).then_some(number)
    }
}

/// Somebody who listens, and how far they have heard.
pub struct Listener {
    feed: Rc<Feed>,
    newest: watch::Receiver<u64>,
    heard: u64,
    /// They have heard another feed: this one began after it.
    is_stranger: bool,
}

impl Listener {
    /// Somebody whose last event has this id; without one, it is their first time.
    pub fn new(feed: &Rc<Feed>, last_id: Option<&str>) -> Self {
        let known = last_id.and_then(|id| feed.number(id));
        Self {
            newest: feed.newest.subscribe(),
            heard: known.unwrap_or(feed.newest().saturating_sub(RECENT)),
            is_stranger: last_id.is_some() && known.is_none(),
            feed: Rc::clone(feed),
        }
    }

    /// What has been, and how many events that were.
    pub fn missed(&mut self) -> String {
        let count = self.feed.newest() - self.heard;
        let restart = if self.is_stranger {
            note("restart", 0)
        } else {
            String::new()
        };
        restart + &self.unheard() + &note("now", count as usize)
    }

    /// Waits for the next event, and gives all there are by then; or a word that says nothing.
    pub async fn news(&mut self) -> String {
        // There is an error once the feed is gone, which this holds.
        let _ = self.newest.changed().await;
        Some(self.unheard())
            .filter(|text| !text.is_empty())
            .unwrap_or(KEEP_ALIVE.to_owned())
    }

    fn unheard(&mut self) -> String {
        let before = std::mem::replace(&mut self.heard, *self.newest.borrow_and_update());
        self.feed.after(before)
    }
}

/// Something to say that is no event of the feed: it has no id, and does not change which event was the last.
fn note(kind: &str, count: usize) -> String {
    format!("event: {kind}\ndata: {count}\n\n")
}

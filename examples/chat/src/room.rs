//! The room: what was said in it, who is there, and who waits for the next word.
//!
//! Everything that happens gets a number and stands in one log, so everybody hears it in the same order. Nobody has a queue of
//! their own: a member is a place in the log, the number of the last they were told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde::Serialize;
use tokio::sync::watch;
use wasip3::clocks::system_clock;
use wasip3::random::random::get_random_u64;

/// What somebody finds who comes in.
const HISTORY: u64 = 50;

/// How far somebody may fall behind. Past it they are asked to come again.
const LOG_MAX: usize = 1000;

thread_local! {
    /// There is one thread, and with isolation `shared` one instance: one room for everybody.
    static ROOM: Rc<Room> = Rc::new(Room::new());
}

/// What a member is told, as JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Word<'a> {
    /// The first: which room this is (a new version of the app has another), what the member is called here, who is there
    /// since they came in, which was `newest`. What is told after it up to that number is history.
    Welcome {
        room: &'a str,
        you: &'a str,
        people: &'a [String],
        newest: u64,
    },
    Joined {
        number: u64,
        at: u64,
        name: &'a str,
    },
    Left {
        number: u64,
        at: u64,
        name: &'a str,
    },
    Said {
        number: u64,
        at: u64,
        name: &'a str,
        text: &'a str,
    },
}

pub struct Room {
    id: String,
    people: RefCell<Vec<String>>,
    /// The newest of what happened, as it is told.
    log: RefCell<VecDeque<String>>,
    /// The number of the newest; the first is 1.
    newest: watch::Sender<u64>,
}

impl Room {
    pub fn of_this_instance() -> Rc<Self> {
        ROOM.with(Rc::clone)
    }

    fn new() -> Self {
        Self {
            id: format!("{:08x}", get_random_u64() >> 32),
            people: RefCell::default(),
            log: RefCell::default(),
            newest: watch::Sender::new(0),
        }
    }

    /// Lets somebody in: by the name they want, or one like it.
    pub fn enter(self: &Rc<Self>, wanted: &str) -> Member {
        let is_free = |name: &String| !self.people.borrow().contains(name);
        let others = (2..).map(|number| format!("{wanted} {number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(others);
        let name = names.find(is_free).expect("numbers do not end");
        self.people.borrow_mut().push(name.clone());
        let heard = self.newest().saturating_sub(HISTORY);
        self.add(|number, at| Word::Joined {
            number,
            at,
            name: &name,
        });
        let people = self.people.borrow();
        let (room, you, newest) = (&self.id, &name, self.newest());
        let welcome = encode(&Word::Welcome {
            room,
            you,
            people: &people,
            newest,
        });
        drop(people);
        Member {
            newest: self.newest.subscribe(),
            room: Rc::clone(self),
            name,
            heard,
            welcome: Some(welcome),
            leaves_with_all: false,
        }
    }

    fn add<'a>(&self, word: impl FnOnce(u64, u64) -> Word<'a>) {
        let number = self.newest() + 1;
        let word = encode(&word(number, system_clock::now().seconds as u64));
        let mut log = self.log.borrow_mut();
        if log.len() == LOG_MAX {
            log.pop_front();
        }
        log.push_back(word);
        drop(log);
        self.newest.send_replace(number);
    }

    fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// All that happened after this number; `None` where some of it is not kept any more.
    fn after(&self, number: u64) -> Option<Vec<String>> {
        let log = self.log.borrow();
        let first = log.len().checked_sub((self.newest() - number) as usize)?;
        Some(log.range(first..).cloned().collect())
    }
}

/// Somebody who is in the room. When this is dropped, they have left.
pub struct Member {
    room: Rc<Room>,
    newest: watch::Receiver<u64>,
    name: String,
    heard: u64,
    welcome: Option<String>,
    /// Everybody leaves, and comes again: that is nothing to tell.
    leaves_with_all: bool,
}

impl Member {
    pub fn leaves_with_all(&mut self) {
        self.leaves_with_all = true;
    }

    /// What they speak with.
    pub fn voice(&self) -> impl Fn(&str) + use<> {
        let (room, name) = (Rc::clone(&self.room), self.name.clone());
        move |text| {
            room.add(|number, at| Word::Said {
                number,
                at,
                name: &name,
                text,
            })
        }
    }

    /// What they have not heard yet, once there is something; `None` when they have fallen too far behind.
    pub async fn news(&mut self) -> Option<Vec<String>> {
        let welcome = self.welcome.take();
        if welcome.is_none() {
            // There is an error once the room is gone, which this holds.
            let _ = self.newest.changed().await;
        }
        let before = std::mem::replace(&mut self.heard, *self.newest.borrow_and_update());
        let news = self.room.after(before)?;
        Some(welcome.into_iter().chain(news).collect())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.room.people.borrow_mut().retain(|name| *name != self.name);
        if !self.leaves_with_all {
            let name = &*self.name;
            self.room.add(|number, at| Word::Left { number, at, name });
        }
    }
}

fn encode(word: &Word) -> String {
    serde_json::to_string(word).expect("structs of numbers and texts have JSON")
}

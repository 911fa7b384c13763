//! The cache as the component exports it: one for as long as its instance lives. Which requests share that instance is said in
//! `wharf.toml`, by `instance = "own"`.

mod entries;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use entries::Entries;

wit_bindgen::generate!({
    path: "../wit",
    world: "cache-in-rust",
});

thread_local! {
    static ENTRIES: RefCell<Entries> = RefCell::default();
}

struct Cache;

export!(Cache);

impl exports::example::polyglot::cache::Guest for Cache {
    async fn get(key: String) -> Option<String> {
        get(&key)
    }

    async fn set(key: String, value: String, ttl_seconds: u32) {
        set(key, value, ttl_seconds);
    }
}

impl exports::example::polyglot::texts::Guest for Cache {
    fn get(key: String) -> Option<String> {
        get(&key)
    }

    fn set(key: String, value: String, ttl_seconds: u32) {
        set(key, value, ttl_seconds);
    }
}

fn get(key: &str) -> Option<String> {
    ENTRIES.with_borrow(|entries| entries.get(key, Instant::now()).map(str::to_owned))
}

fn set(key: String, value: String, ttl_seconds: u32) {
    let now = Instant::now();
    let ttl = Duration::from_secs(ttl_seconds.into());
    ENTRIES.with_borrow_mut(|entries| entries.set(key, value, now, ttl));
}

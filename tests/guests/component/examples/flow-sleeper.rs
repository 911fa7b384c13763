//! Sleeps on the host's clock, and counts who does.

use std::cell::Cell;

use guests_component::wit_bindgen;
use wasip3::clocks::monotonic_clock;

wit_bindgen::generate!({
    path: "wit",
    world: "flow-sleeper",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::sleeper::Guest;

thread_local! {
    static SLEEPING: Cell<u32> = const { Cell::new(0) };
    static MOST: Cell<u32> = const { Cell::new(0) };
    static CANCELLED: Cell<u32> = const { Cell::new(0) };
}

struct Sleeper;

/// Somebody asleep; one that is dropped before it woke was cancelled.
struct Sleep {
    woke: bool,
}

impl Sleep {
    fn begin() -> Self {
        SLEEPING.set(SLEEPING.get() + 1);
        MOST.set(MOST.get().max(SLEEPING.get()));
        Self { woke: false }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        SLEEPING.set(SLEEPING.get() - 1);
        if !self.woke {
            CANCELLED.set(CANCELLED.get() + 1);
        }
    }
}

impl Guest for Sleeper {
    async fn sleep(milliseconds: u32) -> u32 {
        let mut sleep = Sleep::begin();
        let sleeping = SLEEPING.get();
        monotonic_clock::wait_for(u64::from(milliseconds) * 1_000_000).await;
        sleep.woke = true;
        sleeping
    }

    fn most() -> u32 {
        MOST.get()
    }

    fn cancelled() -> u32 {
        CANCELLED.get()
    }

    fn sleeping() -> u32 {
        SLEEPING.get()
    }
}

export!(Sleeper);

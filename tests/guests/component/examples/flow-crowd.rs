//! Calls the sleeper many times at once, and gives up.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{Either, join_all, select};
use guests_component::wit_bindgen;
use wit_bindgen::yield_async;

wit_bindgen::generate!({
    path: "wit",
    world: "flow-crowd",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::crowd::Guest;
use wharf::guests::sleeper;

const HOUR_MILLISECONDS: u32 = 3_600_000;

thread_local! {
    static ROUNDS: Cell<u32> = const { Cell::new(0) };
}

struct Crowd;

impl Guest for Crowd {
    async fn all(count: u32, milliseconds: u32) -> u64 {
        let sleeps = (0..count).map(|_| sleeper::sleep(milliseconds));
        join_all(sleeps).await.into_iter().map(u64::from).sum()
    }

    async fn give_up(count: u32) -> u32 {
        let before = sleeper::cancelled();
        let mut sleeps: Vec<_> = (0..count)
            .map(|_| Box::pin(sleeper::sleep(HOUR_MILLISECONDS)))
            .collect();
        // The first poll makes the calls.
        poll_fn(|cx| {
            for sleep in &mut sleeps {
                assert!(sleep.as_mut().poll(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(sleeper::sleeping(), count);
        drop(sleeps);
        assert_eq!(sleeper::sleeping(), 0);
        sleeper::cancelled() - before
    }

    async fn race(short: u32, long: u32) -> u32 {
        let (first, second) = (pin!(sleeper::sleep(short)), pin!(sleeper::sleep(long)));
        match select(first, second).await {
            Either::Left(_) => short,
            Either::Right(_) => long,
        }
    }

    async fn most() -> u32 {
        sleeper::most()
    }

    async fn turns(rounds: u32) -> Vec<u32> {
        let mut seen = Vec::new();
        for _ in 0..rounds {
            ROUNDS.set(ROUNDS.get() + 1);
            seen.push(ROUNDS.get());
            yield_async().await;
        }
        seen
    }
}

export!(Crowd);

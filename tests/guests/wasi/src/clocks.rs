//! Clocks and timers.

use crate::report::Report;
use crate::wasi::cli::environment::get_arguments;
use crate::wasi::clocks::{monotonic_clock, system_clock};
use futures_util::future::{Either, join_all, select};
use std::cell::RefCell;
use std::pin::pin;

const MILLISECOND: u64 = 1_000_000;

/// Reads the monotonic clock and waits on it in every way.
pub async fn monotonic() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    report
        .line(format!("resolution {}", monotonic_clock::get_resolution()))
        .await;

    let readings: Vec<u64> = (0..1000).map(|_| monotonic_clock::now()).collect();
    let decreases = readings.windows(2).filter(|pair| pair[1] < pair[0]).count();
    report.line(format!("decreases {decreases}")).await;

    for requested in [0, 1, MILLISECOND, 50 * MILLISECOND] {
        let start = monotonic_clock::now();
        monotonic_clock::wait_for(requested).await;
        let elapsed = monotonic_clock::now() - start;
        report.line(format!("wait-for {requested} {elapsed}")).await;
    }
    for ahead in [0, MILLISECOND, 50 * MILLISECOND] {
        let mark = monotonic_clock::now() + ahead;
        monotonic_clock::wait_until(mark).await;
        let late = monotonic_clock::now().checked_sub(mark);
        report.line(format!("wait-until {ahead} {late:?}")).await;
    }
    for past in [0, monotonic_clock::now() - 1] {
        monotonic_clock::wait_until(past).await;
    }
    report.line("past").await;

    report
        .line(format!("order {:?}", finished_in_order([60, 20, 40]).await))
        .await;
    abandon_an_endless_wait().await;
    report.line("abandoned").await;
    report.close().await
}

/// Waits for all durations at once; gives them back as they finished.
async fn finished_in_order(milliseconds: [u64; 3]) -> Vec<u64> {
    let finished = RefCell::new(Vec::new());
    join_all(milliseconds.map(|duration| {
        let finished = &finished;
        async move {
            monotonic_clock::wait_for(duration * MILLISECOND).await;
            finished.borrow_mut().push(duration);
        }
    }))
    .await;
    finished.into_inner()
}

/// A timer that is dropped must neither hold the guest nor end it.
async fn abandon_an_endless_wait() {
    let endless = pin!(monotonic_clock::wait_for(u64::MAX));
    let short = pin!(monotonic_clock::wait_for(MILLISECOND));
    if let Either::Left(_) = select(endless, short).await {
        unreachable!("584 years have passed");
    }
}

/// Starts COUNT timers of MILLISECONDS each before it waits for any of them.
pub async fn timers() -> Result<(), ()> {
    let arguments = get_arguments();
    let count: usize = arguments[1].parse().unwrap();
    let duration: u64 = arguments[2].parse::<u64>().unwrap() * MILLISECOND;
    let mut report = Report::on_stdout();

    let start = monotonic_clock::now();
    join_all((0..count).map(|_| monotonic_clock::wait_for(duration))).await;
    let elapsed = monotonic_clock::now() - start;

    report.line(format!("elapsed {elapsed}")).await;
    report.close().await
}

/// Reads the system clock.
pub async fn system() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    report
        .line(format!("resolution {}", system_clock::get_resolution()))
        .await;
    let system_clock::Instant { seconds, nanoseconds } = system_clock::now();
    report.line(format!("now {seconds} {nanoseconds}")).await;
    report.close().await
}

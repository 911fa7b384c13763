//! Clocks, timers and the timezone.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::run::{command, lines, lines_of, value, values, versions};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// The two numbers of each line under `key`.
fn pairs(lines: &[String], key: &str) -> Vec<(u64, u64)> {
    let pair = |line: &str| {
        let (first, second) = line.split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{key} {line}"));
        (number(first), number(second))
    };
    values(lines, key).into_iter().map(pair).collect()
}

#[test]
fn the_monotonic_clock_never_goes_back_and_never_wakes_early() {
    for name in versions("clocks-monotonic") {
        let lines = lines(&name, &[], &[]);
        let resolution: u64 = value(&lines, "resolution").parse().expect("a number");
        assert!((1..=SECOND).contains(&resolution), "{resolution}");
        assert_eq!(value(&lines, "decreases"), "0");

        let waits = pairs(&lines, "wait-for");
        assert_eq!(waits.len(), 4, "{lines:?}");
        for (requested, elapsed) in waits {
            assert!(elapsed >= requested, "waited {elapsed} for {requested}");
        }
        // `Some(n)`: the mark was n nanoseconds ago. `None` would be a mark still to come.
        let marks = values(&lines, "wait-until");
        assert_eq!(marks.len(), 3, "{lines:?}");
        assert!(marks.iter().all(|mark| mark.contains("Some(")), "{marks:?}");

        assert!(lines.contains(&"past".to_owned()), "{lines:?}");
        assert_eq!(value(&lines, "order"), "[20, 40, 60]");
        assert!(lines.contains(&"abandoned".to_owned()), "{lines:?}");
    }
}

#[test]
fn a_thousand_timers_overlap_in_one_instance() {
    for name in versions("clocks-timers") {
        let lines = lines(&name, &[], &["1000", "200"]);
        let elapsed: u64 = value(&lines, "elapsed").parse().expect("a number");
        // One after the other they would take 200 s.
        assert!((200 * MILLISECOND..20 * SECOND).contains(&elapsed), "{elapsed}");
    }
}

#[test]
fn the_system_clock_is_that_of_the_host() {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as u64
    };
    for name in versions("clocks-system") {
        let before = now();
        let lines = lines(&name, &[], &[]);
        let after = now();
        let resolution: u64 = value(&lines, "resolution").parse().expect("a number");
        assert!((1..=SECOND).contains(&resolution), "{resolution}");
        let (seconds, nanoseconds) = pairs(&lines, "now")[0];
        assert!(nanoseconds < SECOND, "{nanoseconds}");
        let then = seconds * SECOND + nanoseconds;
        assert!((before..=after).contains(&then), "{before} {then} {after}");
    }
}

/// What a guest sees when the host runs with `TZ` set to `timezone`: its name, and its offset in seconds in winter
/// (January 2026), in summer (July 2026) and before summer time was known (January 1970).
fn check_timezone(timezone: &str, name: &str, offsets: [i64; 3]) {
    const INSTANTS: [&str; 3] = ["1768478400", "1784116800", "1209600"];
    for guest in versions("clocks-timezone") {
        let mut command = command(&guest, &[], &INSTANTS);
        command.env("TZ", timezone);
        let lines = lines_of(&mut command);
        assert_eq!(value(&lines, "iana-id"), format!("Some({name:?})"), "{lines:?}");
        assert_ne!(value(&lines, "debug"), "\"\"", "{lines:?}");
        for (instant, offset) in INSTANTS.iter().zip(offsets) {
            let expected = format!("{instant} Some({})", offset * SECOND as i64);
            assert!(
                values(&lines, "offset").contains(&expected.as_str()),
                "{expected} in {lines:?}"
            );
        }
    }
}

#[test]
fn the_timezone_is_that_of_the_host() {
    const HOUR: i64 = 3600;
    check_timezone("Europe/Berlin", "Europe/Berlin", [HOUR, 2 * HOUR, HOUR]);
    check_timezone(
        "America/New_York",
        "America/New_York",
        [-5 * HOUR, -4 * HOUR, -5 * HOUR],
    );
    check_timezone("Asia/Kolkata", "Asia/Kolkata", [5 * HOUR + 1800; 3]);
    check_timezone("UTC", "UTC", [0; 3]);
}

//! What came of the requests of one run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::Answer;

/// Counts what happens from one moment to another; requests by when they were due, answers by when they came.
pub struct Tally {
    pub from: Instant,
    pub to: Instant,
    asked: u64,
    not_sent: u64,
    /// How long after they were due requests were sent, in microseconds.
    late: Vec<u32>,
    /// How long after their requests were due answers came: with 200, and with 503.
    served: Vec<u32>,
    refused: Vec<u32>,
    /// Of the latter, those that say when to come again.
    says_when: u64,
    /// How often what else happened.
    other: BTreeMap<String, u64>,
}

impl Tally {
    pub fn new(from: Instant, to: Instant) -> Self {
        Self {
            from,
            to,
            asked: 0,
            not_sent: 0,
            late: Vec::new(),
            served: Vec::new(),
            refused: Vec::new(),
            says_when: 0,
            other: BTreeMap::new(),
        }
    }

    fn counts(&self, moment: Instant) -> bool {
        self.from <= moment && moment < self.to
    }

    pub fn asked(&mut self, due: Instant, now: Instant) {
        if self.counts(due) {
            self.asked += 1;
            self.late.push(microseconds(now - due));
        }
    }

    /// There was no connection for it.
    pub fn not_sent(&mut self, due: Instant) {
        if self.counts(due) {
            self.not_sent += 1;
        }
    }

    pub fn answered(&mut self, answer: &Answer, due: Instant, now: Instant) {
        if !self.counts(now) {
            return;
        }
        match answer.status {
            200 => self.served.push(microseconds(now - due)),
            503 => {
                self.refused.push(microseconds(now - due));
                self.says_when += u64::from(answer.says_when);
            }
            status => self.count(&status.to_string()),
        }
    }

    /// It will not be answered.
    pub fn failed(&mut self, why: &str) {
        if self.counts(Instant::now()) {
            self.count(why);
        }
    }

    fn count(&mut self, what: &str) {
        match self.other.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.other.insert(what.to_owned(), 1);
            }
        }
    }

    /// Everything by the second, and times in milliseconds; what `under_way` requests that are not answered will come to,
    /// nobody knows.
    pub fn as_json(&self, under_way: usize) -> Value {
        let seconds = (self.to - self.from).as_secs_f64();
        let rate = |count: u64| count as f64 / seconds;
        let other: BTreeMap<_, _> = self.other.iter().map(|(what, &count)| (what, rate(count))).collect();
        json!({
            "asked_per_second": rate(self.asked),
            "not_sent_per_second": rate(self.not_sent),
            "late_ms": times(&self.late),
            "served_per_second": rate(self.served.len() as u64),
            "served_ms": times(&self.served),
            "refused_per_second": rate(self.refused.len() as u64),
            "refused_ms": times(&self.refused),
            "refused": self.refused.len(),
            "refused_with_retry_after": self.says_when,
            "other_per_second": other,
            "unanswered": under_way,
        })
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// So long did that part of them take at most; nothing where there are none.
fn times(microseconds: &[u32]) -> Value {
    let mut sorted = microseconds.to_vec();
    sorted.sort_unstable();
    let part = |part: f64| {
        let nth = (sorted.len() as f64 * part).ceil() as usize;
        sorted.get(nth.saturating_sub(1)).map(|&time| f64::from(time) / 1e3)
    };
    json!({ "p50": part(0.5), "p99": part(0.99), "p999": part(0.999) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_last_that_belongs_to_the_part() {
        let hundred: Vec<u32> = (1..=100).rev().map(|time| time * 1000).collect();
        assert_eq!(times(&hundred), json!({ "p50": 50.0, "p99": 99.0, "p999": 100.0 }));
        assert_eq!(times(&[]), json!({ "p50": null, "p99": null, "p999": null }));
    }

    #[test]
    fn what_happens_before_and_after_does_not_count() {
        let from = Instant::now();
        let second = Duration::from_secs(1);
        let mut tally = Tally::new(from, from + second * 2);
        for due in [from - second, from, from + second, from + second * 2] {
            tally.asked(due, due);
            tally.not_sent(due);
        }
        let json = tally.as_json(3);
        assert_eq!(
            (&json["asked_per_second"], &json["unanswered"]),
            (&json!(1.0), &json!(3))
        );
        assert_eq!(json["not_sent_per_second"], 1.0);
    }
}

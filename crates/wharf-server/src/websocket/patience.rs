//! How long a WebSocket may be silent, dead, or slow, and how much it may say.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{ServerLimits, SocketLimits};

/// Over how long messages are counted: bursts of so many seconds' worth are let through.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// What is looked at now and then.
pub(super) struct Patience {
    limits: Limits,
    /// When a frame last came, and when a message last went either way.
    heard: Instant,
    spoken: Instant,
    /// When a ping was sent that nothing has come since.
    pinged: Option<Instant>,
    /// The guest takes what comes, so that the client is heard.
    reads: bool,
    /// Since when the client has been behind, and what it had taken then.
    behind: Option<(Instant, u64)>,
    written: u64,
    /// When the frames that are being counted began, and how many there were.
    window: (Instant, u64),
}

struct Limits {
    idle_timeout: Duration,
    ping_interval: Duration,
    pong_timeout: Duration,
    write_timeout: Duration,
    write_rate_min: u64,
    frames_max: u64,
}

/// What a look says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Fine,
    /// The client is to be asked whether it is there.
    Ping,
    /// No message either way for as long as that may be.
    Idle,
    /// The client does not answer.
    Dead,
    /// The client takes too little of what waits for it.
    Slow,
}

impl Patience {
    pub fn new(limits: &SocketLimits, server: &ServerLimits) -> Self {
        let now = Instant::now();
        Self {
            limits: Limits {
                idle_timeout: limits.idle_timeout,
                ping_interval: limits.ping_interval,
                pong_timeout: limits.pong_timeout,
                write_timeout: server.write_timeout,
                write_rate_min: server.write_rate_min,
                frames_max: u64::from(limits.messages_per_second_max).saturating_mul(RATE_WINDOW.as_secs()),
            },
            heard: now,
            spoken: now,
            pinged: None,
            reads: true,
            behind: None,
            written: 0,
            window: (now, 0),
        }
    }

    /// A frame has come; false where there were too many.
    pub fn frame(&mut self) -> bool {
        let now = Instant::now();
        self.heard = now;
        self.pinged = None;
        if now.duration_since(self.window.0) >= RATE_WINDOW {
            self.window = (now, 0);
        }
        self.window.1 += 1;
        self.window.1 <= self.limits.frames_max
    }

    /// A message has come or is about to go.
    pub fn message(&mut self) {
        self.spoken = Instant::now();
    }

    /// Whether anything is read from the client. While it is not, it cannot be heard.
    pub fn reads(&mut self, reads: bool) {
        if reads && !self.reads {
            self.heard = Instant::now();
            self.pinged = None;
        }
        self.reads = reads;
    }

    /// So much has been written, and whether more waits.
    pub fn writes(&mut self, written: u64, is_blocked: bool) {
        self.written = written;
        match (is_blocked, self.behind) {
            (false, None) => {}
            (false, Some(_)) => {
                self.behind = None;
                // A ping goes behind what waits: its time begins now.
                self.pinged = self.pinged.map(|_| Instant::now());
            }
            (true, None) => self.behind = Some((Instant::now(), written)),
            (true, Some(_)) => {}
        }
    }

    pub fn is_reading(&self) -> bool {
        self.reads
    }

    /// When to look next.
    pub fn next(&self, also: Option<Instant>) -> Instant {
        let idle = self.spoken + self.limits.idle_timeout;
        let answer = match self.pinged {
            Some(pinged) if self.reads => pinged + self.limits.pong_timeout,
            _ => self.heard + self.limits.ping_interval,
        };
        let slow = self.behind.map(|(since, _)| since + self.limits.write_timeout);
        let heard = self.behind.is_none().then_some(answer);
        [Some(idle), heard, slow, also]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(idle)
    }

    pub fn look(&mut self, now: Instant) -> Look {
        if self.is_behind(now) {
            return Look::Slow;
        }
        if now >= self.spoken + self.limits.idle_timeout {
            return Look::Idle;
        }
        let is_due = now >= self.heard + self.limits.ping_interval;
        match self.pinged {
            // It takes what waits for it, or how slowly it does is looked at by itself; a ping would only go behind that.
            _ if self.behind.is_some() => Look::Fine,
            // An answer would not be read. But the network says whether the ping can be delivered at all.
            _ if !self.reads && is_due => {
                self.heard = now;
                Look::Ping
            }
            _ if !self.reads => Look::Fine,
            Some(pinged) if now >= pinged + self.limits.pong_timeout => Look::Dead,
            Some(_) => Look::Fine,
            None if is_due => {
                self.pinged = Some(now);
                Look::Ping
            }
            None => Look::Fine,
        }
    }

    fn is_behind(&mut self, now: Instant) -> bool {
        let Some((since, before)) = self.behind else {
            return false;
        };
        let elapsed = now.duration_since(since);
        if elapsed < self.limits.write_timeout {
            return false;
        }
        let least = self.limits.write_rate_min as f64 * elapsed.as_secs_f64();
        if ((self.written - before) as f64) < least {
            return true;
        }
        self.behind = Some((now, self.written));
        false
    }
}

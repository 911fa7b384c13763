//! Which WebSockets are open, and what is counted of them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::{App, OfApp, OpenSocket};
use crate::connection::activity::{Activity, Held};
use crate::door::Door;
use crate::places::Place;

/// The counters of all WebSockets.
#[derive(Default)]
pub(crate) struct Counts {
    open: Family<Named, Gauge>,
    messages: Family<Directed, Counter>,
    bytes: Family<Directed, Counter>,
    closed: Family<Closed, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    app: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Directed {
    app: String,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Closed {
    app: String,
    by: &'static str,
    code: String,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    App,
    Server,
}

impl By {
    const ALL: [Self; 3] = [Self::Client, Self::App, Self::Server];

    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::App => "app",
            Self::Server => "server",
        }
    }
}

const DIRECTIONS: [&str; 2] = ["received", "sent"];

impl Counts {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("websockets", "WebSockets that are open, by app", self.open.clone());
        let messages = "Messages of WebSockets, by app and direction";
        registry.register("websocket_messages", messages, self.messages.clone());
        let bytes = "What these messages had, without frames";
        registry.register("websocket_bytes", bytes, self.bytes.clone());
        let closed = "WebSockets that have ended, by app, who ended them, and the code";
        registry.register("websocket_closed", closed, self.closed.clone());
    }

    /// No more is counted for the app of this name.
    pub fn forget(&self, app: &str) {
        self.open.remove(&Named { app: app.to_owned() });
        for direction in DIRECTIONS {
            let label = Directed {
                app: app.to_owned(),
                direction,
            };
            self.messages.remove(&label);
            self.bytes.remove(&label);
        }
        for by in By::ALL {
            for code in CODES {
                self.closed.remove(&closed(app, by, code));
            }
        }
    }
}

/// Codes as they stand in labels: those that clients may choose freely stand together.
const CODES: [&str; 18] = [
    "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
    "1014", "1015", "3xxx", "4xxx",
];

fn label(code: u16) -> &'static str {
    match code {
        1000..=1015 => CODES[usize::from(code - 1000)],
        ..4000 => CODES[16],
        _ => CODES[17],
    }
}

fn closed(app: &str, by: By, code: &str) -> Closed {
    Closed {
        app: app.to_owned(),
        by: by.name(),
        code: code.to_owned(),
    }
}

/// An open WebSocket: it is counted, its app has not finished while it is there, and its connection keeps its place.
pub(crate) struct Open {
    pub door: Arc<Door>,
    pub activity: Arc<Activity>,
    app: OfApp,
    open: Gauge,
    received: Direction,
    sent: Direction,
    _place: Option<Arc<Place>>,
    _of_app: OpenSocket,
    _held: Held,
}

struct Direction {
    messages: Counter,
    bytes: Counter,
}

impl Open {
    /// `None` where the app has as many as it may.
    pub fn take(door: &Arc<Door>, app: &App, activity: &Arc<Activity>) -> Option<Self> {
        let of_app = OpenSocket::take(app)?;
        let counts = &door.metrics.websockets;
        let direction = |direction| {
            let label = Directed {
                app: app.name().to_owned(),
                direction,
            };
            Direction {
                messages: counts.messages.get_or_create_owned(&label),
                bytes: counts.bytes.get_or_create_owned(&label),
            }
        };
        let [received, sent] = DIRECTIONS.map(direction);
        let label = Named {
            app: app.name().to_owned(),
        };
        let open = counts.open.get_or_create_owned(&label);
        open.inc();
        Some(Self {
            door: door.clone(),
            activity: activity.clone(),
            app: app.begin(),
            open,
            received,
            sent,
            _place: activity.place(),
            _of_app: of_app,
            _held: activity.hold(),
        })
    }

    pub fn app(&self) -> &App {
        self.app.app()
    }

    pub fn received(&self, bytes: usize) {
        self.received.messages.inc();
        self.received.bytes.inc_by(bytes as u64);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.messages.inc();
        self.sent.bytes.inc_by(bytes as u64);
    }

    /// The connection has ended.
    pub fn closed(&self, by: By, code: u16) {
        let label = closed(self.app().name(), by, label(code));
        self.door.metrics.websockets.closed.get_or_create(&label).inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.dec();
    }
}

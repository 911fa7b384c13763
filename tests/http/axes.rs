//! What most tests are repeated over: how requests share instances, and which protocol carries them.

use wharf_tests::Server;

/// The value of `--isolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Request,
    Serial,
    Shared,
}

impl Isolation {
    pub const ALL: [Self; 3] = [Self::Request, Self::Serial, Self::Shared];

    /// The two that keep requests apart whatever happens to one of them.
    pub const APART: [Self; 2] = [Self::Request, Self::Serial];

    pub fn flag(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Serial => "serial",
            Self::Shared => "shared",
        }
    }

    /// Serves `guest` so.
    pub fn serve(self, guest: &str, flags: &[&str]) -> Server {
        let mut all = vec!["--isolation", self.flag()];
        all.extend(flags);
        Server::start(guest, &all)
    }
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

/// Every isolation with every protocol.
pub fn all() -> impl Iterator<Item = (Isolation, Protocol)> {
    let protocols = |isolation| Protocol::ALL.map(|protocol| (isolation, protocol));
    Isolation::ALL.into_iter().flat_map(protocols)
}

/// Lets a guest call anything.
pub const ALLOW_ALL: [&str; 2] = ["--allow-outbound", "*"];

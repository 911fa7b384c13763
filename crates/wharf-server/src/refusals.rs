//! Requests that are refused, or whose responses break off, for what anybody can cause any number of times.
//!
//! The first of a second is in the log, for each app and kind, and says how many there were since the last that was. An id is
//! given to those alone that are in the log, so that whoever asks for one is found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::limits::Limit;
use crate::problem::ErrorId;
use wharf_host::http::ErrorCode;

/// How often one is written of each kind: often enough to be found, seldom enough to bury nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// What can be said of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    /// There is more to do than can be done.
    Crowded(Limit),
    /// Its content is none.
    Malformed,
    /// Its content ends before it is all there: mostly its client has left, which is no news.
    CutShort,
    /// Its response has begun, and ended before it was all there.
    BrokeOff(&'a ErrorCode),
}

impl Kind<'_> {
    fn number(self) -> usize {
        match self {
            Self::Crowded(limit) => limit as usize,
            Self::Malformed => Limit::ALL.len(),
            Self::BrokeOff(_) => Limit::ALL.len() + 1,
            // Never counted.
            Self::CutShort => Limit::ALL.len() + 2,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Crowded(_) => "request refused: there is more to do than can be done",
            Self::Malformed => "request refused: its content is malformed",
            Self::CutShort => "request refused: its content ends too soon",
            Self::BrokeOff(_) => "a response broke off",
        }
    }

    fn limit(self) -> Option<&'static str> {
        match self {
            Self::Crowded(limit) => Some(limit.name()),
            Self::Malformed | Self::CutShort | Self::BrokeOff(_) => None,
        }
    }

    fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::BrokeOff(code) => Some(code),
            Self::Crowded(_) | Self::Malformed | Self::CutShort => None,
        }
    }
}

/// What was said of each kind of refusal.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<(Arc<str>, usize), Said>>);

#[derive(Debug)]
struct Said {
    last: Instant,
    /// Those that came after it, and of which nothing was said.
    since: u64,
}

impl Refusals {
    /// Says what has become of a request of `app`'s, unless the same was said a moment ago. The id under which it is in the log.
    pub fn say(&self, app: &App, kind: Kind<'_>, path: &str, trace: Option<&str>) -> Option<ErrorId> {
        let others = match kind {
            Kind::CutShort => None,
            kind => self.count(&app.inner().name, kind.number(), Instant::now()),
        };
        if others.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let id = ErrorId::new();
        let (app, limit, words) = (app.name(), kind.limit(), kind.words());
        let (trace, code) = (
            trace.map(tracing::field::display),
            kind.code().map(tracing::field::debug),
        );
        match others {
            Some(others) => tracing::warn!(%id, app, limit, code, path, trace, others, "{words}"),
            None => tracing::debug!(%id, app, limit, code, path, trace, "{words}"),
        }
        Some(id)
    }

    /// How many there were since the last that was said, where it is time to say another.
    fn count(&self, app: &Arc<str>, kind: usize, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = said.get_mut(&(app.clone(), kind)) else {
            let first = Said { last: now, since: 0 };
            said.insert((app.clone(), kind), first);
            return Some(0);
        };
        if now.saturating_duration_since(known.last) < PAUSE {
            known.since += 1;
            return None;
        }
        known.last = now;
        Some(std::mem::take(&mut known.since))
    }

    /// Forgets what was said of apps that are gone.
    pub fn forget(&self, is_gone: impl Fn(&str) -> bool) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(app, _), _| !is_gone(app));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_second_is_said_and_how_many_went_before() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let [shop, blog]: [Arc<str>; 2] = ["shop".into(), "blog".into()];
        let count = |app: &Arc<str>, limit, milliseconds| {
            refusals.count(
                app,
                Kind::Crowded(limit).number(),
                begun + Duration::from_millis(milliseconds),
            )
        };
        assert_eq!(count(&shop, Limit::Load, 0), Some(0));
        assert_eq!(count(&shop, Limit::Load, 1), None);
        assert_eq!(count(&blog, Limit::Load, 1), Some(0));
        assert_eq!(count(&shop, Limit::Queue, 1), Some(0));
        assert_eq!(count(&shop, Limit::Load, 999), None);
        assert_eq!(count(&shop, Limit::Load, 1000), Some(2));
        assert_eq!(count(&shop, Limit::Load, 5000), Some(0));
        refusals.forget(|app| app == "shop");
        assert_eq!(count(&shop, Limit::Load, 5001), Some(0));
        assert_eq!(count(&blog, Limit::Load, 900), None);
    }
}

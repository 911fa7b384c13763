//! Which capabilities apps may ask for, and those that are open.
//!
//! An app's capability is opened once, for all of its components and for all of its versions whose section stays the same:
//! a pool of connections or a cache outlives the deployment of new code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context as _;
use wharf_host::{Capability, Kind};
use wharf_server::manifest::app::App;
use wharf_server::manifest::{Section, Sections, Written};

/// How long ending what capabilities keep open may take, once nobody uses it any more.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Kinds {
    all: Arc<[Arc<dyn Kind>]>,
    sections: Sections,
    opened: Arc<Mutex<HashMap<Key, Opened>>>,
}

/// An app and a section, by name.
type Key = (String, String);

/// What was opened, as long as somebody has it.
struct Opened {
    written: Written,
    stamp: u64,
    capability: Weak<dyn Capability>,
}

impl Kinds {
    pub fn new(all: Vec<Arc<dyn Kind>>) -> Self {
        let sections = all.iter().map(|kind| kind.clone() as Arc<dyn Section>);
        Self {
            sections: Sections::new(sections),
            all: all.into(),
            opened: Arc::default(),
        }
    }

    /// The sections that they read.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// The capabilities that an app's sections ask for.
    pub fn open(&self, app: &App) -> anyhow::Result<Vec<Arc<dyn Capability>>> {
        let asked = self
            .all
            .iter()
            .filter_map(|kind| Some((kind, app.sections.get(kind.name())?)));
        asked
            .map(|(kind, written)| self.open_one(&app.name, &**kind, written))
            .collect()
    }

    fn open_one(&self, app: &str, kind: &dyn Kind, written: &Written) -> anyhow::Result<Arc<dyn Capability>> {
        // Held while it opens, so that nothing is opened twice: apps are made one after the other.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|_, opened| opened.capability.strong_count() > 0);
        let key = (app.to_owned(), kind.name().to_owned());
        let stamp = kind.stamp(written);
        let known = opened.get(&key);
        let known = known.filter(|known| known.written == *written && known.stamp == stamp);
        let section = || format!("the section `[{}]`", kind.name());
        if let Some(capability) = known.and_then(|known| known.capability.upgrade()) {
            let renewed = capability.renew().map_err(anyhow::Error::from_boxed);
            return renewed.with_context(section).map(|()| capability);
        }
        let capability = kind.open(app, written).map_err(anyhow::Error::from_boxed);
        let capability = capability.with_context(section)?;
        let entry = Opened {
            written: written.clone(),
            stamp,
            capability: Arc::downgrade(&capability),
        };
        opened.insert(key, entry);
        Ok(capability)
    }

    /// Ends what they keep open, once the server has drained.
    pub async fn close(&self) {
        let opened = std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        let capabilities = opened.into_values().filter_map(|opened| opened.capability.upgrade());
        let mut closing = tokio::task::JoinSet::new();
        for capability in capabilities {
            closing.spawn(async move { capability.close().await });
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, closing.join_all()).await.is_err() {
            tracing::warn!("not all that capabilities keep open could be closed in {CLOSE_TIMEOUT:?}");
        }
    }
}

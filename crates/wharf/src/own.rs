//! The components of apps that have instances of their own, and which of another's imports they meet.
//!
//! One outlives versions of its app as long as it is the same itself and is granted the same: what it keeps, such as a cache,
//! survives the deployment of another component's new code.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use wharf_host::{Capability, Component, LinkedComponent, LinkedInterface, WeakLinkedComponent};
use wharf_server::manifest::app::{App, AppComponent};
use wharf_server::manifest::compose::{own_interfaces, own_links};
use wharf_server::{Part, Trouble};

use crate::assemble::{Assembler, all_limits, trouble};

/// Those that live, by their app's name and their own.
#[derive(Default)]
pub struct OwnComponents(Mutex<HashMap<(String, String), Known>>);

struct Known {
    terms: Terms,
    component: WeakLinkedComponent,
}

/// All that makes one what it is.
#[derive(PartialEq)]
struct Terms {
    code: u64,
    /// Where the capabilities are that sections ask for. They live as long as it does.
    opened: Vec<usize>,
    secrets: Vec<(String, String)>,
    /// Without its components, and what leads to them.
    app: App,
    /// The component, and those that it links to in turn.
    components: Vec<AppComponent>,
}

/// Capabilities, and the names of the imports that they meet.
type Met = (Vec<Arc<dyn Capability>>, BTreeSet<String>);

impl Assembler {
    /// What meets those imports of a component that lead to components with instances of their own, and the imports' names.
    pub fn linked(&self, part: &Part<'_>, compiled: &Component) -> Result<Met, Trouble> {
        let mut names = BTreeSet::new();
        let mut all: BTreeMap<&str, (LinkedComponent, Vec<LinkedInterface>)> = BTreeMap::new();
        for link in own_links(part.app, part.component) {
            let (linked, inspected) = self.own(&part.of(link.to))?;
            let met = own_interfaces(&link, compiled.inspection(), inspected.inspection());
            let met = met.map_err(|fault| Trouble::from(format!("{}: {fault}", link.from.file.display())))?;
            // Two that are joined may link to the same, or one to it and the other to a rival.
            if let Some(name) = met.keys().find(|name| names.contains(*name)) {
                let to = &link.to.name;
                if !self.leads_there(part, name, to) {
                    return Err(format!("two links of what is joined lead {name} to different components").into());
                }
                continue;
            }
            names.extend(met.keys().cloned());
            let interfaces = met
                .into_iter()
                .map(|(import, export)| LinkedInterface { import, export });
            // Interfaces of one component may have resources in common.
            let (_, known) = all.entry(&link.to.name).or_insert_with(|| (linked, Vec::new()));
            known.extend(interfaces);
        }
        let capabilities = all.into_values().map(|(linked, known)| linked.capability(known));
        let capabilities = capabilities.collect();
        Ok((capabilities, names))
    }

    /// Whether all links of `part` that mean the import of this name lead to `component`.
    fn leads_there(&self, part: &Part<'_>, name: &str, component: &str) -> bool {
        let path = |name: &str| name.split('@').next().map(str::to_owned);
        let links = own_links(part.app, part.component);
        let mut meant = links.iter().filter(|link| path(link.import) == path(name));
        meant.all(|link| link.to.name == component)
    }

    /// The component with an instance of its own, and what it was made of.
    fn own(&self, part: &Part<'_>) -> Result<(LinkedComponent, Component), Trouble> {
        let (compiled, bytes) = self.compiled(part).map_err(trouble)?;
        let opened = self.kinds.open(part.app).map_err(Trouble::from)?;
        let terms = terms(part, &bytes, &opened);
        let key = (part.app.name.clone(), part.component.name.clone());
        if let Some(known) = self.own.find(&key, &terms) {
            return Ok((known, compiled));
        }
        let capabilities = self.capabilities(part, &compiled)?;
        let linked = LinkedComponent::new(
            &part.component.name,
            &compiled,
            capabilities,
            self.environment(part),
            all_limits(part.app),
        )?;
        self.own.keep(key, terms, &linked);
        Ok((linked, compiled))
    }
}

fn terms(part: &Part<'_>, bytes: &[u8], opened: &[Arc<dyn Capability>]) -> Terms {
    let mut code = DefaultHasher::new();
    bytes.hash(&mut code);
    let mut app = part.app.clone();
    app.components.clear();
    app.routes.clear();
    // How requests meet in its callers' instances is nothing to it.
    let alone = |component: &AppComponent| AppComponent {
        isolation: None,
        ..component.clone()
    };
    let components = own_links(part.app, part.component)
        .into_iter()
        .map(|link| alone(link.to));
    Terms {
        code: code.finish(),
        opened: opened.iter().map(|capability| Arc::as_ptr(capability).addr()).collect(),
        secrets: part
            .secrets()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        app,
        components: std::iter::once(alone(part.component)).chain(components).collect(),
    }
}

impl OwnComponents {
    fn find(&self, key: &(String, String), terms: &Terms) -> Option<LinkedComponent> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.component.upgrade().is_some());
        let found = known.get(key).filter(|known| known.terms == *terms)?;
        found.component.upgrade()
    }

    fn keep(&self, key: (String, String), terms: Terms, component: &LinkedComponent) {
        let known = Known {
            terms,
            component: component.downgrade(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known);
    }
}

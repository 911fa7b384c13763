//! One component of an app with all that belongs to it: the components that its links name, and its middleware.
//!
//! Each component that is linked to is there once in the whole, however many others link to it, so that they share its state.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, NodeId};

use super::own::{OwnLink, own_interfaces, with_drops};
use super::{Chain, ComposeError, Part, crossing, encode, report};
use crate::app::{App, AppComponent, Link, LinkedAs};
use crate::inspect::{InspectError, Inspection, InterfaceName};

/// Joins `component` of `app` with what it links to, and puts its middleware in front. Where it has neither, its bytes are
/// what `read` has.
///
/// What it exports stays exported, but for a component with middleware: that is a service, which takes WebSockets if the component
/// does, and nothing else. Imports that components with instances of their own meet stay imports ([`super::own_links`]), and such a
/// component itself exports functions that drop its resources ([`super::DROP`]).
///
/// # Errors
/// When a file cannot be read, is no component, or does not fit where it is put. The error names the file.
pub fn assemble<'a>(
    app: &App,
    component: &AppComponent,
    read: impl FnMut(&Path) -> io::Result<Cow<'a, [u8]>>,
) -> Result<Cow<'a, [u8]>, AssembleError> {
    let whole = || {
        let joined = join(app, component, read)?;
        match component.linked_as {
            LinkedAs::Joined => Ok(joined),
            LinkedAs::Own => with_drops(joined).map_err(|message| AssembleError::Component {
                file: component.file.clone(),
                message,
            }),
        }
    };
    let joined = catch_unwind(AssertUnwindSafe(whole));
    // Whoever joins trusts components to be as toolchains make them, and ends where they are not.
    joined.unwrap_or_else(|panic| {
        Err(AssembleError::Component {
            file: component.file.clone(),
            message: format!("it cannot be joined: {}", panicked(&*panic)),
        })
    })
}

fn join<'a>(
    app: &App,
    component: &AppComponent,
    read: impl FnMut(&Path) -> io::Result<Cow<'a, [u8]>>,
) -> Result<Cow<'a, [u8]>, AssembleError> {
    let mut joining = Joining {
        app,
        read,
        graph: CompositionGraph::new(),
        instances: BTreeMap::new(),
        under_way: Vec::new(),
    };
    if component.links.is_empty() && component.middleware.is_empty() {
        return joining.bytes(&component.file);
    }
    let instance = joining.instantiate(component)?;
    match component.middleware.is_empty() {
        true => joining.export_all(component, &instance)?,
        false => joining.export_chain(component, &instance)?,
    }
    let joined = encode(&joining.graph).map_err(|error| AssembleError::Join {
        file: component.file.clone(),
        message: match error {
            ComposeError::Join(message) => message,
            other => other.to_string(),
        },
    });
    joined.map(Cow::Owned)
}

/// What somebody said who panicked.
fn panicked(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    let said = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("it broke something, which does not say what")
}

/// A component of an app could not be joined with what belongs to it.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no component.
    #[error("{}: {error}", file.display())]
    Inspect {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        error: InspectError,
    },
    /// A component cannot be part of a whole.
    #[error("{}: {message}", file.display())]
    Component {
        /// Its file.
        file: PathBuf,
        /// Why.
        message: String,
    },
    /// A middleware does not fit.
    #[error("{}: {error}", file.display())]
    Middleware {
        /// Its place in the component's list, from 0.
        nth: usize,
        /// Its file.
        file: PathBuf,
        /// Why.
        error: ComposeError,
    },
    /// An import cannot be joined with what its link names.
    #[error("{}: {fault}", file.display())]
    Link {
        /// The name of the component that has the link.
        component: String,
        /// Its file.
        file: PathBuf,
        /// The link's import, as written.
        import: String,
        /// Why.
        fault: Box<LinkFault>,
    },
    /// All parts fit, and yet the whole cannot be made: two parts disagree about an interface that both import.
    #[error("{}: the components it is joined with cannot share their imports: {message}", file.display())]
    Join {
        /// The file of the component that routes lead to.
        file: PathBuf,
        /// What they disagree about.
        message: String,
    },
}

/// Why an import cannot be joined with what its link names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// The component has no such import.
    #[error("it does not import `{import}`{}", instead(.found, "imports"))]
    NoImport {
        /// The import, as written.
        import: String,
        /// What it imports that comes closest, if anything does.
        found: Option<String>,
    },
    /// The other component has no such export.
    #[error("it imports `{import}`, and {} does not export that{}", file.display(), instead(.found, "exports"))]
    NoExport {
        /// The import's full name.
        import: String,
        /// The other component's file.
        file: PathBuf,
        /// What that exports under another version, if anything.
        found: Option<String>,
    },
    /// Both have the interface, and mean something else by it.
    #[error("its import `{import}` and what {} exports are of different types: {message}", file.display())]
    Types {
        /// The import's full name.
        import: String,
        /// The other component's file.
        file: PathBuf,
        /// How they differ.
        message: String,
    },
    /// The other component has an instance of its own, and the two cannot call each other from there.
    #[error(
        "`{}` of {import} cannot be called in `{component}`, which has an instance of its own: {fault}",
        fault.function
    )]
    Crossing {
        /// The import's full name.
        import: String,
        /// The other component's name.
        component: String,
        /// The function, and why.
        fault: Box<crossing::Fault>,
    },
    /// The app has no such component.
    #[error("its link `{import}` leads to `{component}`, which the app does not have")]
    NoComponent {
        /// The import, as written.
        import: String,
        /// The name.
        component: String,
    },
    /// The component would be part of itself.
    #[error("its link `{import}` leads back to a component that links to it")]
    Circle {
        /// The import, as written.
        import: String,
    },
}

impl AssembleError {
    /// What to do about it, where the message does not say it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Link { fault, .. } => fault.help(),
            _ => None,
        }
    }
}

impl LinkFault {
    fn help(&self) -> Option<String> {
        let Self::Crossing { component, fault, .. } = self else {
            return None;
        };
        Some(match fault.reason {
            crossing::Reason::Stays { instead, .. } => format!(
                "join the two, without `instance = \"own\"` in [components.{component}]: then everything crosses; or pass {instead}"
            ),
            crossing::Reason::Differs(_) => "build both with the same declarations of the interface".to_owned(),
        })
    }
}

fn instead(found: &Option<String>, verb: &str) -> String {
    match found {
        Some(name) => format!(" (it {verb} {name})"),
        None => String::new(),
    }
}

/// A component that is part of the whole.
#[derive(Clone)]
struct Instance {
    node: NodeId,
    inspection: Inspection,
}

struct Joining<'a, R> {
    app: &'a App,
    read: R,
    graph: CompositionGraph,
    /// Those that are complete, by their component's name.
    instances: BTreeMap<&'a str, Instance>,
    /// The names of components whose links are being followed.
    under_way: Vec<String>,
}

impl<'a, 'b, R: FnMut(&Path) -> io::Result<Cow<'b, [u8]>>> Joining<'a, R> {
    fn bytes(&mut self, file: &Path) -> Result<Cow<'b, [u8]>, AssembleError> {
        (self.read)(file).map_err(|error| AssembleError::Read {
            file: file.to_owned(),
            error,
        })
    }

    /// Makes a component part of the whole, with what it links to.
    fn instantiate(&mut self, component: &AppComponent) -> Result<Instance, AssembleError> {
        let instance = self.unlinked(component)?;
        self.under_way.push(component.name.clone());
        for link in &component.links {
            self.follow(component, link, &instance)?;
        }
        self.under_way.pop();
        Ok(instance)
    }

    fn unlinked(&mut self, component: &AppComponent) -> Result<Instance, AssembleError> {
        let bytes = self.bytes(&component.file)?;
        let inspection = Inspection::new(&bytes).map_err(|error| AssembleError::Inspect {
            file: component.file.clone(),
            error,
        })?;
        // The name only has to differ from those of the other components.
        let name = format!("wharf:component-{}", self.under_way.len() + self.instances.len());
        let package = Package::from_bytes(&name, None, bytes.into_owned(), self.graph.types_mut())
            .map_err(report)
            .and_then(|package| self.graph.register_package(package).map_err(report))
            .map_err(|message| AssembleError::Component {
                file: component.file.clone(),
                message,
            })?;
        Ok(Instance {
            node: self.graph.instantiate(package),
            inspection,
        })
    }

    /// Meets the import of one of a component's links.
    fn follow(&mut self, component: &AppComponent, link: &Link, instance: &Instance) -> Result<(), AssembleError> {
        let fault = |fault: LinkFault| AssembleError::Link {
            component: component.name.clone(),
            file: component.file.clone(),
            import: link.import.clone(),
            fault: Box::new(fault),
        };
        let app = self.app;
        let Some(other) = app.component(&link.component) else {
            let (import, component) = (link.import.clone(), link.component.clone());
            return Err(fault(LinkFault::NoComponent { import, component }));
        };
        // Its callers reach it where it lives.
        if other.linked_as == LinkedAs::Own {
            return match self.crossing(component, link, other, &instance.inspection) {
                Ok(found) => found.map_err(fault),
                // Who makes an instance of the other says what is wrong with it.
                Err(_) => Ok(()),
            };
        }
        if self.under_way.contains(&other.name) {
            let import = link.import.clone();
            return Err(fault(LinkFault::Circle { import }));
        }
        let source = self.linked(other)?;
        self.meet(instance, &link.import, &source, &other.file).map_err(fault)
    }

    /// Whether what a link means can be called in another instance. Fails where a file is no component.
    fn crossing(
        &mut self,
        component: &AppComponent,
        link: &Link,
        other: &AppComponent,
        inspection: &Inspection,
    ) -> Result<Result<(), LinkFault>, AssembleError> {
        let (caller, linked) = (self.bytes(&component.file)?, self.bytes(&other.file)?);
        let exports = Inspection::new(&linked).map_err(|error| AssembleError::Inspect {
            file: other.file.clone(),
            error,
        })?;
        let own_link = |link| OwnLink {
            from: component,
            import: link,
            to: other,
        };
        let met = match own_interfaces(&own_link(&link.import), inspection, &exports) {
            Ok(met) => met,
            Err(fault) => return Ok(Err(fault)),
        };
        // Interfaces that several links mean may have resources in common.
        let others = component
            .links
            .iter()
            .filter(|known| known.component == other.name && known.import != link.import);
        let besides = others.filter_map(|link| own_interfaces(&own_link(&link.import), inspection, &exports).ok());
        let besides: Vec<_> = besides.flat_map(BTreeMap::into_keys).collect();
        let checked = crossing::check(&caller, &linked, &met, &besides);
        Ok(checked.map_err(|(import, fault)| LinkFault::Crossing {
            import,
            component: other.name.clone(),
            fault: Box::new(fault),
        }))
    }

    /// The one instance of a component that others link to.
    fn linked(&mut self, component: &'a AppComponent) -> Result<Instance, AssembleError> {
        if let Some(instance) = self.instances.get(component.name.as_str()) {
            return Ok(instance.clone());
        }
        let instance = self.instantiate(component)?;
        self.instances.insert(&component.name, instance.clone());
        Ok(instance)
    }

    /// Meets the imports that `import` means with the exports of `source`.
    fn meet(&mut self, instance: &Instance, import: &str, source: &Instance, file: &Path) -> Result<(), LinkFault> {
        let imports = meant(&instance.inspection, import);
        if imports.is_empty() {
            let names = instance.inspection.imports.iter().map(|import| import.name.as_str());
            return Err(LinkFault::NoImport {
                import: import.to_owned(),
                found: of_same_path(import, names),
            });
        }
        for import in imports {
            let Some(export) = export_for(&source.inspection, &import) else {
                let names = source.inspection.exports.iter().map(|export| export.name.as_str());
                return Err(LinkFault::NoExport {
                    found: of_same_path(&import, names),
                    import,
                    file: file.to_owned(),
                });
            };
            let argument = self.graph.alias_instance_export(source.node, &export).map_err(report);
            let joined = argument.and_then(|argument| {
                let joined = self.graph.set_instantiation_argument(instance.node, &import, argument);
                joined.map_err(report)
            });
            joined.map_err(|message| LinkFault::Types {
                import,
                file: file.to_owned(),
                message,
            })?;
        }
        Ok(())
    }

    fn export_all(&mut self, component: &AppComponent, instance: &Instance) -> Result<(), AssembleError> {
        for export in &instance.inspection.exports {
            let exported = self
                .graph
                .alias_instance_export(instance.node, &export.name)
                .map_err(report)
                .and_then(|node| self.graph.export(node, &export.name).map_err(report));
            exported.map_err(|message| AssembleError::Component {
                file: component.file.clone(),
                message,
            })?;
        }
        Ok(())
    }

    fn export_chain(&mut self, component: &AppComponent, instance: &Instance) -> Result<(), AssembleError> {
        let mut chain = Chain::of(&mut self.graph, Part::Service, instance.node, &instance.inspection)
            .map_err(|error| behind_middleware(component, error))?;
        let past = self.app.websocket.past_middleware;
        for (nth, file) in component.middleware.iter().enumerate().rev() {
            let bytes = self.bytes(file)?;
            chain = chain
                .put_in_front(&mut self.graph, &bytes, Part::Middleware(nth), past)
                .map_err(|error| AssembleError::Middleware {
                    nth,
                    file: file.clone(),
                    error,
                })?;
        }
        chain
            .export(&mut self.graph)
            .map_err(|error| behind_middleware(component, error))
    }
}

fn behind_middleware(component: &AppComponent, error: ComposeError) -> AssembleError {
    AssembleError::Component {
        file: component.file.clone(),
        message: error.to_string(),
    }
}

/// The imports that a link means, by their full names: the one of this name, or all of this interface.
pub(super) fn meant(inspection: &Inspection, import: &str) -> Vec<String> {
    let names = inspection.imports.iter();
    let meant = names.filter(|known| {
        known.name == import
            || known
                .interface
                .as_ref()
                .is_some_and(|interface| interface.path() == import)
    });
    meant.map(|known| known.name.clone()).collect()
}

/// The export that stands in for an import: of the same name, or of the same interface on the same version track.
pub(super) fn export_for(inspection: &Inspection, import: &str) -> Option<String> {
    let exact = inspection.exports.iter().find(|export| export.name == import);
    let of_track = || {
        let wanted: InterfaceName = import.parse().ok()?;
        inspection.export(&wanted.path(), wanted.track()?)
    };
    exact.or_else(of_track).map(|export| export.name.clone())
}

/// Of several names one of the same interface, whatever its version.
pub(super) fn of_same_path<'a>(wanted: &str, mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    let path = |name: &str| name.split('@').next().map(str::to_owned);
    names.find(|name| path(name) == path(wanted)).map(str::to_owned)
}

#[cfg(test)]
mod tests;

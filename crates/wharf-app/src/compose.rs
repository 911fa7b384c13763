//! Joins components into one: middleware in front of a service, and components of an app that link to each other.
//!
//! The joined component is a service like any other and imports what its parts import, each interface once: resources
//! such as `wasi:http/types.request` are therefore the same type in all parts and pass between them without a copy.
//! Whether a host meets those imports is left to [`crate::imports`].

mod assemble;
pub mod crossing;
mod own;
mod plug;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId, Processor};

use crate::inspect::{InspectError, Inspection};

pub use assemble::{AssembleError, LinkFault, assemble};
pub use own::{DROP, OwnLink, exporters, own_interfaces, own_links};
pub use plug::{PlugError, plugged};

/// The interface that passes a request on.
const HANDLER: &str = "wasi:http/handler";
const TRACK: (u64, u64) = (0, 3);

/// The interface that passes the handshake of a WebSocket on.
const WEBSOCKETS: &str = "wharf:websocket/handler";
const WEBSOCKETS_TRACK: (u64, u64) = (0, 1);

/// Its counterpart in WASI 0.2.
const LEGACY_HANDLER: &str = "wasi:http/incoming-handler";

/// The component that a graph describes.
fn encode(graph: &CompositionGraph) -> Result<Vec<u8>, ComposeError> {
    let processor = Processor {
        name: "wharf",
        version: env!("CARGO_PKG_VERSION"),
    };
    let options = EncodeOptions {
        processor: Some(processor),
        ..EncodeOptions::default()
    };
    graph.encode(options).map_err(|error| ComposeError::Join(report(error)))
}

/// Components could not be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A part is no component.
    #[error("{part}: {source}")]
    Inspect {
        /// Which part.
        part: Part,
        /// What it is instead.
        source: InspectError,
    },
    /// A part does not export `wasi:http/handler@0.3`, so it cannot be asked.
    #[error("{part} does not export wasi:http/handler@0.3{}", other(found))]
    NoHandlerExport {
        /// Which part.
        part: Part,
        /// The export that comes closest, if any.
        found: Option<String>,
    },
    /// A middleware does not import `wasi:http/handler@0.3`, so it would never pass a request on.
    #[error(
        "{part} does not import wasi:http/handler@0.3{}, so no request could pass it; it is not of the world \
         wasi:http/middleware",
        other(found)
    )]
    NoHandlerImport {
        /// Which part.
        part: Part,
        /// The import that comes closest, if any.
        found: Option<String>,
    },
    /// A middleware would not see the WebSockets of what stands behind it.
    #[error(
        "{part} sees no WebSockets, which the component behind it takes: their handshakes would go past it, and past what it \
         checks. Let it import and export wharf:websocket/handler as well, or say in the manifest that they may: \
         `past-middleware = true` in `[websocket]`"
    )]
    PastMiddleware {
        /// Which part.
        part: Part,
    },
    /// A part cannot be joined to what stands behind it.
    #[error("{part} cannot be joined: {message}")]
    Unsuitable {
        /// Which part.
        part: Part,
        /// Why.
        message: String,
    },
    /// All parts fit, and yet the whole cannot be made: two parts disagree about an interface that both import.
    #[error("the parts cannot share their imports: {0}")]
    Join(String),
}

impl ComposeError {
    /// Which part is at fault, if it is one alone.
    pub fn part(&self) -> Option<Part> {
        match self {
            ComposeError::Inspect { part, .. }
            | ComposeError::NoHandlerExport { part, .. }
            | ComposeError::NoHandlerImport { part, .. }
            | ComposeError::PastMiddleware { part }
            | ComposeError::Unsuitable { part, .. } => Some(*part),
            ComposeError::Join(_) => None,
        }
    }
}

/// One of the components to be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The service.
    Service,
    /// The middleware at this place in the list, from 0.
    Middleware(usize),
}

impl Part {
    fn unsuitable(self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ComposeError {
        ComposeError::Unsuitable {
            part: self,
            message: report(error),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Service => write!(f, "the service"),
            Part::Middleware(index) => write!(f, "middleware {}", index + 1),
        }
    }
}

fn other(found: &Option<String>) -> String {
    match found {
        Some(name) if name.starts_with(LEGACY_HANDLER) => format!(" (it has {name}: WASI 0.2 knows no middleware)"),
        Some(name) => format!(" (it has {name})"),
        None => String::new(),
    }
}

/// An error and all its causes in one line.
fn report(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> String {
    let error = error.into();
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

/// What has been joined so far, seen from the outside: something that handles requests.
struct Chain {
    part: Part,
    handler: NodeId,
    handler_name: String,
    /// What takes WebSockets, if anything does.
    websockets: Option<(NodeId, String)>,
}

impl Chain {
    /// Puts a middleware in front. One that knows nothing of WebSockets is in front of what takes them only where handshakes may
    /// go past it: what it guards would not be guarded.
    fn put_in_front(
        self,
        graph: &mut CompositionGraph,
        bytes: &[u8],
        part: Part,
        past: bool,
    ) -> Result<Chain, ComposeError> {
        let inspection = inspect(bytes, part)?;
        let (instance, mut chain) = Chain::instantiate(graph, bytes, part, &inspection)?;
        let Some(import) = inspection.import(HANDLER, TRACK) else {
            let found = closest(inspection.imports.iter().map(|import| &import.name));
            return Err(ComposeError::NoHandlerImport { part, found });
        };
        graph
            .set_instantiation_argument(instance, &import.name, self.handler)
            .map_err(|error| part.unsuitable(error))?;
        if let Some(import) = inspection.import(WEBSOCKETS, WEBSOCKETS_TRACK) {
            let Some((websockets, _)) = &self.websockets else {
                return Err(part.unsuitable(format!(
                    "it imports {}, and nothing behind it takes WebSockets",
                    import.name
                )));
            };
            graph
                .set_instantiation_argument(instance, &import.name, *websockets)
                .map_err(|error| part.unsuitable(error))?;
        }
        if chain.websockets.is_none() && self.websockets.is_some() && !past {
            return Err(ComposeError::PastMiddleware { part });
        }
        chain.websockets = chain.websockets.or(self.websockets);
        Ok(chain)
    }

    fn instantiate(
        graph: &mut CompositionGraph,
        bytes: &[u8],
        part: Part,
        inspection: &Inspection,
    ) -> Result<(NodeId, Chain), ComposeError> {
        // Told before the bytes are looked at more closely: it is the more common mistake.
        handler_export(inspection, part)?;
        let package = register(graph, bytes, part)?;
        let instance = graph.instantiate(package);
        Chain::of(graph, part, instance, inspection).map(|chain| (instance, chain))
    }

    /// An instance that is part of the graph already.
    fn of(
        graph: &mut CompositionGraph,
        part: Part,
        instance: NodeId,
        inspection: &Inspection,
    ) -> Result<Chain, ComposeError> {
        let handler_name = handler_export(inspection, part)?;
        let handler = graph
            .alias_instance_export(instance, handler_name)
            .map_err(|error| part.unsuitable(error))?;
        let websockets = inspection.websockets().map(|export| {
            let node = graph.alias_instance_export(instance, &export.name);
            node.map(|node| (node, export.name.clone()))
        });
        Ok(Chain {
            part,
            handler,
            handler_name: handler_name.to_owned(),
            websockets: websockets.transpose().map_err(|error| part.unsuitable(error))?,
        })
    }

    /// Makes it what the whole exports.
    fn export(self, graph: &mut CompositionGraph) -> Result<(), ComposeError> {
        let handlers = [(self.handler, self.handler_name)].into_iter().chain(self.websockets);
        for (handler, name) in handlers {
            // A name that a component exports is one that a component may export.
            graph
                .export(handler, name)
                .map_err(|error| self.part.unsuitable(error))?;
        }
        Ok(())
    }
}

/// The name under which a part handles requests.
fn handler_export(inspection: &Inspection, part: Part) -> Result<&str, ComposeError> {
    match inspection.export(HANDLER, TRACK) {
        Some(export) => Ok(&export.name),
        None => {
            let found = closest(inspection.exports.iter().map(|export| &export.name));
            Err(ComposeError::NoHandlerExport { part, found })
        }
    }
}

fn inspect(bytes: &[u8], part: Part) -> Result<Inspection, ComposeError> {
    Inspection::new(bytes).map_err(|source| ComposeError::Inspect { part, source })
}

fn register(graph: &mut CompositionGraph, bytes: &[u8], part: Part) -> Result<PackageId, ComposeError> {
    // The name only has to differ from those of the other parts: the same middleware may stand in the list twice.
    let name = match part {
        Part::Service => "wharf:service".to_owned(),
        Part::Middleware(index) => format!("wharf:middleware-{index}"),
    };
    let package = Package::from_bytes(&name, None, bytes, graph.types_mut()).map_err(|error| part.unsuitable(error))?;
    graph.register_package(package).map_err(|error| part.unsuitable(error))
}

/// Of several names, one for a handler of another version, so that an error can show what is there instead.
fn closest<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<String> {
    names
        .find(|name| name.starts_with("wasi:http/handler") || name.starts_with(LEGACY_HANDLER))
        .cloned()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::inspect::World;

    /// The types that a handler of `version` is about; `extra` adds to them.
    fn types(version: &str, extra: &str) -> String {
        format!(
            r#"(import "wasi:http/types@{version}" (instance $types
                (export "request" (type (sub resource)))
                (export "response" (type (sub resource)))
                {extra}))
            (alias export $types "request" (type $request))
            (alias export $types "response" (type $response))
            (type $handle (func async (param "request" (own $request)) (result (result (own $response)))))
            (core module $code
                (memory (export "memory") 1)
                (func (export "handle") (param i32) (result i32) unreachable))
            (core instance $code (instantiate $code))
            (func $handle (type $handle)
                (canon lift (core func $code "handle") (memory (core memory $code "memory"))))
            (instance $handler (export "handle" (func $handle)))"#
        )
    }

    fn service(version: &str) -> Vec<u8> {
        service_with(version, "")
    }

    fn service_with(version: &str, extra: &str) -> Vec<u8> {
        let types = types(version, extra);
        component(&format!(
            r#"{types} (export "wasi:http/handler@{version}" (instance $handler))"#
        ))
    }

    fn middleware(version: &str) -> Vec<u8> {
        let types = types(version, "");
        component(&format!(
            r#"{types}
            (import "wasi:http/handler@{version}" (instance
                (alias outer 1 $request (type $request))
                (alias outer 1 $response (type $response))
                (export "handle" (func async (param "request" (own $request)) (result (result (own $response)))))))
            (import "acme:audit/log@1.0.0" (instance (export "f" (func))))
            (export "wasi:http/handler@{version}" (instance $handler))"#
        ))
    }

    /// `middleware` in its order, and `service` behind the last.
    fn middleware_chain(service: &[u8], middleware: &[&[u8]]) -> Result<Vec<u8>, ComposeError> {
        let mut graph = CompositionGraph::new();
        let inspection = inspect(service, Part::Service)?;
        let (_, mut chain) = Chain::instantiate(&mut graph, service, Part::Service, &inspection)?;
        for (index, bytes) in middleware.iter().enumerate().rev() {
            chain = chain.put_in_front(&mut graph, bytes, Part::Middleware(index), false)?;
        }
        chain.export(&mut graph)?;
        encode(&graph)
    }

    fn component(body: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {body})")).unwrap()
    }

    #[track_caller]
    fn check(service: &[u8], middleware: &[&[u8]], imports: &[&str], export: &str) {
        let joined = middleware_chain(service, middleware).unwrap();
        let inspection = Inspection::new(&joined).unwrap();
        assert_eq!(inspection.worlds(), [World::Service03]);
        assert_eq!(
            inspection.imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
            imports
        );
        assert_eq!(
            inspection.exports.iter().map(|export| &export.name).collect::<Vec<_>>(),
            [export]
        );
    }

    #[track_caller]
    fn check_error(service: &[u8], middleware: &[&[u8]], expected: &str) {
        let error = middleware_chain(service, middleware).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_chain_is_a_service_that_imports_what_its_parts_import_once() {
        let service = service("0.3.2");
        let front = middleware("0.3.2");
        let imports = ["wasi:http/types@0.3.2", "acme:audit/log@1.0.0"];
        check(&service, &[&front], &imports, "wasi:http/handler@0.3.2");
        check(&service, &[&front, &front, &front], &imports, "wasi:http/handler@0.3.2");
    }

    #[test]
    fn releases_of_03_mix_and_the_newest_is_imported() {
        for (inner, outer) in [("0.3.0", "0.3.2"), ("0.3.2", "0.3.0")] {
            let imports = ["wasi:http/types@0.3.2", "acme:audit/log@1.0.0"];
            let export = format!("wasi:http/handler@{outer}");
            let joined = middleware_chain(&service(inner), &[&middleware(outer)]).unwrap();
            let inspection = Inspection::new(&joined).unwrap();
            let mut names: Vec<&str> = inspection.imports.iter().map(|import| import.name.as_str()).collect();
            names.sort_by_key(|name| !name.starts_with("wasi:"));
            assert_eq!(names, imports);
            assert_eq!(inspection.exports[0].name, export);
        }
    }

    #[test]
    fn the_first_in_the_list_is_outermost() {
        let joined = middleware_chain(&service("0.3.2"), &[&middleware("0.3.0"), &middleware("0.3.1")]).unwrap();
        assert_eq!(
            Inspection::new(&joined).unwrap().exports[0].name,
            "wasi:http/handler@0.3.0"
        );
    }

    #[test]
    fn links_are_joined_behind_middleware() {
        let types = types("0.3.2", "");
        let service = component(&format!(
            r#"{types}
            (import "acme:store/cache@1.0.0" (instance (export "get" (func))))
            (export "wasi:http/handler@0.3.2" (instance $handler))"#
        ));
        let cache = component(
            r#"(core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m "f")))
            (instance $i (export "get" (func $f)))
            (export "acme:store/cache@1.0.0" (instance $i))"#,
        );
        let mut app = crate::App::of_component("shop", "service.wasm");
        let mut linked = app.components[0].clone();
        linked.middleware = vec!["front.wasm".into()];
        linked.links = vec![crate::app::Link {
            import: "acme:store/cache".into(),
            component: "cache".into(),
        }];
        app.components = vec![linked, crate::app::AppComponent::new("cache", "cache.wasm")];
        let joined = assemble(&app, &app.components[0], |file| {
            Ok(match file.to_str() {
                Some("service.wasm") => Cow::from(&service),
                Some("cache.wasm") => Cow::from(&cache),
                _ => Cow::from(middleware("0.3.2")),
            })
        });
        let inspection = Inspection::new(&joined.unwrap()).unwrap();
        assert_eq!(inspection.worlds(), [World::Service03]);
        let imports: Vec<&str> = inspection.imports.iter().map(|import| import.name.as_str()).collect();
        assert_eq!(imports, ["wasi:http/types@0.3.2", "acme:audit/log@1.0.0"]);
    }

    #[test]
    fn an_error_says_which_part_and_what_it_has_instead() {
        let (service, front) = (service("0.3.2"), middleware("0.3.2"));
        let proxy = component(r#"(instance $i) (export "wasi:http/incoming-handler@0.2.6" (instance $i))"#);
        let draft = component(r#"(instance $i) (export "wasi:http/handler@0.3.0-rc-1" (instance $i))"#);
        check_error(
            &proxy,
            &[&front],
            "the service does not export wasi:http/handler@0.3 (it has wasi:http/incoming",
        );
        check_error(
            &service,
            &[&front, &draft],
            "middleware 2 does not export wasi:http/handler@0.3 (it has",
        );
        check_error(
            &service,
            &[&service],
            "middleware 1 does not import wasi:http/handler@0.3, so no request",
        );
        check_error(
            &service,
            &[&front, b"\0asm\x01\0\0\0"],
            "middleware 2: this is a core WebAssembly module",
        );
    }

    #[test]
    fn a_handler_of_another_type_is_refused() {
        let types = types("0.3.2", "");
        let other = component(&format!(
            r#"{types}
            (import "wasi:http/handler@0.3.2" (instance (export "handle" (func (param "request" string)))))
            (export "wasi:http/handler@0.3.2" (instance $handler))"#
        ));
        check_error(
            &service("0.3.2"),
            &[&other],
            "middleware 1 cannot be joined: mismatched",
        );
    }

    #[test]
    fn parts_that_disagree_about_an_import_are_refused() {
        let odd = service_with("0.3.2", r#"(export "f" (func (param "a" string)))"#);
        let types = types("0.3.2", r#"(export "f" (func))"#);
        let front = component(&format!(
            r#"{types}
            (import "wasi:http/handler@0.3.2" (instance
                (alias outer 1 $request (type $request))
                (alias outer 1 $response (type $response))
                (export "handle" (func async (param "request" (own $request)) (result (result (own $response)))))))
            (export "wasi:http/handler@0.3.2" (instance $handler))"#
        ));
        check_error(&odd, &[&front], "the parts cannot share their imports");
    }
}

//! Joins guests into one component.

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

/// A composition that grows from its last component to its first.
pub struct Composition {
    graph: CompositionGraph,
    parts: u32,
}

impl Composition {
    pub fn new() -> Self {
        Self {
            graph: CompositionGraph::new(),
            parts: 0,
        }
    }

    /// Adds a component whose imports come from parts added before, by interface. What it imports besides stays an
    /// import of the whole.
    pub fn add(&mut self, component: &[u8], imports: &[(&str, NodeId)]) -> NodeId {
        self.parts += 1;
        let name = format!("wharf:part{}", self.parts);
        let package = Package::from_bytes(&name, None, component, self.graph.types_mut()).unwrap();
        let package = self.graph.register_package(package).unwrap();
        let instance = self.graph.instantiate(package);
        for (interface, part) in imports {
            let export = self.graph.alias_instance_export(*part, interface).unwrap();
            self.graph
                .set_instantiation_argument(instance, interface, export)
                .unwrap();
        }
        instance
    }

    /// Exports an interface of one part from the whole.
    pub fn export(&mut self, part: NodeId, interface: &str) {
        let export = self.graph.alias_instance_export(part, interface).unwrap();
        self.graph.export(export, interface).unwrap();
    }

    /// The whole as one component.
    pub fn encode(&self) -> Vec<u8> {
        self.graph.encode(EncodeOptions::default()).unwrap()
    }
}

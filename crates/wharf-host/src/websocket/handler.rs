//! The export `wharf:websocket/handler` of a component. Written by hand: its types are the host's own, which generated bindings
//! cannot take over.

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentType, FutureReader, Instance, InstancePre, Lift, Resource, StreamReader, TypedFunc,
};
use wharf_app::inspect::Export;

use super::types::{CloseInfo, Message};
use crate::http::fields::Fields;
use crate::http::host::{Request, Response};
use crate::state::InstanceState;

/// `handle`, ready to be called.
pub(crate) type Handle = TypedFunc<Params, (Result<Accepted, Resource<Response>>,)>;

/// What it is called with.
pub(crate) type Params = (Resource<Request>, StreamReader<Message>, FutureReader<CloseInfo>);

/// The record `accepted`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Accepted {
    pub subprotocol: Option<String>,
    pub headers: Resource<Fields>,
    pub outgoing: StreamReader<Message>,
    pub close: FutureReader<CloseInfo>,
}

/// Where a linked component has it.
pub(crate) struct Handler {
    index: ComponentExportIndex,
}

impl Handler {
    /// The function in the interface that `export` names.
    pub fn find(pre: &InstancePre<InstanceState>, export: &Export) -> wasmtime::Result<Self> {
        let component = pre.component();
        let interface = component.get_export_index(None, &export.name);
        let index = interface.and_then(|interface| component.get_export_index(Some(&interface), "handle"));
        let index = index.ok_or_else(|| wasmtime::format_err!("{} has no function `handle`", export.name))?;
        Ok(Self { index })
    }

    pub fn of(&self, store: &mut Store<InstanceState>, instance: &Instance) -> wasmtime::Result<Handle> {
        instance.get_typed_func(store, self.index)
    }
}

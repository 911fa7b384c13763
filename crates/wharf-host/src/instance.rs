//! An instance that the embedder calls: for plugins, and for trying a component by hand.

mod values;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wasmtime::Store;
use wasmtime::component::{self, ComponentExportIndex, ComponentNamedList, Lift, Lower};

use crate::component::Component;
use crate::limits::Limits;
use crate::link::{LinkError, link};
use crate::running::Running;
use crate::service::Failure;
use crate::state::{Blueprint, Capabilities, InstanceState};
use crate::wasi::Environment;

pub use values::ExportedFunction;

/// One instance of a component, with the same limits and the same sandbox as a served one.
pub struct Instance {
    store: Store<InstanceState>,
    instance: component::Instance,
    blueprint: Blueprint,
    busy: Arc<AtomicU64>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The component cannot be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The component exports no such function.
    #[error("the component exports no function {0}")]
    NoSuchFunction(String),
    /// The function has another type than the caller expects.
    #[error("function {function} has another type: {error:#}")]
    Type {
        /// The function's name.
        function: String,
        /// What differs.
        error: wasmtime::Error,
    },
    /// The guest failed. The instance cannot be used again.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Instance {
    /// Links and instantiates `component`.
    ///
    /// # Errors
    /// When something it imports is not there, or its start-up code fails.
    pub async fn new(
        component: &Component,
        capabilities: Capabilities,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, CallError> {
        let pre = link(component, &capabilities)?;
        let blueprint = Blueprint::new(component, capabilities, environment, limits)?;
        let busy = Arc::new(AtomicU64::new(0));
        let mut store = blueprint.store(busy.clone()).map_err(Failure::Instantiate)?;
        let work = pre.instantiate_async(&mut store);
        let instance = Running::new(blueprint.engine.clone(), busy.clone(), work)
            .await
            .map_err(Failure::Instantiate)?;
        Ok(Self {
            store,
            instance,
            blueprint,
            busy,
        })
    }

    /// Calls the exported function `name`: its plain name, or `namespace:package/interface@version#name`.
    ///
    /// Dropping the future ends the call, and with it the instance's use: the next call fails.
    ///
    /// # Errors
    /// When there is no such function, its type differs, it fails, or it takes longer than
    /// [`Limits::response_timeout`].
    pub async fn call<Params, Return>(&mut self, name: &str, params: Params) -> Result<Return, CallError>
    where
        Params: ComponentNamedList + Lower + Send + Sync + 'static,
        Return: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let index = self
            .find(name)
            .ok_or_else(|| CallError::NoSuchFunction(name.to_owned()))?;
        let function = self
            .instance
            .get_typed_func::<Params, Return>(&mut self.store, index)
            .map_err(|error| CallError::Type {
                function: name.to_owned(),
                error,
            })?;
        self.store.set_epoch_deadline(1);
        let limit = self.blueprint.limits.response_timeout;
        let work = self
            .store
            .run_concurrent(async |accessor| function.call_concurrent(accessor, params).await);
        let running = Running::new(self.blueprint.engine.clone(), self.busy.clone(), work);
        match tokio::time::timeout(limit, running).await {
            Ok(result) => result
                .flatten()
                .map_err(|error| Failure::of(error, self.store.data().refused()).into()),
            Err(_) => Err(Failure::ResponseTimeout { limit }.into()),
        }
    }

    fn find(&mut self, name: &str) -> Option<ComponentExportIndex> {
        let (interface, function) = match name.rsplit_once('#') {
            Some((interface, function)) => (Some(interface), function),
            None => (None, name),
        };
        let parent = match interface {
            Some(interface) => Some(self.instance.get_export_index(&mut self.store, None, interface)?),
            None => None,
        };
        self.instance
            .get_export_index(&mut self.store, parent.as_ref(), function)
    }

    /// What a capability stored for this instance, found by its type.
    pub fn extension<T: Send + Sync + 'static>(&mut self) -> Option<&mut T> {
        self.store.data_mut().extension()
    }
}

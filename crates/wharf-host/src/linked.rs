//! Components that live in an instance of their own and are called by other components through the imports of these.
//!
//! What a linked component keeps (a cache, a pool, a counter) outlives the requests that use it: its instance is made when the
//! first call comes, takes calls side by side, and is made anew after a trap. A caller stays in its own store, with its own
//! memory limit, deadline and fate; values cross between the two stores, and of resources the handles alone; what is
//! written to a stream or a future on one side is written to another on the other side. A trap on the
//! far side is an error value on this one, wherever the function's type has room for one ([`Fault`]).
//!
//! Which types cross is decided in `linked/types.rs`, how values do in `linked/handles.rs` and `linked/streams.rs`, and the instance lives in
//! `linked/home.rs`. Joining components into one is not here: `wharf-app` does it.

mod fault;
mod handles;
mod home;
mod streams;
mod types;

use std::pin::Pin;
use std::sync::{Arc, Weak};

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Accessor, LinkerInstance, ResourceType, Val};

use crate::capability::{Admission, Capability, Imports, Sample};
use crate::component::Component;
use crate::limits::Limits;
use crate::link::{LinkError, link};
use crate::state::{Blueprint, Capabilities, InstanceState};
use crate::wasi::Environment;
use home::Home;
use types::{Plan, Resources};

pub(crate) use handles::Held;

/// The one word for it.
const NAME: &str = "linked";

/// A component with an instance of its own. Cheap to clone; the instance ends with the last clone.
#[derive(Clone)]
pub struct LinkedComponent(Arc<Home>);

/// An interface of a linked component, under the name that its callers import it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedInterface {
    /// The name of the caller's import, with its version: `acme:store/cache@1.2.0`.
    pub import: String,
    /// The name of the linked component's export.
    pub export: String,
}

impl LinkedComponent {
    /// Links `component` with what it imports itself; no instance is made yet.
    ///
    /// `name` is what errors, the log and metrics call it. Of `limits`, those of an instance hold: its memory, and the processor time it may take without waiting.
    ///
    /// # Errors
    /// When it imports something that is not there.
    pub fn new(
        name: &str,
        component: &Component,
        capabilities: Capabilities,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, LinkError> {
        let instance = link(component, &capabilities)?;
        let blueprint = Blueprint::new(component, capabilities, environment, limits)?;
        Ok(Self(Home::new(name, component, instance, blueprint)))
    }

    /// Which does not keep the instance.
    pub fn downgrade(&self) -> WeakLinkedComponent {
        WeakLinkedComponent(Arc::downgrade(&self.0))
    }

    /// What its callers are linked with: `interfaces` of it. Errors that concern types come when a caller is linked.
    pub fn capability(&self, interfaces: Vec<LinkedInterface>) -> Arc<dyn Capability> {
        Arc::new(Calls {
            home: self.0.clone(),
            interfaces,
        })
    }
}

/// A linked component, as long as somebody else keeps it.
#[derive(Clone)]
pub struct WeakLinkedComponent(Weak<Home>);

impl WeakLinkedComponent {
    /// The component, if there still is one.
    pub fn upgrade(&self) -> Option<LinkedComponent> {
        self.0.upgrade().map(LinkedComponent)
    }
}

/// The way to a linked component, for those who call it.
struct Calls {
    home: Arc<Home>,
    interfaces: Vec<LinkedInterface>,
}

impl Capability for Calls {
    fn name(&self) -> &'static str {
        NAME
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        let is_meant = |name: &str| self.interfaces.iter().any(|interface| interface.import == name);
        let found = imports.interfaces(is_meant);
        let exported = self.home.exports();
        // A resource that several interfaces name is one, and no other component's.
        let mut resources = Resources::default();
        for (_, items) in &found {
            resources.number(items);
        }
        for (import, items) in found {
            let interface = self.interfaces.iter().find(|interface| interface.import == import);
            let Some(interface) = interface else { continue };
            let mut instance = imports.linker().instance(&import)?;
            for (name, item) in items {
                let place = |error: wasmtime::Error| error.context(format!("{import}, {name}"));
                let export = exported.find(&interface.export, &name);
                self.define(&mut instance, &name, item, export, &resources)
                    .map_err(place)?;
            }
        }
        Ok(())
    }

    fn admit(&self, _: &mut Admission<'_>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        let mut samples = self.home.samples();
        for further in self.home.capabilities().iter().filter(|further| further.name() == NAME) {
            samples.extend(further.samples());
        }
        samples
    }
}

impl Calls {
    fn define(
        &self,
        instance: &mut LinkerInstance<'_, InstanceState>,
        name: &str,
        item: ComponentItem,
        export: Option<home::Export>,
        resources: &Resources,
    ) -> wasmtime::Result<()> {
        match item {
            ComponentItem::Resource(ty) => self.resource(instance, name, resources.of(ty)?),
            ComponentItem::ComponentFunc(ty) => {
                let export =
                    export.ok_or_else(|| wasmtime::format_err!("{} exports no such function", self.home.name()))?;
                let plan = Plan::new(&ty, &export.ty, export.place, resources)?;
                self.function(instance, name, &ty, plan)
            }
            // Types need no definition: functions bring their own.
            _ => Ok(()),
        }
    }

    fn resource(
        &self,
        instance: &mut LinkerInstance<'_, InstanceState>,
        name: &str,
        number: u32,
    ) -> wasmtime::Result<()> {
        instance.resource(name, ResourceType::host_dynamic(number), |mut store, handle| {
            store.data_mut().linked.drop_one(handle);
            Ok(())
        })
    }

    fn function(
        &self,
        instance: &mut LinkerInstance<'_, InstanceState>,
        name: &str,
        ty: &ComponentFunc,
        plan: Plan,
    ) -> wasmtime::Result<()> {
        let (home, plan) = (self.home.clone(), Arc::new(plan));
        match ty.async_() {
            true => instance.func_new_concurrent(name, move |accessor, _, params, results| {
                let called = call(home.clone(), plan.clone(), accessor, params, results);
                Box::pin(called) as Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>
            }),
            // Its caller's instance stands still meanwhile, as it would in any call of a function that is not async.
            false => instance.func_new_async(name, move |mut store, _, params, results| {
                let (home, plan) = (home.clone(), plan.clone());
                Box::new(async move {
                    let sent = plan.leave(&mut store, &home, params.to_vec())?;
                    let answer = home.call(&plan, sent).await;
                    plan.arrive(&mut store, &home, answer, results)
                })
            }),
        }
    }
}

async fn call(
    home: Arc<Home>,
    plan: Arc<Plan>,
    accessor: &Accessor<InstanceState>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let sent = accessor.with(|mut store| plan.leave(&mut store, &home, params.to_vec()))?;
    let answer = home.call(&plan, sent).await;
    accessor.with(|mut store| plan.arrive(&mut store, &home, answer, results))
}

//! Handles on their way between the store of a caller and that of a linked component, in either direction.
//!
//! A resource stays in the linked component's instance, in its [`Keeper`]. What a caller's guest holds is a resource of the
//! host whose representation is the number under which it is kept there. Numbers are never given twice, so that one of an instance
//! that has ended leads nowhere. Streams and futures are in `linked/streams.rs`.
//!
//! On the way a value has a [`Val::U32`] in place of each handle, and beside it what that stands for: [`Crossings`]. Whoever drops
//! them on the way drops the resources among them where they are kept, and ends the streams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wasmtime::component::{ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut, StoreContextMut, bail};

use super::fault::Fault;
use super::home::{Answer, Home};
use super::streams::{self, Incoming};
use super::types::{Plan, Shape};
use crate::state::InstanceState;

/// What a store holds of linked components' resources. They are dropped there when the store goes.
#[derive(Default)]
pub(crate) struct Held(HashMap<u32, Arc<Home>>);

impl Held {
    /// The guest has dropped its handle.
    pub(super) fn drop_one(&mut self, number: u32) {
        if let Some(home) = self.0.remove(&number) {
            home.drop_resource(number);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (number, home) in self.0.drain() {
            home.drop_resource(number);
        }
    }
}

/// Something on its way that is more than its value.
pub(super) enum Crossing {
    /// A resource that changes hands.
    Own(Loose),
    /// A resource that is lent for a call, by its number.
    Borrow(u32),
    /// The far end of a stream or a future.
    Flow(Incoming),
}

/// All that crosses with one value, in the order of the numbers that stand for it there.
pub(super) type Crossings = Vec<Option<Crossing>>;

/// A resource that nobody holds at the moment. It is dropped where it is kept unless somebody takes it.
pub(super) struct Loose {
    home: Weak<Home>,
    number: Option<u32>,
}

impl Loose {
    fn new(home: Weak<Home>, number: u32) -> Self {
        let number = Some(number);
        Self { home, number }
    }

    /// Where it is kept, if that is still there, and under which number.
    fn take(mut self) -> Option<(Arc<Home>, u32)> {
        self.home.upgrade().zip(self.number.take())
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        if let (Some(home), Some(number)) = (self.home.upgrade(), self.number) {
            home.drop_resource(number);
        }
    }
}

/// The resources that an instance has given away.
pub(super) struct Keeper {
    /// The linked component's name.
    component: Arc<str>,
    /// A store that held its home would keep itself.
    home: Weak<Home>,
    kept: Mutex<HashMap<u32, ResourceAny>>,
    /// How many they are, for metrics.
    count: Arc<AtomicUsize>,
}

impl Keeper {
    pub fn new(component: Arc<str>, home: Weak<Home>, count: Arc<AtomicUsize>) -> Self {
        let kept = Mutex::default();
        Self {
            component,
            home,
            kept,
            count,
        }
    }

    /// Keeps it, and says under which number.
    fn keep(&self, resource: ResourceAny) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let mut kept = self.kept();
        let mut number = NEXT.fetch_add(1, Ordering::Relaxed);
        // They come round after four thousand million.
        while kept.contains_key(&number) {
            number = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        kept.insert(number, resource);
        self.count.store(kept.len(), Ordering::Relaxed);
        number
    }

    /// What is not given away any more.
    pub fn take(&self, number: u32) -> Option<ResourceAny> {
        let mut kept = self.kept();
        let resource = kept.remove(&number);
        self.count.store(kept.len(), Ordering::Relaxed);
        resource
    }

    fn lend(&self, number: u32) -> Option<ResourceAny> {
        self.kept().get(&number).copied()
    }

    /// Whether all resources among these are here.
    fn has_all(&self, crossings: &Crossings) -> bool {
        let kept = self.kept();
        crossings.iter().flatten().all(|crossing| match crossing {
            Crossing::Own(Loose { number, .. }) => number.is_some_and(|number| kept.contains_key(&number)),
            Crossing::Borrow(number) => kept.contains_key(number),
            Crossing::Flow(_) => true,
        })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<u32, ResourceAny>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In whose store something leaves or arrives.
#[derive(Clone)]
pub(super) enum Side {
    /// A caller's of this linked component.
    Caller(Arc<Home>),
    /// The linked component's own.
    Home(Arc<Keeper>),
}

impl Side {
    /// Makes a value ready to go: it is of the store's before, and of no store afterwards.
    pub fn leave(
        &self,
        mut store: impl AsContextMut<Data = InstanceState>,
        shape: &Shape,
        value: &mut Val,
        crossings: &mut Crossings,
    ) -> wasmtime::Result<()> {
        let mut store = store.as_context_mut();
        shape.visit(value, &mut |shape, value| {
            let crossing = match (shape, &*value) {
                (Shape::Own(_), Val::Resource(resource)) => Crossing::Own(self.give_away(&mut store, *resource)?),
                (Shape::Borrow, Val::Resource(resource)) => Crossing::Borrow(number(&mut store, *resource)?),
                (Shape::Stream(payload), Val::Stream(stream)) => {
                    Crossing::Flow(streams::take_stream(self, &mut store, payload, stream.clone())?)
                }
                (Shape::Future(payload, _), Val::Future(future)) => {
                    Crossing::Flow(streams::take_future(self, &mut store, payload, future.clone())?)
                }
                _ => bail!("a value of another type"),
            };
            *value = Val::U32(u32::try_from(crossings.len())?);
            crossings.push(Some(crossing));
            Ok(())
        })
    }

    /// Makes a value that has come one of the store's.
    ///
    /// # Errors
    /// [`Fault::Stale`] where a resource is not there any more.
    pub fn arrive(
        &self,
        mut store: impl AsContextMut<Data = InstanceState>,
        shape: &Shape,
        value: &mut Val,
        crossings: &mut Crossings,
    ) -> wasmtime::Result<()> {
        let mut store = store.as_context_mut();
        shape.visit(value, &mut |shape, value| {
            let Val::U32(number) = *value else {
                bail!("not a number")
            };
            let crossing = crossings.get_mut(number as usize).and_then(Option::take);
            *value = match (shape, crossing) {
                (Shape::Own(ty), Some(Crossing::Own(loose))) => Val::Resource(self.receive(&mut store, *ty, loose)?),
                (Shape::Borrow, Some(Crossing::Borrow(number))) => Val::Resource(self.lend(number)?),
                (Shape::Stream(payload), Some(Crossing::Flow(incoming))) => {
                    streams::give_stream(self, &mut store, payload, incoming)?
                }
                (Shape::Future(payload, on_fault), Some(Crossing::Flow(incoming))) => {
                    streams::give_future(self, &mut store, payload, incoming, on_fault)?
                }
                _ => bail!("a value of another type"),
            };
            Ok(())
        })
    }

    /// Whether what crosses with a value can arrive: its resources are where they are said to be.
    pub fn admits(&self, crossings: &Crossings) -> bool {
        match self {
            Self::Caller(_) => true,
            Self::Home(keeper) => keeper.has_all(crossings),
        }
    }

    /// What a future says that will have no value.
    pub fn unwritten(&self) -> Fault {
        let component = self.component();
        Fault::Unwritten { component }
    }

    fn stale(&self) -> Fault {
        let component = self.component();
        Fault::Stale { component }
    }

    fn component(&self) -> Arc<str> {
        match self {
            Self::Caller(home) => home.name().clone(),
            Self::Home(keeper) => keeper.component.clone(),
        }
    }

    fn give_away(
        &self,
        store: &mut StoreContextMut<'_, InstanceState>,
        resource: ResourceAny,
    ) -> wasmtime::Result<Loose> {
        Ok(match self {
            Self::Caller(home) => {
                let number = number(store, resource)?;
                store.data_mut().linked.0.remove(&number);
                Loose::new(Arc::downgrade(home), number)
            }
            Self::Home(keeper) => Loose::new(keeper.home.clone(), keeper.keep(resource)),
        })
    }

    fn receive(
        &self,
        store: &mut StoreContextMut<'_, InstanceState>,
        ty: u32,
        loose: Loose,
    ) -> wasmtime::Result<ResourceAny> {
        let (home, number) = loose.take().ok_or_else(|| self.stale())?;
        match self {
            Self::Caller(_) => {
                store.data_mut().linked.0.insert(number, home);
                ResourceDynamic::new_own(number, ty).try_into_resource_any(store)
            }
            Self::Home(keeper) => Ok(keeper.take(number).ok_or_else(|| self.stale())?),
        }
    }

    fn lend(&self, number: u32) -> wasmtime::Result<ResourceAny> {
        match self {
            Self::Caller(_) => bail!("a result that is lent"),
            Self::Home(keeper) => Ok(keeper.lend(number).ok_or_else(|| self.stale())?),
        }
    }
}

/// The number of a resource that a caller's guest passes. The host gives up its own hold of it.
fn number(store: &mut StoreContextMut<'_, InstanceState>, resource: ResourceAny) -> wasmtime::Result<u32> {
    let resource = ResourceDynamic::try_from_resource_any(resource, store)?;
    Ok(resource.rep())
}

/// The caller's side of a call.
impl Plan {
    /// Parameters, ready to go.
    pub fn leave(
        &self,
        mut store: impl AsContextMut<Data = InstanceState>,
        home: &Arc<Home>,
        mut params: Vec<Val>,
    ) -> wasmtime::Result<(Vec<Val>, Crossings)> {
        let side = Side::Caller(home.clone());
        let mut crossings = Crossings::new();
        for (passing, value) in self.params().iter().zip(&mut params) {
            if let Some(shape) = &passing.handles {
                side.leave(store.as_context_mut(), shape, value, &mut crossings)?;
            }
        }
        Ok((params, crossings))
    }

    /// The answer, as the caller's guest is to see it.
    pub fn arrive(
        &self,
        store: impl AsContextMut<Data = InstanceState>,
        home: &Arc<Home>,
        answer: Answer,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let (answer, mut crossings) = match answer {
            Ok(answer) => answer,
            Err(fault) => match self.on_fault().value(&fault) {
                Some(value) => (Some(value), Crossings::new()),
                None => return Err(fault.into()),
            },
        };
        let (Some(result), Some(mut value)) = (results.first_mut(), answer) else {
            return Ok(());
        };
        if let Some(shape) = self.result().and_then(|passing| passing.handles.as_ref()) {
            Side::Caller(home.clone()).arrive(store, shape, &mut value, &mut crossings)?;
        }
        *result = value;
        Ok(())
    }
}

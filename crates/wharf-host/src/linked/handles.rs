//! Handles on their way between the store of a caller and that of a linked component.
//!
//! A resource stays in the linked component's instance, in its [`Kept`]. What a caller's guest holds is a resource of the
//! host whose representation is the number under which it is kept there; on the way it is a [`Val::U32`] of that number. Numbers
//! are never given twice, so that one of an instance that has ended leads nowhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wasmtime::component::{ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut, StoreContextMut, bail};

use super::fault::Fault;
use super::home::{Answer, Home};
use super::streams::{self, Crossings};
use super::types::{Passing, Plan, Shape};
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

/// The caller's side.
impl Plan {
    /// Parameters, ready to go.
    pub fn leave(
        &self,
        mut store: impl AsContextMut<Data = InstanceState>,
        mut params: Vec<Val>,
    ) -> wasmtime::Result<(Vec<Val>, Crossings)> {
        let mut store = store.as_context_mut();
        let mut crossings = Crossings::new();
        for (passing, value) in self.params().iter().zip(&mut params) {
            let Some(shape) = &passing.handles else { continue };
            shape.visit(value, &mut |shape, value| {
                if !matches!(shape, Shape::Own(_) | Shape::Borrow) {
                    return streams::leave(&mut store, shape, value, &mut crossings);
                }
                let number = sent(&mut store, value)?;
                if matches!(shape, Shape::Own(_)) {
                    store.data_mut().linked.0.remove(&number);
                }
                *value = Val::U32(number);
                Ok(())
            })?;
        }
        Ok((params, crossings))
    }

    /// The answer, as the caller's guest is to see it.
    pub fn arrive(
        &self,
        mut store: impl AsContextMut<Data = InstanceState>,
        home: &Arc<Home>,
        answer: Answer,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let mut store = store.as_context_mut();
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
            shape.visit(&mut value, &mut |shape, value| match shape {
                Shape::Own(_) | Shape::Borrow => taken(&mut store, home, shape, value),
                _ => streams::arrive(&mut store, shape, value, &mut crossings, home.unwritten()),
            })?;
        }
        *result = value;
        Ok(())
    }
}

/// The number of a resource that a guest passes. The host gives up its own hold of it.
fn sent(store: &mut StoreContextMut<'_, InstanceState>, value: &Val) -> wasmtime::Result<u32> {
    let Val::Resource(resource) = value else {
        bail!("not a resource");
    };
    let resource = ResourceDynamic::try_from_resource_any(*resource, &mut *store)?;
    Ok(resource.rep())
}

/// Makes what a number stands for a resource of the caller's.
fn taken(
    store: &mut StoreContextMut<'_, InstanceState>,
    home: &Arc<Home>,
    shape: &Shape,
    value: &mut Val,
) -> wasmtime::Result<()> {
    let (Shape::Own(ty), Val::U32(number)) = (shape, &*value) else {
        bail!("a result that is lent");
    };
    store.data_mut().linked.0.insert(*number, home.clone());
    let resource = ResourceDynamic::new_own(*number, *ty).try_into_resource_any(&mut *store)?;
    *value = Val::Resource(resource);
    Ok(())
}

/// The resources that an instance has given away.
#[derive(Default)]
pub(super) struct Kept(HashMap<u32, ResourceAny>);

impl Kept {
    /// Parameters, as the linked component is to see them. Fails where a resource is not here any more.
    pub fn arrive(
        &mut self,
        mut store: impl AsContextMut<Data = InstanceState>,
        passings: &[Passing],
        (params, mut crossings): (&mut [Val], Crossings),
        unwritten: &Fault,
    ) -> Result<(), Stale> {
        let mut store = store.as_context_mut();
        for (passing, value) in passings.iter().zip(params) {
            let Some(shape) = &passing.handles else { continue };
            let arrived = shape.visit(value, &mut |shape, value| {
                if !matches!(shape, Shape::Own(_) | Shape::Borrow) {
                    return streams::arrive(&mut store, shape, value, &mut crossings, unwritten.clone());
                }
                let Val::U32(number) = *value else {
                    bail!("not a number");
                };
                let resource = match shape {
                    Shape::Own(_) => self.0.remove(&number),
                    _ => self.0.get(&number).copied(),
                };
                let Some(resource) = resource else {
                    bail!("it is gone");
                };
                *value = Val::Resource(resource);
                Ok(())
            });
            arrived.map_err(|_| Stale)?;
        }
        Ok(())
    }

    /// A result, ready to go.
    pub fn leave(
        &mut self,
        mut store: impl AsContextMut<Data = InstanceState>,
        passing: Option<&Passing>,
        value: &mut Val,
    ) -> wasmtime::Result<Crossings> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let mut store = store.as_context_mut();
        let mut crossings = Crossings::new();
        let Some(shape) = passing.and_then(|passing| passing.handles.as_ref()) else {
            return Ok(crossings);
        };
        shape.visit(value, &mut |shape, value| {
            if !matches!(shape, Shape::Own(_) | Shape::Borrow) {
                return streams::leave(&mut store, shape, value, &mut crossings);
            }
            let Val::Resource(resource) = *value else {
                bail!("not a resource");
            };
            let mut number = NEXT.fetch_add(1, Ordering::Relaxed);
            // They come round after four thousand million.
            while self.0.contains_key(&number) {
                number = NEXT.fetch_add(1, Ordering::Relaxed);
            }
            self.0.insert(number, resource);
            *value = Val::U32(number);
            Ok(())
        })?;
        Ok(crossings)
    }

    /// What nobody holds any more.
    pub fn take(&mut self, number: u32) -> Option<ResourceAny> {
        self.0.remove(&number)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// A resource is not in this instance.
pub(super) struct Stale;

/// The numbers in a result that nobody waits for any more.
pub(super) fn numbers(passing: Option<&Passing>, value: &mut Val) -> Vec<u32> {
    let mut numbers = Vec::new();
    if let Some(shape) = passing.and_then(|passing| passing.handles.as_ref()) {
        let collected = shape.visit(value, &mut |shape, value| {
            if let (Shape::Own(_), Val::U32(number)) = (shape, value) {
                numbers.push(*number);
            }
            Ok(())
        });
        debug_assert!(collected.is_ok(), "visiting does not fail by itself");
    }
    numbers
}

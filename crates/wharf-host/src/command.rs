//! A component that runs once, as a program (`wasi:cli/run` of 0.3 or 0.2).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi::{I32Exit, p2, p3};
use wharf_app::inspect::World;

use crate::component::Component;
use crate::limits::{Limits, Refused};
use crate::link::{LinkError, link};
use crate::running::Running;
use crate::state::{Blueprint, Capabilities, InstanceState};
use crate::wasi::Environment;

/// A linked program. Each [`Command::run`] is an instance of its own.
#[derive(Clone)]
pub struct Command {
    blueprint: Blueprint,
    program: Program,
}

#[derive(Clone)]
enum Program {
    V3(p3::bindings::CommandPre<InstanceState>),
    V2(p2::bindings::CommandPre<InstanceState>),
}

/// How a program ended.
#[derive(Debug)]
pub enum Exit {
    /// It returned: whether it said that all went well.
    Returned(Result<(), ()>),
    /// It exited with this status.
    Status(i32),
    /// It trapped.
    Trapped {
        /// What happened, and where in the guest.
        error: wasmtime::Error,
        /// Growth it had been refused before: the likely reason.
        refused: Option<Refused>,
    },
}

impl Command {
    /// Links `component` with `capabilities`; nothing is instantiated yet. Where it exports `run` of 0.3 and of 0.2, the
    /// former is run: the standard library's 0.2 start-up code traps in components built for 0.3.
    ///
    /// # Errors
    /// When it exports no program, or imports something that is not there.
    pub fn new(
        component: &Component,
        capabilities: Capabilities,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, LinkError> {
        let world = |wanted: String| LinkError::World {
            name: component.name().into(),
            wanted,
        };
        let inspection = component.inspection();
        let (v3, v2) = (inspection.fits(World::Command03), inspection.fits(World::Command02));
        if !v3 && !v2 {
            return Err(world(
                "it exports no wasi:cli/run, so there is no program to run; a service runs with `wharf serve`".into(),
            ));
        }
        let pre = link(component, &capabilities)?;
        let program = Program::new(v3, pre)
            .map_err(|error| world(format!("its wasi:cli/run does not have the standard's type: {error:#}")))?;
        let blueprint = Blueprint::new(component, capabilities, environment, limits)?;
        Ok(Self { blueprint, program })
    }

    /// Runs the program to its end. Dropping the future ends it.
    ///
    /// # Errors
    /// When it cannot be instantiated; what the program itself does wrong is in [`Exit`].
    pub async fn run(&self) -> wasmtime::Result<Exit> {
        let busy = Arc::new(AtomicU64::new(0));
        let store = self.blueprint.store(busy.clone())?;
        Running::new(self.blueprint.engine.clone(), busy, run(store, self.program.clone())).await
    }
}

impl Program {
    fn new(v3: bool, pre: InstancePre<InstanceState>) -> wasmtime::Result<Self> {
        Ok(match v3 {
            true => Self::V3(p3::bindings::CommandPre::new(pre)?),
            false => Self::V2(p2::bindings::CommandPre::new(pre)?),
        })
    }
}

async fn run(mut store: Store<InstanceState>, program: Program) -> wasmtime::Result<Exit> {
    let result = match program {
        Program::V3(pre) => {
            let command = pre.instantiate_async(&mut store).await?;
            let work = store.run_concurrent(async |accessor| {
                let result = command.wasi_cli_run().call_run(accessor).await?;
                // What it has spawned may still be writing its output.
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                Ok(result)
            });
            work.await.flatten()
        }
        Program::V2(pre) => {
            let command = pre.instantiate_async(&mut store).await?;
            command.wasi_cli_run().call_run(&mut store).await
        }
    };
    Ok(match result {
        Ok(returned) => Exit::Returned(returned),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Exit::Status(exit.0),
            None => Exit::Trapped {
                error,
                refused: store.data().refused(),
            },
        },
    })
}

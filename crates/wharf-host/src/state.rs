//! What a store holds for one instance, and how a store is made.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::capability::{AddressUse, Admission, Capability, Folders, Network};
use crate::component::Component;
use crate::descriptors::{Descriptors, InstanceDescriptors};
use crate::engine::Engine;
use crate::http::HttpState;
use crate::limits::{CpuTimeExceeded, Growth, Limits, OpenedSocketsReached, Refused};
use crate::link::LinkError;
use crate::linked::Held;
use crate::wasi::Environment;

/// What WebAssembly counts memory in.
const PAGE_BYTES: u64 = 64 << 10;

/// The capabilities that the instances of a component are admitted with.
pub type Capabilities = Arc<[Arc<dyn Capability>]>;

/// The state of one instance, inside its store.
pub struct InstanceState {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) http: HttpState,
    pub(crate) network: Option<Arc<dyn Network>>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) growth: Growth,
    pub(crate) descriptors: InstanceDescriptors,
    pub(crate) linked: Held,
    extensions: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl InstanceState {
    /// What a capability stored for this instance when it admitted it, found by its type.
    pub fn extension<T: Send + Sync + 'static>(&mut self) -> Option<&mut T> {
        self.extensions.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// The resources the guest holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Growth that was refused, the likely reason of a trap that follows.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.growth.refused
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Everything that new instances of one component have in common.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub engine: Engine,
    pub capabilities: Capabilities,
    pub environment: Arc<Environment>,
    pub limits: Arc<Limits>,
    /// How often work after a response was ended because it took too long.
    pub background_ended: Arc<AtomicU64>,
    pub sockets_reached: Arc<OpenedSocketsReached>,
    /// The file descriptors of the guests of its app.
    pub descriptors: Descriptors,
    /// How many of the engine's slots an instance takes.
    pub slots: u32,
}

impl Blueprint {
    /// Instances of `component`, once it is seen that it can have any.
    pub fn new(
        component: &Component,
        capabilities: Capabilities,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, LinkError> {
        let engine = component.engine();
        let refused = |wants: String| LinkError::Limit {
            name: component.name().into(),
            wants,
        };
        let slots = Engine::slots_of(component.wasmtime());
        if slots > engine.instances_max() {
            let most = engine.instances_max();
            return Err(refused(format!(
                "its memories and tables count as {slots} instances, more than the {most} there may be at a time"
            )));
        }
        let begins_with = component.memory_pages().saturating_mul(PAGE_BYTES);
        let most = limits.memory_bytes_max as u64;
        if begins_with > most {
            return Err(refused(format!(
                "it begins with {} KiB of memory, more than the {} KiB that an instance may have",
                begins_with >> 10,
                most >> 10
            )));
        }
        let descriptors = engine.descriptors().of(limits.app.as_ref(), limits.descriptors_max);
        Ok(Self {
            engine: engine.clone(),
            capabilities,
            environment: Arc::new(environment),
            limits: Arc::new(limits),
            background_ended: Arc::default(),
            sockets_reached: Arc::default(),
            descriptors,
            slots,
        })
    }

    /// A store for one instance, admitted and limited. `busy` counts the ticks it runs without waiting.
    pub fn store(&self, busy: Arc<AtomicU64>) -> wasmtime::Result<Store<InstanceState>> {
        let mut store = Store::new(self.engine.wasmtime(), self.state()?);
        store.limiter(|state| &mut state.growth);
        self.interrupt(&mut store, busy);
        Ok(store)
    }

    fn state(&self) -> wasmtime::Result<InstanceState> {
        let mut wasi = WasiCtxBuilder::new();
        self.environment.describe(&mut wasi);
        let mut folders = None;
        let mut http_client = None;
        let mut network = None;
        let mut extensions = HashMap::new();
        for capability in self.capabilities.iter() {
            capability.admit(&mut Admission {
                folders: &mut folders,
                http_client: &mut http_client,
                network: &mut network,
                extensions: &mut extensions,
            })?;
        }
        open_sockets(&mut wasi, network.clone(), &self.descriptors);
        let mut wasi = wasi.build();
        if let Some(Folders(folders)) = folders {
            *wasi.filesystem() = folders;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.resources_max);
        Ok(InstanceState {
            wasi,
            table,
            http: HttpState::new(http_client, &self.limits, &self.sockets_reached),
            network,
            environment: self.environment.clone(),
            growth: Growth::new(&self.limits),
            descriptors: InstanceDescriptors::new(&self.descriptors),
            linked: Held::default(),
            extensions,
        })
    }

    /// Each tick a running guest yields to its neighbours, until it has used up its processor time.
    fn interrupt(&self, store: &mut Store<InstanceState>, busy: Arc<AtomicU64>) {
        let limit = self.limits.cpu_time_max;
        let ticks_max = self.limits.cpu_ticks_max();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if busy.fetch_add(1, Ordering::Relaxed) >= ticks_max {
                return Err(CpuTimeExceeded { limit }.into());
            }
            Ok(UpdateDeadline::Yield(1))
        });
    }
}

/// What a guest may do with sockets is `network`'s to say. Without one it gets none: they would be of no use, and each takes a
/// descriptor of the server's.
fn open_sockets(wasi: &mut WasiCtxBuilder, network: Option<Arc<dyn Network>>, descriptors: &Descriptors) {
    let Some(network) = network else { return };
    let descriptors = descriptors.clone();
    wasi.allow_tcp(true).allow_udp(true);
    wasi.socket_addr_check(move |address: SocketAddr, purpose| {
        let purpose = match purpose {
            // Taken from the system already; where there is no room for it, it is reset.
            SocketAddrUse::TcpAccept if descriptors.take().is_err() => return Box::pin(async { false }),
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => AddressUse::Bind,
            SocketAddrUse::TcpListen => AddressUse::Listen,
            SocketAddrUse::TcpAccept | SocketAddrUse::UdpReceive => AddressUse::Accept,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => AddressUse::Connect,
        };
        network.allows(address, purpose)
    });
}

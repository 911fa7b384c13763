//! One engine: Wasm features, memory layout, and the clock that interrupts guests.
//!
//! Everything that decides how code is compiled stands here, because compiled code is tied to it
//! (`component/cache.rs`). What a single instance may use is in `limits.rs`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often running guests are interrupted. Each tick a busy guest yields to its neighbours, and its limits are
/// checked; shorter would cost switches, longer would let a busy guest hold a thread noticeably.
pub const TICK: Duration = Duration::from_millis(10);

/// Linear memory whose pages a finished instance leaves resident for the next one, per slot. Measured: giving pages
/// back to the kernel is half the cost of a fresh instance.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// The same for tables.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// Address space for a table, in elements. What an instance may really have is in [`crate::Limits`].
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

/// What the pool holds for each slot. One component takes one slot, unless it has more memories or tables than this (a
/// composed app): then as many as it takes to hold them.
const MEMORIES_PER_SLOT: u32 = 2;
const TABLES_PER_SLOT: u32 = 8;

/// Every guest task that waits in the middle of a call holds a stack. Address space alone, until it is used.
const STACKS_PER_SLOT: u32 = 16;

/// Bounds what a single module may have; what a component has decides how many slots it takes.
const PER_MODULE_MAX: u32 = 64;

/// Address space for the memory of one instance where there is little of it; a larger memory moves as it grows. With a
/// thousand instances that is a tenth of a 39-bit address space, beside which guests may grow.
const SMALL_RESERVATION_BYTES: u64 = 64 << 20;

/// Kept free behind such a memory, against accesses just past its end.
const SMALL_GUARD_BYTES: u64 = 64 << 10;

/// How an [`Engine`] is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How many components may be instantiated at a time; one with more than two memories or eight tables, such as a
    /// composed app, counts several times. With pooling, address space for each is reserved at start.
    pub instances_max: u32,
    /// Whether instances come from a pool.
    pub pooling: Pooling,
}

impl Default for EngineOptions {
    fn default() -> Self {
        // A thousand is Wasmtime's own default, and what its peers use: 8 TiB of the 128 TiB of address space.
        Self {
            instances_max: 1000,
            pooling: Pooling::Auto,
        }
    }
}

/// Whether instances come from a pool of prepared address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// A pool where the address space allows one, else memory mapped for each instance, little of it (39-bit boards).
    #[default]
    Auto,
    /// Memory mapped for each instance.
    Never,
}

/// Compiles and runs components. Cheap to clone; the last clone dropped ends its clock.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    pooled: bool,
    instances_max: u32,
    ticks: AtomicU64,
    slots: Arc<Semaphore>,
    waiting: Waiting,
}

/// Counts who waits.
#[derive(Default)]
pub(crate) struct Waiting(AtomicUsize);

impl Waiting {
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Counts the caller until what this returns is dropped.
    pub fn count(&self) -> impl Drop {
        self.0.fetch_add(1, Ordering::AcqRel);
        Waits(&self.0)
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Engine {
    /// Starts an engine, and a thread that ticks its clock.
    ///
    /// # Errors
    /// When the processor or the operating system lacks what compiled code needs.
    pub fn new(options: EngineOptions) -> wasmtime::Result<Self> {
        let (wasmtime, pooled) = match options.pooling {
            Pooling::Never => (wasmtime::Engine::new(&config())?, false),
            Pooling::Auto => match wasmtime::Engine::new(&pooled(options.instances_max)) {
                Ok(engine) => (engine, true),
                Err(error) => {
                    tracing::info!(%error, "too little address space for a pool of instances: memory is mapped for each");
                    (wasmtime::Engine::new(&in_little_space())?, false)
                }
            },
        };
        let engine = Arc::new(Inner {
            wasmtime,
            pooled,
            instances_max: options.instances_max,
            ticks: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(options.instances_max as usize)),
            waiting: Waiting::default(),
        });
        tick_while_used(Arc::downgrade(&engine))?;
        Ok(Self(engine))
    }

    /// The Wasmtime engine inside, for embedders that go beyond this crate.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    /// Whether instances come from a pool.
    pub fn is_pooled(&self) -> bool {
        self.0.pooled
    }

    /// How many components may be instantiated at a time.
    pub fn instances_max(&self) -> u32 {
        self.0.instances_max
    }

    /// The slots of the pool; a queue where there are none.
    pub(crate) fn slots(&self) -> Arc<Semaphore> {
        self.0.slots.clone()
    }

    /// Who waits for slots: whoever holds some without need gives them back.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    /// How many slots an instance of `component` takes.
    pub(crate) fn slots_of(component: &wasmtime::component::Component) -> u32 {
        // Unknown only for components that import modules, which nothing here provides.
        let Some(needs) = component.resources_required() else {
            return 1;
        };
        let memories = needs.num_memories.div_ceil(MEMORIES_PER_SLOT);
        let tables = needs.num_tables.div_ceil(TABLES_PER_SLOT);
        memories.max(tables).max(1)
    }

    /// Ticks ([`TICK`]) since the engine started: a clock that costs one load.
    pub fn ticks(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("pooled", &self.0.pooled)
            .finish_non_exhaustive()
    }
}

/// Ticks until every [`Engine`] clone is gone; the thread holds only a weak reference.
fn tick_while_used(engine: Weak<Inner>) -> std::io::Result<()> {
    std::thread::Builder::new().name("wharf-clock".into()).spawn(move || {
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.ticks.fetch_add(1, Ordering::Relaxed);
            engine.wasmtime.increment_epoch();
        }
    })?;
    Ok(())
}

/// What every engine has: the features, and memory mapped for each instance.
fn config() -> Config {
    let mut config = Config::new();
    // All of the async component model. Wasmtime leaves the last three off by default; a server that did so would
    // refuse components that the standard allows.
    config.wasm_component_model_async(true);
    config.wasm_component_model_more_async_builtins(true);
    config.wasm_component_model_async_stackful(true);
    config.wasm_component_model_error_context(true);
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    config
}

/// With a pool that holds so many components.
fn pooled(components: u32) -> Config {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_of(components)));
    config
}

/// For an address space of which each instance can have megabytes, and not the 4 GiB that spare compiled code its checks.
fn in_little_space() -> Config {
    let mut config = config();
    config.memory_reservation(SMALL_RESERVATION_BYTES);
    config.memory_reservation_for_growth(SMALL_RESERVATION_BYTES);
    config.memory_guard_size(SMALL_GUARD_BYTES);
    config.memory_may_move(true);
    config
}

fn pool_of(components: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // These two are numbers without anything behind them: the slots bound what instances hold.
    pool.total_component_instances(u32::MAX);
    pool.total_core_instances(u32::MAX);
    pool.total_memories(components.saturating_mul(MEMORIES_PER_SLOT));
    pool.total_tables(components.saturating_mul(TABLES_PER_SLOT));
    pool.total_stacks(components.saturating_mul(STACKS_PER_SLOT));
    pool.max_memories_per_module(PER_MODULE_MAX.min(components.saturating_mul(MEMORIES_PER_SLOT)));
    pool.max_tables_per_module(PER_MODULE_MAX.min(components.saturating_mul(TABLES_PER_SLOT)));
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES);
    pool.table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

//! One engine: Wasm features, memory layout, and the clock that interrupts guests.
//!
//! Everything that decides how code is compiled stands here, because compiled code is tied to it
//! (`component/cache.rs`). What a single instance may use is in `limits.rs`; who waits for the clock, in `engine/clock.rs`.

mod clock;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::descriptors::AllDescriptors;
use crate::state::InstanceState;
use crate::wasi;
use clock::Clock;

pub(crate) use clock::At;
pub use clock::TICK;

/// The most that an ended instance leaves resident of each of its memories and tables for the next one in its place.
/// Measured: giving pages back to the kernel is half the cost of a fresh instance.
const MEMORY_KEPT_BYTES_MAX: usize = 1 << 20;
const TABLE_KEPT_BYTES_MAX: usize = 64 << 10;

/// Tables' part of all that is kept: they are small beside memories, and there are more of them.
const KEPT_FOR_TABLES: usize = 4;

/// The engine cleans whole pages.
const KEPT_UNIT_BYTES: usize = 4 << 10;

/// Address space for a table, in elements. What an instance may really have is in [`crate::Limits`].
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

/// What the pool holds for each slot. One component takes one slot, unless it has more memories or tables than this (a
/// composed app): then as many as it takes to hold them.
const MEMORIES_PER_SLOT: u32 = 2;
const TABLES_PER_SLOT: u32 = 8;

/// Stacks beside one for each instance. An instance needs another only for a guest task that waits in the middle of a plain
/// call; tasks that wait as the component model means them to hold none. Each costs two of the kernel's mappings, of which
/// a process usually has 65,530.
const MORE_STACKS: u32 = 1000;

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
    /// What ended instances may leave resident of their memories for the next ones, all together, in bytes. It is used
    /// up only by as many instances as have been there at the same moment. The pool has no way to give it back.
    pub kept_bytes_max: usize,
    /// How many file descriptors of the process all guests together may hold: sockets, and open files. As many as each app's limit
    /// allows, unless who runs the process keeps some for itself.
    pub descriptors_max: usize,
    /// Whether instances come from a pool.
    pub pooling: Pooling,
    /// Whether traps are told with lines of the guests' source, where they have debug information. Compiled code keeps that then, and is
    /// other code than without: nothing that was compiled one way is taken the other way. Without it, lines are there where
    /// `WASMTIME_BACKTRACE_DETAILS` is 1 in the environment.
    pub source_lines: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        // A thousand is Wasmtime's own default, and what its peers use: 8 TiB of the 128 TiB of address space.
        Self {
            instances_max: 1000,
            // A thousand small guests whole: each dirties some tens of kilobytes.
            kept_bytes_max: 512 << 20,
            descriptors_max: usize::MAX,
            pooling: Pooling::Auto,
            source_lines: false,
        }
    }
}

/// Whether instances come from a pool of prepared address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// A pool where the address space allows one, else memory mapped for each instance, little of it (39-bit boards).
    #[default]
    Auto,
    /// Memory mapped for each instance, little of it, as `Auto` does where there is too little address space for a pool.
    LittleSpace,
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
    clock: Clock,
    slots: Arc<Semaphore>,
    descriptors: Arc<AllDescriptors>,
    waiting: Waiting,
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
    wasi: OnceLock<Linker<InstanceState>>,
}

/// Keeps instances that have nothing to do.
pub(crate) trait Keeper: Send + Sync {
    /// The tick at which the instance was last used that has not been for the longest time.
    fn longest_unused(&self) -> Option<u64>;

    /// Ends that instance.
    fn give_back(&self);
}

/// What a pool of instances holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// Components that are instantiated.
    pub instances: u64,
    /// Stacks of guest tasks in use.
    pub stacks: usize,
    /// Memory that ended instances have left resident for those to come: of their linear memories and tables, in bytes.
    pub kept_bytes: usize,
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
            Pooling::Never => (wasmtime::Engine::new(&config(&options))?, false),
            Pooling::LittleSpace => (wasmtime::Engine::new(&in_little_space(&options))?, false),
            Pooling::Auto => match wasmtime::Engine::new(&pooled(&options)) {
                Ok(engine) => (engine, true),
                Err(error) => {
                    tracing::info!(%error, "too little address space for a pool of instances: memory is mapped for each");
                    (wasmtime::Engine::new(&in_little_space(&options))?, false)
                }
            },
        };
        let engine = Arc::new(Inner {
            wasmtime,
            pooled,
            instances_max: options.instances_max,
            clock: Clock::default(),
            slots: Arc::new(Semaphore::new(options.instances_max as usize)),
            descriptors: Arc::new(AllDescriptors::new(options.descriptors_max)),
            waiting: Waiting::default(),
            keepers: Mutex::default(),
            wasi: OnceLock::new(),
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

    /// What its guests hold of the process's file descriptors.
    pub(crate) fn descriptors(&self) -> &Arc<AllDescriptors> {
        &self.0.descriptors
    }

    /// Who waits for slots: whoever holds some without need gives them back.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    /// What the pool holds, or `None` without one.
    pub fn pool_usage(&self) -> Option<PoolUsage> {
        let metrics = self.0.wasmtime.pooling_allocator_metrics()?;
        Some(PoolUsage {
            instances: metrics.component_instances(),
            stacks: metrics.stacks(),
            kept_bytes: metrics.unused_memory_bytes_resident() + metrics.unused_table_bytes_resident(),
        })
    }

    /// Whether somebody waits for an instance to end.
    pub fn is_waited_for(&self) -> bool {
        self.0.waiting.is_any()
    }

    /// Asks `keeper` for its instances' places when they are needed.
    pub(crate) fn add_keeper(&self, keeper: Weak<dyn Keeper>) {
        let mut keepers = self.0.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|keeper| keeper.strong_count() > 0);
        keepers.push(keeper);
    }

    /// Ends idle instances, whosever they are, until `slots` are free; those first that were not used for the longest time.
    pub(crate) fn reclaim(&self, slots: u32) {
        let keepers = self.0.keepers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keepers: Vec<_> = keepers.iter().filter_map(Weak::upgrade).collect();
        while self.0.slots.available_permits() < slots as usize {
            let idle = keepers
                .iter()
                .filter_map(|keeper| Some((keeper.longest_unused()?, keeper)));
            let Some((_, keeper)) = idle.min_by_key(|&(since, _)| since) else {
                return;
            };
            keeper.give_back();
        }
    }

    /// Waits for so many slots.
    pub(crate) async fn acquire(&self, slots: u32) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting().count();
        self.reclaim(slots);
        self.slots().acquire_many_owned(slots).await.ok()
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
        self.0.clock.ticks()
    }

    /// All of WASI, linked once: it takes longer than all else that opening a compiled component does.
    pub(crate) fn wasi(&self) -> wasmtime::Result<&Linker<InstanceState>> {
        if let Some(linker) = self.0.wasi.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(self.wasmtime());
        wasi::link(&mut linker)?;
        // Whoever else did so meanwhile has linked the same.
        Ok(self.0.wasi.get_or_init(|| linker))
    }

    /// The clock that counts the ticks.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
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
            engine.clock.tick();
            engine.wasmtime.increment_epoch();
        }
    })?;
    Ok(())
}

/// What every engine has: the features, and memory mapped for each instance.
fn config(options: &EngineOptions) -> Config {
    let mut config = Config::new();
    // All of the async component model. Wasmtime leaves the last three off by default; a server that did so would
    // refuse components that the standard allows.
    config.wasm_component_model_async(true);
    config.wasm_component_model_more_async_builtins(true);
    config.wasm_component_model_async_stackful(true);
    config.wasm_component_model_error_context(true);
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    if options.source_lines {
        config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    }
    config
}

/// An engine that compiles, for machines of a target triple, or for this one.
///
/// # Errors
/// When there is no compiler for the target.
pub(crate) fn compiler(options: &EngineOptions, target: Option<&str>) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = match options.pooling {
        Pooling::LittleSpace => in_little_space(options),
        // What instances are made of does not change the code: it is the same with a pool and without.
        Pooling::Auto | Pooling::Never => config(options),
    };
    if let Some(target) = target {
        config.target(target)?;
    }
    wasmtime::Engine::new(&config)
}

/// With a pool of instances.
fn pooled(options: &EngineOptions) -> Config {
    let mut config = config(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
    config
}

/// For an address space of which each instance can have megabytes, and not the 4 GiB that spare compiled code its checks.
fn in_little_space(options: &EngineOptions) -> Config {
    let mut config = config(options);
    config.memory_reservation(SMALL_RESERVATION_BYTES);
    config.memory_reservation_for_growth(SMALL_RESERVATION_BYTES);
    config.memory_guard_size(SMALL_GUARD_BYTES);
    config.memory_may_move(true);
    config
}

fn pool(options: &EngineOptions) -> PoolingAllocationConfig {
    let memories = options.instances_max.saturating_mul(MEMORIES_PER_SLOT);
    let tables = options.instances_max.saturating_mul(TABLES_PER_SLOT);
    let kept = options.kept_bytes_max;
    let kept_for_tables = kept / KEPT_FOR_TABLES;
    let mut pool = PoolingAllocationConfig::new();
    // These two are numbers without anything behind them: the slots bound what instances hold.
    pool.total_component_instances(u32::MAX);
    pool.total_core_instances(u32::MAX);
    pool.total_memories(memories);
    pool.total_tables(tables);
    pool.total_stacks(options.instances_max.saturating_add(MORE_STACKS));
    pool.max_memories_per_module(PER_MODULE_MAX.min(memories));
    pool.max_tables_per_module(PER_MODULE_MAX.min(tables));
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.linear_memory_keep_resident(share(kept - kept_for_tables, memories).min(MEMORY_KEPT_BYTES_MAX));
    pool.table_keep_resident(share(kept_for_tables, tables).min(TABLE_KEPT_BYTES_MAX));
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// What each of so many may keep, in whole pages.
fn share(bytes: usize, of: u32) -> usize {
    bytes / (of.max(1) as usize) / KEPT_UNIT_BYTES * KEPT_UNIT_BYTES
}

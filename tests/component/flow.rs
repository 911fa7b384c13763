//! What flows through several components: bytes in any amount, held up from either side; calls in any number.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, Destination, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wharf_tests::guest;

use crate::compose::Composition;
use crate::host::{Gate, State, prepare, run};

mod relay_bindings {
    wasmtime::component::bindgen!({
        path: "guests/component/wit",
        world: "flow-relay-last",
        exports: { default: async | store },
    });
}
use relay_bindings::FlowRelayLast as Relays;

mod crowd_bindings {
    wasmtime::component::bindgen!({
        path: "guests/component/wit",
        world: "flow-crowd-whole",
        exports: { default: async | store },
    });
}
use crowd_bindings::FlowCrowdWhole as Crowd;
use crowd_bindings::exports::wharf::guests::crowd::Guest as CrowdGuest;

const RELAY: &str = "wharf:guests/relay";
const RELAYS: usize = 3;
const MOMENT: Duration = Duration::from_millis(200);

/// What may be on its way: each relay reads 16 KiB at a time, and the host writes and reads no more than 64 KiB.
const IN_FLIGHT_BYTES_MAX: u64 = 256 << 10;
/// A Rust guest begins with little more than 1 MiB of memory.
const GUEST_MEMORY_BYTES_MAX: u64 = RELAYS as u64 * (2 << 20);
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes on their way through all relays.
struct Flow {
    given: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    most_in_flight: Arc<AtomicU64>,
    /// Ready when the host's writing end is gone.
    source_gone: oneshot::Receiver<()>,
    /// Ready when the host's reading end is gone.
    sink_gone: oneshot::Receiver<()>,
}

impl Flow {
    fn in_flight(&self) -> u64 {
        self.given.load(Ordering::Relaxed) - self.taken.load(Ordering::Relaxed)
    }
}

/// How much is written, how much is read at most, and what holds up either end.
struct Plan {
    write_bytes: u64,
    read_bytes_max: u64,
    source: Gate,
    sink: Gate,
}

fn check(plan: Plan, test: impl AsyncFnOnce(Flow, &Plan) -> Result<()>) {
    run(async {
        let (component, linker, mut store) = prepare(&relays());
        let relays = Relays::instantiate_async(&mut store, &component, &linker).await?;
        let work = store.run_concurrent(async |accessor| {
            let flow = begin(accessor, &relays, &plan).await?;
            test(flow, &plan).await
        });
        work.await??;
        let grown = store.data().memory_bytes;
        assert!(
            grown <= GUEST_MEMORY_BYTES_MAX,
            "the guests' memory has grown to {grown} bytes"
        );
        Ok(())
    });
}

fn relays() -> Vec<u8> {
    let mut row = Composition::new();
    let mut next = row.add(&std::fs::read(guest("flow-relay-last")).unwrap(), &[]);
    for _ in 1..RELAYS {
        next = row.add(&std::fs::read(guest("flow-relay")).unwrap(), &[(RELAY, next)]);
    }
    row.export(next, RELAY);
    row.encode()
}

async fn begin(accessor: &Accessor<State>, relays: &Relays, plan: &Plan) -> Result<Flow> {
    let pattern: Arc<[u8]> = (0..CHUNK_BYTES + 251).map(|n| (n % 251) as u8).collect();
    let (given, taken, most_in_flight) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let (source_held, source_gone) = oneshot::channel();
    let (sink_held, sink_gone) = oneshot::channel();
    let source = BytesSource {
        left_bytes: plan.write_bytes,
        pattern: pattern.clone(),
        given: given.clone(),
        gate: plan.source.clone(),
        _held: source_held,
    };
    let sink = BytesSink {
        left_bytes: plan.read_bytes_max,
        pattern,
        given: given.clone(),
        taken: taken.clone(),
        most_in_flight: most_in_flight.clone(),
        gate: plan.sink.clone(),
        _held: sink_held,
    };
    let bytes = accessor.with(|mut access| StreamReader::new(access.as_context_mut(), source))?;
    let bytes = relays.wharf_guests_relay().call_relay(accessor, bytes).await?;
    accessor.with(|access| bytes.pipe(access, sink))?;
    Ok(Flow {
        given,
        taken,
        most_in_flight,
        source_gone,
        sink_gone,
    })
}

/// Counts up modulo 251, as fast as it is read.
struct BytesSource {
    left_bytes: u64,
    pattern: Arc<[u8]>,
    given: Arc<AtomicU64>,
    gate: Gate,
    _held: oneshot::Sender<()>,
}

impl StreamProducer<State> for BytesSource {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if self.gate.poll(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        let mut destination = destination.as_direct(store, CHUNK_BYTES);
        let room = destination.remaining();
        let count = room
            .len()
            .min(CHUNK_BYTES)
            .min(usize::try_from(self.left_bytes).unwrap());
        let begin = (self.given.load(Ordering::Relaxed) % 251) as usize;
        room[..count].copy_from_slice(&self.pattern[begin..][..count]);
        destination.mark_written(count);
        self.left_bytes -= count as u64;
        self.given.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(if self.left_bytes == 0 {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

/// Checks what arrives, and how much is on its way.
struct BytesSink {
    left_bytes: u64,
    pattern: Arc<[u8]>,
    given: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    most_in_flight: Arc<AtomicU64>,
    gate: Gate,
    _held: oneshot::Sender<()>,
}

impl StreamConsumer<State> for BytesSink {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if self.gate.poll(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        let taken = self.taken.load(Ordering::Relaxed);
        self.most_in_flight
            .fetch_max(self.given.load(Ordering::Relaxed) - taken, Ordering::Relaxed);
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let count = bytes
            .len()
            .min(CHUNK_BYTES)
            .min(usize::try_from(self.left_bytes).unwrap());
        assert!(
            bytes[..count] == self.pattern[(taken % 251) as usize..][..count],
            "other bytes at {taken}"
        );
        source.mark_read(count);
        self.left_bytes -= count as u64;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(if self.left_bytes == 0 {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

#[test]
fn a_gibibyte_through_three_components_in_flat_memory() {
    const TOTAL_BYTES: u64 = 1 << 30;
    let plan = Plan {
        write_bytes: TOTAL_BYTES,
        read_bytes_max: u64::MAX,
        source: Gate::opened(),
        sink: Gate::opened(),
    };
    check(plan, async |flow, _| {
        let _ = flow.sink_gone.await;
        assert_eq!(flow.taken.load(Ordering::Relaxed), TOTAL_BYTES);
        let most = flow.most_in_flight.load(Ordering::Relaxed);
        assert!(most <= IN_FLIGHT_BYTES_MAX, "{most} bytes were on their way");
        Ok(())
    });
}

#[test]
fn a_reader_that_stalls_holds_up_the_writer_through_three_components() {
    const TOTAL_BYTES: u64 = 8 << 20;
    let plan = Plan {
        write_bytes: TOTAL_BYTES,
        read_bytes_max: u64::MAX,
        source: Gate::opened(),
        sink: Gate::default(),
    };
    check(plan, async |flow, plan| {
        tokio::time::sleep(MOMENT).await;
        let given = flow.given.load(Ordering::Relaxed);
        assert!(
            (1..=IN_FLIGHT_BYTES_MAX).contains(&given),
            "{given} bytes were given to a reader that stalls"
        );
        plan.sink.open();
        let _ = flow.sink_gone.await;
        assert_eq!(flow.taken.load(Ordering::Relaxed), TOTAL_BYTES);
        Ok(())
    });
}

#[test]
fn a_writer_that_stalls_holds_up_the_reader_through_three_components() {
    const TOTAL_BYTES: u64 = 8 << 20;
    let plan = Plan {
        write_bytes: TOTAL_BYTES,
        read_bytes_max: u64::MAX,
        source: Gate::default(),
        sink: Gate::opened(),
    };
    check(plan, async |mut flow, plan| {
        tokio::time::sleep(MOMENT).await;
        assert_eq!(flow.taken.load(Ordering::Relaxed), 0);
        assert!(
            flow.sink_gone
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
        );
        plan.source.open();
        let _ = flow.sink_gone.await;
        assert_eq!(flow.taken.load(Ordering::Relaxed), TOTAL_BYTES);
        Ok(())
    });
}

#[test]
fn a_reader_that_leaves_ends_the_writer_through_three_components() {
    let plan = Plan {
        write_bytes: u64::MAX,
        read_bytes_max: 1 << 20,
        source: Gate::opened(),
        sink: Gate::opened(),
    };
    check(plan, async |mut flow, _| {
        let _ = (&mut flow.source_gone).await;
        assert_eq!(flow.taken.load(Ordering::Relaxed), 1 << 20);
        let lost = flow.in_flight();
        assert!(
            lost <= IN_FLIGHT_BYTES_MAX,
            "{lost} bytes were on their way when the reader left"
        );
        Ok(())
    });
}

/// Runs `test` with the crowd and its sleeper.
fn check_crowd(test: impl AsyncFnOnce(&Accessor<State>, &CrowdGuest) -> Result<()>) {
    run(async {
        let mut whole = Composition::new();
        let sleeper = whole.add(&std::fs::read(guest("flow-sleeper")).unwrap(), &[]);
        let crowd = whole.add(
            &std::fs::read(guest("flow-crowd")).unwrap(),
            &[("wharf:guests/sleeper", sleeper)],
        );
        whole.export(crowd, "wharf:guests/crowd");
        let (component, linker, mut store) = prepare(&whole.encode());
        let crowd = Crowd::instantiate_async(&mut store, &component, &linker).await?;
        store
            .run_concurrent(async |accessor| test(accessor, crowd.wharf_guests_crowd()).await)
            .await?
    });
}

#[test]
fn a_thousand_subtasks_at_once() {
    check_crowd(async |accessor, crowd| {
        // Each tells how many slept when it began, so none had ended before the last began.
        assert_eq!(crowd.call_all(accessor, 1000, 2000).await?, 1000 * 1001 / 2);
        assert_eq!(crowd.call_most(accessor).await?, 1000);
        Ok(())
    });
}

#[test]
fn subtasks_are_cancelled_while_they_await_a_timer() {
    check_crowd(async |accessor, crowd| {
        assert_eq!(crowd.call_give_up(accessor, 100).await?, 100);
        // Whoever was given up has left the others unharmed.
        assert_eq!(crowd.call_all(accessor, 3, 1).await?, 1 + 2 + 3);
        Ok(())
    });
}

#[test]
fn the_loser_of_a_race_is_not_waited_for() {
    const HOUR_MILLISECONDS: u32 = 3_600_000;
    check_crowd(async |accessor, crowd| {
        assert_eq!(crowd.call_race(accessor, 10, HOUR_MILLISECONDS).await?, 10);
        assert_eq!(crowd.call_race(accessor, HOUR_MILLISECONDS, 10).await?, 10);
        Ok(())
    });
}

#[test]
fn tasks_of_one_instance_take_turns() {
    const ROUNDS: u32 = 50;
    check_crowd(async |accessor, crowd| {
        let turns = || crowd.call_turns(accessor, ROUNDS);
        let (a, b, c) = tokio::join!(turns(), turns(), turns());
        for (begun, turns) in [a?, b?, c?].into_iter().enumerate() {
            // Everybody once before anybody again.
            let expected: Vec<u32> = (0..ROUNDS).map(|round| 3 * round + begun as u32 + 1).collect();
            assert_eq!(turns, expected);
        }
        Ok(())
    });
}

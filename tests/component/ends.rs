//! Streams and futures of which one end is the guest's and the other the host's: read and written in portions, dropped
//! and cancelled on either side, held up on either side.

use std::time::Duration;

use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, Lift, Lower, StreamReader};
use wasmtime::{AsContextMut, Result};
use wharf_tests::guest;

use crate::host::{Gate, Reader, State, Writer, prepare, read_all, read_future, run};

mod bindings {
    wasmtime::component::bindgen!({
        path: "guests/component/wit",
        world: "flow-ends",
        exports: { default: async | store },
        additional_derives: [PartialEq],
    });
}
use bindings::FlowEnds;
use bindings::exports::wharf::guests::ends::{Guest, Row};

/// Long enough for a guest to do whatever it does without waiting for the host.
const MOMENT: Duration = Duration::from_millis(200);

/// Runs `test` with one instance of the guest.
fn check(test: impl AsyncFnOnce(&Accessor<State>, &Guest) -> Result<()>) {
    run(async {
        let component = std::fs::read(guest("flow-ends")).unwrap();
        let (component, linker, mut store) = prepare(&component);
        let guest = FlowEnds::instantiate_async(&mut store, &component, &linker).await?;
        store
            .run_concurrent(async |accessor| test(accessor, guest.wharf_guests_ends()).await)
            .await?
    });
}

/// A stream written by the host in portions, and what tells which items were not taken.
fn stream<T>(
    accessor: &Accessor<State>,
    items: impl IntoIterator<Item = T>,
    portion: usize,
    gate: &Gate,
) -> Result<(StreamReader<T>, oneshot::Receiver<Vec<T>>)>
where
    T: Lower + Lift + Unpin + Send + Sync + 'static,
{
    let (writer, left) = Writer::new(items, portion, gate.clone());
    let reader = accessor.with(|mut access| StreamReader::new(access.as_context_mut(), writer))?;
    Ok((reader, left))
}

/// Lets the host read a stream in portions up to `most` items; what it got, once that is over.
fn read<T>(
    accessor: &Accessor<State>,
    reader: StreamReader<T>,
    portion: usize,
    most: usize,
    gate: &Gate,
) -> Result<oneshot::Receiver<Vec<T>>>
where
    T: Lift + Unpin + Send + Sync + 'static,
{
    let (consumer, items) = Reader::new(portion, most, gate.clone());
    accessor.with(|access| reader.pipe(access, consumer))?;
    Ok(items)
}

fn future(
    accessor: &Accessor<State>,
    value: impl Future<Output = Result<String>> + Send + 'static,
) -> Result<FutureReader<String>> {
    accessor.with(|access| FutureReader::new(access, value))
}

#[test]
fn the_guest_reads_in_whatever_portions_the_host_writes() {
    for portion in [1, 7, 16 << 10, 100_000] {
        check(async |accessor, guest| {
            let (bytes, left) = stream(accessor, (0..50_000u32).map(|n| n as u8), portion, &Gate::opened())?;
            let sum = (0..50_000u32).map(|n| u64::from(n as u8)).sum::<u64>();
            assert_eq!(guest.call_sum(accessor, bytes).await?, (50_000, sum));
            assert!(left.await?.is_empty());
            Ok(())
        });
    }
}

#[test]
fn the_guest_reads_records() {
    check(async |accessor, guest| {
        let rows = || {
            (0..100).map(|id| Row {
                id,
                name: format!("{id}"),
            })
        };
        let (stream, _) = stream(accessor, rows(), 7, &Gate::opened())?;
        assert_eq!(guest.call_collect(accessor, stream).await?, rows().collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn an_empty_stream_ends() {
    check(async |accessor, guest| {
        let (bytes, _) = stream(accessor, [], 1, &Gate::opened())?;
        assert_eq!(guest.call_sum(accessor, bytes).await?, (0, 0));
        let bytes = guest.call_produce(accessor, 0).await?;
        assert!(read_all(accessor, bytes).await?.is_empty());
        Ok(())
    });
}

#[test]
fn the_guest_waits_while_the_host_does_not_write() {
    check(async |accessor, guest| {
        let gate = Gate::default();
        let (bytes, _) = stream(accessor, [1u8, 2, 3], 8, &gate)?;
        let open_later = async {
            tokio::time::sleep(MOMENT).await;
            gate.open();
        };
        let (sum, ()) = tokio::join!(guest.call_sum(accessor, bytes), open_later);
        assert_eq!(sum?, (3, 6));
        Ok(())
    });
}

#[test]
fn the_host_is_told_when_the_guest_stops_reading() {
    check(async |accessor, guest| {
        let (bytes, left) = stream(accessor, 0..100u8, 10, &Gate::opened())?;
        assert_eq!(
            guest.call_take(accessor, bytes, 25).await?,
            (0..25).collect::<Vec<u8>>()
        );
        // What the guest had no room for was never given away.
        assert_eq!(left.await?, (25..100).collect::<Vec<u8>>());
        Ok(())
    });
}

#[test]
fn the_host_is_told_when_the_guest_never_reads() {
    check(async |accessor, guest| {
        let (bytes, left) = stream(accessor, [1u8, 2, 3], 8, &Gate::opened())?;
        guest.call_ignore(accessor, bytes).await?;
        assert_eq!(left.await?, [1, 2, 3]);
        Ok(())
    });
}

#[test]
fn a_read_the_guest_cancels_loses_nothing() {
    check(async |accessor, guest| {
        let gate = Gate::default();
        let (bytes, _) = stream(accessor, 0..10u8, 4, &gate)?;
        let open_later = async {
            tokio::time::sleep(MOMENT).await;
            gate.open();
        };
        let (read, ()) = tokio::join!(guest.call_cancel_read(accessor, bytes), open_later);
        assert_eq!(read?, (vec![], (0..10).collect()));
        Ok(())
    });
}

#[test]
fn the_host_reads_in_whatever_portions_it_likes() {
    for portion in [1, 7, 16 << 10, 100_000] {
        check(async |accessor, guest| {
            let bytes = guest.call_produce(accessor, 50_000).await?;
            let bytes = read(accessor, bytes, portion, usize::MAX, &Gate::opened())?.await?;
            assert!(bytes == (0..50_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
            Ok(())
        });
    }
}

#[test]
fn the_guest_is_told_when_the_host_stops_reading() {
    check(async |accessor, guest| {
        let rows = guest.call_endless(accessor).await?;
        let rows = read(accessor, rows, 1, 5, &Gate::opened())?.await?;
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(guest.call_written(accessor).await?, 5);
        Ok(())
    });
}

#[test]
fn the_guest_is_told_when_the_host_never_reads() {
    check(async |accessor, guest| {
        let mut rows = guest.call_endless(accessor).await?;
        accessor.with(|access| rows.close(access))?;
        assert_eq!(guest.call_written(accessor).await?, 0);
        Ok(())
    });
}

#[test]
fn the_guest_waits_while_the_host_does_not_read() {
    check(async |accessor, guest| {
        let gate = Gate::default();
        let rows = guest.call_endless(accessor).await?;
        let rows = read(accessor, rows, 1, 3, &gate)?;
        let written = guest.call_written(accessor);
        let open_later = async {
            tokio::time::sleep(MOMENT).await;
            gate.open();
        };
        let (written, ()) = tokio::join!(written, open_later);
        // One that ran ahead would have counted further.
        assert_eq!(written?, 3);
        assert_eq!(rows.await?.len(), 3);
        Ok(())
    });
}

#[test]
fn a_write_the_guest_cancels_tells_how_much_went() {
    // Shut, so that nothing goes; open, so that all goes.
    for (gate, expected) in [(Gate::default(), vec![]), (Gate::opened(), vec![1, 2, 3, 4])] {
        check(async |accessor, guest| {
            let (bytes, count) = guest.call_cancel_write(accessor, vec![1, 2, 3, 4]).await?;
            let bytes = read(accessor, bytes, 64, usize::MAX, &gate)?;
            assert_eq!(read_future(accessor, count).await?, expected.len() as u32);
            assert_eq!(bytes.await?, expected);
            Ok(())
        });
    }
}

#[test]
fn the_guest_awaits_a_future_of_the_host() {
    check(async |accessor, guest| {
        let now = future(accessor, async { Ok("now".into()) })?;
        assert_eq!(guest.call_wait(accessor, now).await?, "now");
        let later = future(accessor, async {
            tokio::time::sleep(MOMENT).await;
            Ok("later".into())
        })?;
        assert_eq!(guest.call_wait(accessor, later).await?, "later");
        Ok(())
    });
}

#[test]
fn the_host_is_told_when_the_guest_awaits_no_longer() {
    check(async |accessor, guest| {
        for cancel in [false, true] {
            let (dropped, was_dropped) = oneshot::channel::<()>();
            let text = future(accessor, async {
                // Never true: only dropping the future drops this end of the channel.
                let _dropped = dropped;
                std::future::pending().await
            })?;
            if cancel {
                assert!(guest.call_cancel_wait(accessor, text).await?);
            } else {
                guest.call_forget(accessor, text).await?;
            }
            assert!(was_dropped.await.is_err());
        }
        Ok(())
    });
}

#[test]
fn the_host_awaits_a_future_of_the_guest() {
    check(async |accessor, guest| {
        let offered = guest.call_offer(accessor, "at once".into()).await?;
        assert_eq!(read_future(accessor, offered).await?, "at once");
        assert!(guest.call_delivered(accessor).await?);
        let promised = guest.call_promise(accessor, "later".into()).await?;
        assert_eq!(read_future(accessor, promised).await?, "later");
        Ok(())
    });
}

#[test]
fn the_guest_is_told_when_the_host_awaits_no_longer() {
    check(async |accessor, guest| {
        let mut offered = guest.call_offer(accessor, "to nobody".into()).await?;
        accessor.with(|access| offered.close(access))?;
        assert!(!guest.call_delivered(accessor).await?);
        Ok(())
    });
}

#[test]
fn a_guest_streams_to_itself() {
    check(async |accessor, guest| {
        let sum = (0..100_000u64).map(|n| n % 251).sum();
        assert_eq!(guest.call_inside(accessor, 100_000).await?, (100_000, sum));
        Ok(())
    });
}

//! Streams and futures of which the host holds the other end.

use std::cell::{Cell, RefCell};
use std::future::{IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_util::future::{Either, join, select};
use guests_component::wit_bindgen;
use wasip3::clocks::monotonic_clock;
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter, spawn_local};

wit_bindgen::generate!({
    path: "wit",
    world: "flow-ends",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::ends::{Guest, Row};

const CHUNK_BYTES: usize = 16 << 10;
/// Long enough for whatever the host does at once.
const MOMENT_NANOSECONDS: u64 = 50_000_000;

thread_local! {
    static WRITTEN: Cell<Option<u32>> = const { Cell::new(None) };
    static DELIVERED: RefCell<Option<bool>> = const { RefCell::new(None) };
}

struct Ends;

impl Guest for Ends {
    async fn sum(mut bytes: StreamReader<u8>) -> (u64, u64) {
        let (mut count, mut sum) = (0, 0);
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        loop {
            let (result, read) = bytes.read(chunk).await;
            count += read.len() as u64;
            sum += read.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            if result == StreamResult::Dropped {
                return (count, sum);
            }
            chunk = read;
            chunk.clear();
        }
    }

    async fn take(mut bytes: StreamReader<u8>, count: u32) -> Vec<u8> {
        let mut taken = Vec::with_capacity(count as usize);
        while taken.len() < count as usize {
            let (result, read) = bytes.read(taken).await;
            taken = read;
            if result == StreamResult::Dropped {
                break;
            }
        }
        taken
    }

    async fn ignore(_bytes: StreamReader<u8>) {}

    async fn cancel_read(mut bytes: StreamReader<u8>) -> (Vec<u8>, Vec<u8>) {
        let mut read = Box::pin(bytes.read(Vec::with_capacity(16)));
        begin(read.as_mut()).await;
        let (_, first) = read.as_mut().cancel();
        drop(read);
        (first, bytes.collect().await)
    }

    async fn collect(rows: StreamReader<Row>) -> Vec<Row> {
        rows.collect().await
    }

    async fn produce(count: u64) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        spawn_local(count_up(count, writer));
        reader
    }

    async fn endless() -> StreamReader<Row> {
        let (mut writer, reader) = wit_stream::new();
        WRITTEN.set(None);
        spawn_local(async move {
            let mut id = 0;
            while writer
                .write_one(Row {
                    id,
                    name: format!("row {id}"),
                })
                .await
                .is_none()
            {
                id += 1;
            }
            WRITTEN.set(Some(id));
        });
        reader
    }

    async fn cancel_write(bytes: Vec<u8>) -> (StreamReader<u8>, FutureReader<u32>) {
        let (mut writer, reader) = wit_stream::new();
        let (count, count_reader) = wit_future::new(|| 0);
        spawn_local(async move {
            let all = bytes.len();
            let mut write = Box::pin(writer.write(bytes));
            let moment = pin!(monotonic_clock::wait_for(MOMENT_NANOSECONDS));
            let left = match select(write.as_mut(), moment).await {
                Either::Left(((_, left), _)) => left.remaining(),
                Either::Right(_) => write.as_mut().cancel().1.remaining(),
            };
            drop(write);
            drop(writer);
            let _ = count.write((all - left) as u32).await;
        });
        (reader, count_reader)
    }

    async fn written() -> u32 {
        loop {
            if let Some(count) = WRITTEN.get() {
                return count;
            }
            monotonic_clock::wait_for(1_000_000).await;
        }
    }

    async fn wait(text: FutureReader<String>) -> String {
        text.await
    }

    async fn forget(_text: FutureReader<String>) {}

    async fn cancel_wait(text: FutureReader<String>) -> bool {
        let mut read = Box::pin(text.into_future());
        begin(read.as_mut()).await;
        read.as_mut().cancel().is_err()
    }

    async fn promise(text: String) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            monotonic_clock::wait_for(MOMENT_NANOSECONDS).await;
            let _ = writer.write(text).await;
        });
        reader
    }

    async fn offer(text: String) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        DELIVERED.set(None);
        spawn_local(async move {
            let delivered = writer.write(text).await.is_ok();
            DELIVERED.set(Some(delivered));
        });
        reader
    }

    async fn delivered() -> bool {
        loop {
            if let Some(delivered) = DELIVERED.take() {
                return delivered;
            }
            monotonic_clock::wait_for(1_000_000).await;
        }
    }

    async fn inside(count: u64) -> (u64, u64) {
        let (writer, reader) = wit_stream::new();
        join(count_up(count, writer), Self::sum(reader)).await.1
    }
}

/// Lets an operation begin and checks that it does not end at once.
async fn begin(mut operation: Pin<&mut impl Future>) {
    poll_fn(|cx| {
        assert!(operation.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn count_up(count: u64, mut writer: StreamWriter<u8>) {
    let mut next = 0;
    while next < count {
        let end = count.min(next + CHUNK_BYTES as u64);
        let chunk = (next..end).map(|number| (number % 251) as u8).collect();
        if !writer.write_all(chunk).await.is_empty() {
            return;
        }
        next = end;
    }
}

export!(Ends);

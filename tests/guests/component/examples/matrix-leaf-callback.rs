//! The end of a chain of the matrix, lifted `async` with a callback: it answers after others had a turn, and goes on
//! writing its streams after it returned.

use std::cell::Cell;

use guests_component::wit_bindgen;
use wit_bindgen::{FutureReader, StreamReader, spawn_local, yield_async};

wit_bindgen::generate!({
    path: "wit",
    world: "matrix-leaf",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::matrix::{self, Counter, CounterBorrow, Point, Problem};
use exports::wharf::guests::matrix_types::{self, GuestCounter};

struct Leaf;

struct Tally(Cell<u32>);

impl matrix_types::Guest for Leaf {
    type Counter = Tally;
}

impl GuestCounter for Tally {
    fn new(start: u32) -> Self {
        Tally(Cell::new(start))
    }

    async fn add(&self, amount: u32) -> u32 {
        yield_async().await;
        self.0.set(self.0.get() + amount);
        self.0.get()
    }

    fn value(&self) -> u32 {
        self.0.get()
    }
}

impl matrix::Guest for Leaf {
    async fn number(number: u32) -> u32 {
        yield_async().await;
        number * 2
    }

    async fn text(text: String) -> String {
        yield_async().await;
        text.to_uppercase()
    }

    async fn numbers(numbers: Vec<u32>) -> Vec<u32> {
        yield_async().await;
        numbers.into_iter().rev().collect()
    }

    async fn moved(point: Point) -> Point {
        yield_async().await;
        Point {
            x: point.x * 2,
            label: point.label.to_uppercase(),
        }
    }

    async fn checked(number: u32) -> Result<u32, Problem> {
        yield_async().await;
        match number {
            0 => Err(Problem::Missing),
            1 => Err(Problem::Broken("one".into())),
            _ => Ok(number),
        }
    }

    async fn lent(counter: CounterBorrow<'_>) -> u32 {
        yield_async().await;
        counter.get::<Tally>().value()
    }

    async fn given(counter: Counter) -> Counter {
        counter.get::<Tally>().add(1).await;
        counter
    }

    async fn bytes(mut bytes: StreamReader<u8>) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            while let Some(byte) = bytes.next().await {
                writer.write_one(byte.wrapping_add(1)).await;
            }
        });
        reader
    }

    async fn points(mut points: StreamReader<Point>) -> StreamReader<Point> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            while let Some(point) = points.next().await {
                writer
                    .write_one(Point {
                        x: point.x + 1,
                        label: point.label,
                    })
                    .await;
            }
        });
        reader
    }

    async fn counters(mut counters: StreamReader<Counter>) -> StreamReader<Counter> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            while let Some(counter) = counters.next().await {
                counter.get::<Tally>().add(1).await;
                writer.write_one(counter).await;
            }
        });
        reader
    }

    async fn later(text: FutureReader<String>) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            let text = text.await;
            // Nobody may be there to read it.
            let _ = writer.write(text + "!").await;
        });
        reader
    }

    async fn rows(count: u32) -> (StreamReader<Point>, FutureReader<Result<(), Problem>>) {
        let (mut rows, rows_reader) = wit_stream::new();
        let (end, end_reader) = wit_future::new(|| Err(Problem::Missing));
        spawn_local(async move {
            for x in 0..count {
                rows.write_one(Point { x, label: "row".into() }).await;
            }
            drop(rows);
            let result = if count == 13 {
                Err(Problem::Broken("thirteen".into()))
            } else {
                Ok(())
            };
            let _ = end.write(result).await;
        });
        (rows_reader, end_reader)
    }
}

export!(Leaf);

//! The end of a chain of the matrix, lifted without `async`: it is done when it returns, so streams and futures come
//! back as they are.

use std::cell::Cell;

use guests_component::wit_bindgen;
use wit_bindgen::{FutureReader, StreamReader};

wit_bindgen::generate!({
    path: "wit",
    world: "matrix-leaf",
    sync: true,
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

    fn add(&self, amount: u32) -> u32 {
        self.0.set(self.0.get() + amount);
        self.0.get()
    }

    fn value(&self) -> u32 {
        self.0.get()
    }
}

impl matrix::Guest for Leaf {
    fn number(number: u32) -> u32 {
        number * 2
    }

    fn text(text: String) -> String {
        text.to_uppercase()
    }

    fn numbers(numbers: Vec<u32>) -> Vec<u32> {
        numbers.into_iter().rev().collect()
    }

    fn moved(point: Point) -> Point {
        Point {
            x: point.x * 2,
            label: point.label.to_uppercase(),
        }
    }

    fn checked(number: u32) -> Result<u32, Problem> {
        match number {
            0 => Err(Problem::Missing),
            1 => Err(Problem::Broken("one".into())),
            _ => Ok(number),
        }
    }

    fn lent(counter: CounterBorrow<'_>) -> u32 {
        counter.get::<Tally>().value()
    }

    fn given(counter: Counter) -> Counter {
        counter.get::<Tally>().add(1);
        counter
    }

    fn bytes(bytes: StreamReader<u8>) -> StreamReader<u8> {
        bytes
    }

    fn points(points: StreamReader<Point>) -> StreamReader<Point> {
        points
    }

    fn counters(counters: StreamReader<Counter>) -> StreamReader<Counter> {
        counters
    }

    fn later(text: FutureReader<String>) -> FutureReader<String> {
        text
    }

    /// Only what needs no writing: no rows, and the end is awaited by nobody.
    fn rows(_count: u32) -> (StreamReader<Point>, FutureReader<Result<(), Problem>>) {
        unreachable!("an export lifted without `async` cannot write what it returned")
    }
}

export!(Leaf);

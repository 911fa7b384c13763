//! What the guests of this folder share: the links of the matrix, written once for every way to lift and lower.

pub use wit_bindgen;
use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

/// A component that hands every call of the matrix on to the next one and leaves a mark.
///
/// `lift` is `async` or nothing. `sync` lists what is lifted or lowered without `async`, by default all is with it.
/// `call` runs an imported function to its end, and `lend` turns an owned value into what that function takes; both
/// depend on how it is lowered.
#[macro_export]
macro_rules! matrix_link {
    (lift: [$($lift:tt)?], sync: [$($sync:literal),* $(,)?], call: $call:ident, lend: $lend:ident) => {
        $crate::wit_bindgen::generate!({
            path: "wit",
            world: "matrix-link",
            sync: [$($sync),*],
            runtime_path: "guests_component::wit_bindgen::rt",
        });

        use exports::wharf::guests::matrix::{Counter, Guest, Point, Problem};
        use wharf::guests::matrix as next;
        use $crate::wit_bindgen::{FutureReader, StreamReader};

        struct Link;

        impl Guest for Link {
            $($lift)? fn number(number: u32) -> u32 {
                $call!(next::number(number + 1)) + 100
            }

            $($lift)? fn text(text: String) -> String {
                let text = format!("<{text}>");
                $call!(next::text($lend!(text)))
            }

            $($lift)? fn numbers(mut numbers: Vec<u32>) -> Vec<u32> {
                numbers.push(100);
                $call!(next::numbers($lend!(numbers)))
            }

            $($lift)? fn moved(point: Point) -> Point {
                let point = Point { x: point.x + 100, label: format!("<{}>", point.label) };
                $call!(next::moved($lend!(point)))
            }

            $($lift)? fn checked(number: u32) -> Result<u32, Problem> {
                match $call!(next::checked(number)) {
                    Ok(number) => Ok(number + 100),
                    Err(Problem::Broken(text)) => Err(Problem::Broken(format!("<{text}>"))),
                    Err(Problem::Missing) => Err(Problem::Missing),
                }
            }

            $($lift)? fn lent(counter: &Counter) -> u32 {
                $call!(next::lent(counter)) + 100
            }

            $($lift)? fn given(counter: Counter) -> Counter {
                $call!(next::given(counter))
            }

            $($lift)? fn bytes(bytes: StreamReader<u8>) -> StreamReader<u8> {
                $call!(next::bytes(bytes))
            }

            $($lift)? fn points(points: StreamReader<Point>) -> StreamReader<Point> {
                $call!(next::points(points))
            }

            $($lift)? fn counters(counters: StreamReader<Counter>) -> StreamReader<Counter> {
                $call!(next::counters(counters))
            }

            $($lift)? fn later(text: FutureReader<String>) -> FutureReader<String> {
                $call!(next::later(text))
            }

            $($lift)? fn rows(count: u32) -> (StreamReader<Point>, FutureReader<Result<(), Problem>>) {
                $call!(next::rows(count + 1))
            }
        }

        export!(Link);
    };
}

/// How much a relay holds at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// Copies a stream until either side is gone.
pub async fn pump(mut from: StreamReader<u8>, mut to: StreamWriter<u8>) {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let (result, bytes) = from.read(chunk).await;
        if result == StreamResult::Dropped && bytes.is_empty() {
            return;
        }
        chunk = to.write_all(bytes).await;
        if !chunk.is_empty() {
            return;
        }
    }
}

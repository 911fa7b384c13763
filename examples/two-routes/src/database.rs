//! The service's database: a table in memory that is asked the way a database elsewhere would be, by awaiting.
//!
//! The waiting is real: it is done on the clock of WASI 0.3, and neither holds up other requests nor costs a thread.

use futures_util::stream::{self, Stream};
use serde::Serialize;
use wasip3::clocks::monotonic_clock::{self, Duration};

const MILLISECOND: Duration = 1_000_000;

/// What a query to a database in the same building takes.
const QUERY_DURATION: Duration = 20 * MILLISECOND;

/// Between two rows of a query whose rows are produced one by one; long enough to see them arrive.
const ROW_INTERVAL: Duration = 100 * MILLISECOND;

/// A row: a ship at its berth.
#[derive(Clone, Copy, Serialize)]
pub struct Ship {
    berth: u32,
    name: &'static str,
    tons: u32,
}

const fn ship(berth: u32, name: &'static str, tons: u32) -> Ship {
    Ship { berth, name, tons }
}

const SHIPS: [Ship; 10] = [
    ship(1, "Albatross", 4_200),
    ship(2, "Bergamot", 860),
    ship(3, "Cormorant", 12_500),
    ship(4, "Dovetail", 310),
    ship(5, "Eider", 7_700),
    ship(6, "Fulmar", 2_050),
    ship(7, "Gannet", 19_300),
    ship(8, "Heron", 640),
    ship(9, "Ibis", 5_480),
    ship(10, "Jackdaw", 95),
];

/// All rows at once.
pub async fn ships() -> [Ship; 10] {
    monotonic_clock::wait_for(QUERY_DURATION).await;
    SHIPS
}

/// The rows one after another, each when it is there. Dropping the stream ends the query.
pub fn arrivals() -> impl Stream<Item = Ship> {
    stream::unfold(SHIPS.into_iter(), |mut ships| async {
        let ship = ships.next()?;
        monotonic_clock::wait_for(ROW_INTERVAL).await;
        Some((ship, ships))
    })
}

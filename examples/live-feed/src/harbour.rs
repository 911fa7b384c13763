//! What happens in the harbour, by the number of the event: the same for everybody, and the same each time.

use wasip3::clocks::system_clock;

const SHIPS: [&str; 10] = [
    "Albatross",
    "Bergamot",
    "Cormorant",
    "Dovetail",
    "Eider",
    "Fulmar",
    "Gannet",
    "Heron",
    "Ibis",
    "Jackdaw",
];

/// What a ship does, one after another, and then from the beginning.
const MOVEMENTS: [&str; 6] = [
    "is sighted off the lighthouse",
    "takes a pilot on board",
    "makes fast at the quay",
    "opens her hatches",
    "is loaded to her marks",
    "casts off and puts to sea",
];

/// The event's data, in JSON: nothing in the names needs escaping.
pub fn movement(number: u64) -> String {
    // Three and ten have no divisor in common: each ship has its turn in every ten.
    let ship = number * 3 % SHIPS.len() as u64;
    let movement = (number / SHIPS.len() as u64 + ship) % MOVEMENTS.len() as u64;
    let (ship, movement) = (SHIPS[ship as usize], MOVEMENTS[movement as usize]);
    let seconds = system_clock::now().seconds;
    format!(r#"{{"number":{number},"at":{seconds},"ship":"{ship}","movement":"{movement}"}}"#)
}

//! The harbour's books as lines of JSON: as many as are asked for, made one by one.

use std::io::Write;

use crate::dice::Dice;

const GOODS: [&str; 6] = ["timber", "salt", "wool", "copper", "oranges", "glass"];

pub struct Rows {
    next: u64,
    end: u64,
    dice: Dice,
}

impl Rows {
    pub fn new(count: u64) -> Self {
        Self {
            next: 1,
            end: count.saturating_add(1),
            dice: Dice::of("the harbour's books"),
        }
    }

    /// Writes one more row behind what is in `piece`; false when there is none.
    pub fn write_next(&mut self, piece: &mut Vec<u8>) -> bool {
        if self.next == self.end {
            return false;
        }
        let (row, berth, tons) = (self.next, self.dice.roll(24) + 1, self.dice.roll(900) + 20);
        let goods = self.dice.pick(&GOODS);
        writeln!(
            piece,
            r#"{{"row":{row},"berth":{berth},"goods":"{goods}","tons":{tons}}}"#
        )
        .expect("memory takes all");
        self.next += 1;
        true
    }
}

//! The story of a voyage, word by word. It ends when the ship is home: nobody knows when that is, the teller least.

use std::collections::VecDeque;

use crate::dice::Dice;

const NAME_CHARS_MAX: usize = 40;
const MILES: u64 = 900;

const PORTS: [&str; 6] = [
    "Lindholm",
    "Santa Vela",
    "Port Amaro",
    "Kestrel Bay",
    "Osprey Point",
    "the Salt Islands",
];
const GOODS: [&str; 6] = ["timber", "salt", "wool", "copper", "oranges", "window glass"];
const FAIR: [&str; 5] = [
    "A steady wind from the quarter",
    "Blue water and a following sea",
    "High clouds, and the log line hums",
    "Flying fish at dawn, a fair breeze all day",
    "All plain sail set since the morning watch",
];
const CALM: [&str; 4] = [
    "Not a breath of wind",
    "The sails hang like washing",
    "Fog, and the bell every minute",
    "The sea is a plate, and we are a crumb on it",
];
const STORM: [&str; 4] = [
    "The glass has dropped all night, and now we know why",
    "A gale out of the north, under two reefs",
    "We run before the sea with bare poles",
    "Green water over the bow, and the pumps never still",
];
const ABOARD: [&str; 8] = [
    "The cook has learned a second soup.",
    "The carpenter mends what the sea has lent us.",
    "A swallow rests on the rail and takes no notice of rank.",
    "The mate has lost a boot and suspects the cat.",
    "Somebody plays the fiddle, and somebody asks them not to.",
    "The boatswain sees a whale, and then everybody has seen it.",
    "The captain reads to the watch below, who sleep.",
    "We speak a brig bound the other way, and trade onions for news.",
];

/// The words of a story, each with what separates it from the next.
pub struct Voyage {
    dice: Dice,
    day: u64,
    /// Of this many miles some are still ahead; `None` once she is home.
    ahead: Option<u64>,
    /// Words of the passage that is being told.
    words: VecDeque<String>,
}

impl Voyage {
    /// The voyage of a ship of this name. The same name has the same voyage.
    pub fn of(ship: &str) -> Self {
        let ship: String = ship.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let mut dice = Dice::of(&ship);
        let (port, goods, tons) = (dice.pick(&PORTS), dice.pick(&GOODS), dice.roll(400) + 100);
        let mut voyage = Self {
            dice,
            day: 1,
            ahead: Some(MILES),
            words: VecDeque::new(),
        };
        voyage.say(&format!(
            "The {ship} leaves {port} on the morning tide with {tons} tons of {goods}. \
             Home is {MILES} miles away, if the wind knows the way."
        ));
        voyage
    }

    fn say(&mut self, passage: &str) {
        self.words.extend(passage.split(' ').map(|word| format!("{word} ")));
        if let Some(last) = self.words.back_mut() {
            last.pop();
            last.push('\n');
        }
    }

    /// One more day at sea.
    fn sail(&mut self, ahead: u64) {
        self.day += 1;
        let (weather, made, lost) = match self.dice.roll(6) {
            0 => (self.dice.pick(&STORM), 0, self.dice.roll(90)),
            1 => (self.dice.pick(&CALM), self.dice.roll(12), 0),
            _ => (self.dice.pick(&FAIR), 40 + self.dice.roll(110), 0),
        };
        let left = (ahead + lost).saturating_sub(made);
        if left == 0 {
            self.ahead = None;
            let days = self.day;
            return self.say(&format!(
                "Day {days}. The lighthouse of home at first light, and the quay before noon. All hands well, and the cat fatter than she left."
            ));
        }
        self.ahead = Some(left);
        let way = match (made, lost) {
            (0, 0) => "We are where we were.".to_owned(),
            (0, _) => format!("Driven back {lost} miles."),
            _ => format!("{made} miles made good, {left} to go."),
        };
        let aboard = match self.dice.roll(3) {
            0 => format!(" {}", self.dice.pick(&ABOARD)),
            _ => String::new(),
        };
        let day = self.day;
        self.say(&format!("Day {day}. {weather}. {way}{aboard}"));
    }
}

impl Iterator for Voyage {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.words.is_empty() {
            self.sail(self.ahead?);
        }
        self.words.pop_front()
    }
}

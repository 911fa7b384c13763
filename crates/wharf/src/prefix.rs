//! What lines of several components begin with, so that one sees whose they are.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};

/// ECMA-48 SGR: cyan, yellow, green, magenta, blue, and their bright forms. Red is for what is wrong.
const COLORS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// Names, each with a color of its own while there are enough. Cheap to clone: a clone is the same.
#[derive(Clone, Debug)]
pub struct Prefixes {
    names: Arc<Mutex<Vec<String>>>,
    /// Colors are wanted where there is a terminal.
    in_color: bool,
}

impl Prefixes {
    /// As the user's environment wants them (`NO_COLOR`, which counts unless it is empty: no-color.org).
    pub fn from_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn new(in_color: bool) -> Self {
        Self {
            names: Arc::default(),
            in_color,
        }
    }

    /// What a line of `name` begins with.
    pub fn of(&self, name: &str, is_terminal: bool) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        match is_terminal && self.in_color {
            true => format!("\x1b[{}m{name} |\x1b[0m ", COLORS[nth % COLORS.len()]),
            false => format!("{name} | "),
        }
    }

    /// All lines of a text for standard error, each behind its prefix.
    pub fn lines(&self, name: &str, text: &str) -> String {
        let prefix = self.of(name, io::stderr().is_terminal());
        text.lines().map(|line| format!("{prefix}{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_colors_of_their_own_on_a_terminal_alone() {
        let prefixes = Prefixes::new(true);
        assert_eq!(prefixes.of("shop/api", false), "shop/api | ");
        assert_eq!(prefixes.of("shop/cache", true), "\x1b[33mshop/cache |\x1b[0m ");
        assert_eq!(prefixes.of("shop/api", true), "\x1b[36mshop/api |\x1b[0m ");
        assert_eq!(Prefixes::new(false).of("shop", true), "shop | ");
    }
}

//! What a build is at: lines that change in place on a terminal, lines that follow each other in a log.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use terminal_size::{Height, Width, terminal_size_of};
use wharf_build::{BuildError, Event, Job, Outcome};

use crate::size::size;

/// How often lines change: often enough to look alive, seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(100);

const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// Tells standard error of a build, from its beginning until [`Progress::end`].
pub struct Progress {
    rows: Arc<Mutex<Rows>>,
    /// Ends whoever draws, on a terminal.
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The components, in the manifest's order.
struct Rows {
    rows: Vec<Row>,
    /// Lines that stand on the terminal already.
    drawn: usize,
}

struct Row {
    name: String,
    state: State,
}

enum State {
    Waiting,
    Since(Instant),
    /// How it ended, and what is to be said beside.
    Ended(String, Vec<String>),
}

impl Progress {
    pub fn new(jobs: &[Job]) -> Self {
        let rows = jobs.iter().map(|job| Row {
            name: job.name.clone(),
            state: State::Waiting,
        });
        let rows = Arc::new(Mutex::new(Rows {
            rows: rows.collect(),
            drawn: 0,
        }));
        let painter = fits(jobs.len()).then(|| {
            let (end, ended) = mpsc::channel();
            let rows = rows.clone();
            let painter = thread::spawn(move || {
                let begun = Instant::now();
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    draw(&rows, begun);
                }
                draw(&rows, begun);
            });
            (end, painter)
        });
        Self { rows, painter }
    }

    /// Takes in what happened.
    pub fn report(&self, job: &Job, event: &Event<'_>) {
        let state = match event {
            Event::Began => State::Since(Instant::now()),
            Event::Ended(result, elapsed) => State::Ended(ending(result, *elapsed), notes(result)),
        };
        if self.painter.is_none() {
            say(&lines(&job.name, &state));
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.rows.iter_mut().find(|row| row.name == job.name) {
            row.state = state;
        }
    }

    /// Leaves the last state standing.
    pub fn end(self) {
        if let Some((end, painter)) = self.painter {
            drop(end);
            let _ = painter.join();
        }
        // On a terminal they would stand in the way of the lines that change.
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.drawn > 0 {
            for row in &rows.rows {
                if let State::Ended(_, notes) = &row.state {
                    say(&notes
                        .iter()
                        .map(|note| format!("warning: {note}\n"))
                        .collect::<String>());
                }
            }
        }
    }
}

/// How it ended, in a few words.
pub fn ending(result: &Result<Outcome, BuildError>, elapsed: Duration) -> String {
    match result {
        Ok(outcome) => {
            let what = if outcome.changed { "built" } else { "unchanged" };
            format!("{what}, {}, in {}", size(outcome.bytes), seconds(elapsed))
        }
        Err(_) => format!("failed after {}", seconds(elapsed)),
    }
}

/// What is to be said beside.
pub fn notes(result: &Result<Outcome, BuildError>) -> Vec<String> {
    let notes = result.iter().flat_map(|outcome| &outcome.notes);
    notes.map(ToString::to_string).collect()
}

/// What a log says of a new state.
fn lines(name: &str, state: &State) -> String {
    match state {
        State::Waiting => String::new(),
        State::Since(_) => format!("{name}: building\n"),
        State::Ended(ending, notes) => {
            let notes = notes.iter().map(|note| format!("{name}: warning: {note}\n"));
            format!("{name}: {ending}\n{}", notes.collect::<String>())
        }
    }
}

/// Whether so many lines can change in place: on a terminal that has more. What has left its top cannot be written over.
fn fits(lines: usize) -> bool {
    let height = terminal_size_of(io::stderr()).map(|(_, Height(lines))| usize::from(lines));
    io::stderr().is_terminal() && height.is_none_or(|height| height == 0 || lines < height)
}

/// Writes all lines over those that stand there.
fn draw(rows: &Mutex<Rows>, begun: Instant) {
    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let width = rows
        .rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    if rows.drawn > 0 {
        // ECMA-48: CPL, to the beginning of the line that many lines up.
        let _ = write!(text, "\x1b[{}F", rows.drawn);
    }
    let turn = (begun.elapsed().as_millis() / TICK.as_millis()) as usize % SPINNER.len();
    let columns = terminal_size_of(io::stderr()).map_or(0, |(Width(columns), _)| usize::from(columns));
    for row in &rows.rows {
        // EL: erases what is left of the line that stood there.
        let _ = writeln!(text, "{}\x1b[K", row.line(width, SPINNER[turn], columns));
    }
    rows.drawn = rows.rows.len();
    say(&text);
}

impl Row {
    /// What it is at, with its name in so many columns, and no wider than the terminal, if that says how wide it is: what is wrapped takes
    /// a second line, which is not written over.
    fn line(&self, width: usize, spinner: char, columns: usize) -> String {
        let (mark, state) = match &self.state {
            State::Waiting => (' ', "waiting".to_owned()),
            State::Since(since) => (spinner, format!("building, {}", seconds(since.elapsed()))),
            State::Ended(ending, _) if ending.starts_with("failed") => ('x', ending.clone()),
            State::Ended(ending, _) => ('*', ending.clone()),
        };
        let line = format!("{mark} {:width$}  {state}", self.name);
        match columns {
            0 => line,
            columns => line.chars().take(columns).collect(),
        }
    }
}

/// Whether or not anybody reads it.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_terminal() {
        let ended = |ending: &str| State::Ended(ending.to_owned(), Vec::new());
        for (name, state, columns, expected) in [
            ("shop", State::Waiting, 80, "  shop    waiting"),
            (
                "shop/ä",
                ended("built, 1 MiB, in 2.0 s"),
                80,
                "* shop/ä  built, 1 MiB, in 2.0 s",
            ),
            ("shop/b", ended("built, 1 MiB, in 2.0 s"), 12, "* shop/b  bu"),
            ("shop/ä", ended("failed after 2.0 s"), 8, "x shop/ä"),
            ("shop", ended("failed after 2.0 s"), 0, "x shop    failed after 2.0 s"),
        ] {
            let row = Row {
                name: name.to_owned(),
                state,
            };
            assert_eq!(row.line(6, '|', columns), expected);
        }
    }
}

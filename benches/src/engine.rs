//! What no client sees: the engine in a process of its own, driven by `wharf-bench-engine` (the folder `engine` beside
//! this one), which prints one JSON object for each round.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::contestants::Contestants;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::stats::shown;
use crate::table::Table;
use crate::workloads::Workload;

/// What the program is asked for, and what the figures are that it gives.
struct Asked {
    word: &'static str,
    /// Their names there, what they say, and the digits that mean something.
    figures: &'static [(&'static str, &'static str, usize)],
    quick: bool,
}

const ASKED: &[Asked] = &[
    Asked {
        word: "calls",
        figures: &[
            (
                "call_us_median",
                "async call between two composed components, CPU µs",
                2,
            ),
            ("call_us_min", "the same, the fastest row of 1,000 calls", 2),
            (
                "linked_us_median",
                "async call to a component with an instance of its own, CPU µs",
                2,
            ),
            ("linked_us_min", "the same, the fastest row of 1,000 calls", 2),
            ("direct_us_median", "async call within one component, CPU µs", 4),
            ("direct_us_min", "the same, the fastest row of 1,000,000 calls", 4),
        ],
        quick: true,
    },
    Asked {
        word: "cold",
        figures: &[
            (
                "first_response_us",
                "compiled app never touched before: first response, CPU µs",
                0,
            ),
            ("open_us", "of these: its file is checked, mapped and linked", 0),
            ("first_request_us", "of these: an instance is made and answers", 0),
            (
                "first_in_process_us",
                "first response of the first app in a process, CPU µs",
                0,
            ),
        ],
        quick: true,
    },
    Asked {
        word: "cold-python",
        figures: &[
            (
                "python_first_response_us",
                "the same of a service in Python: first response, CPU µs",
                0,
            ),
            ("python_open_us", "of these: its file is checked, mapped and linked", 0),
            (
                "python_first_request_us",
                "of these: an instance is made and answers",
                0,
            ),
        ],
        quick: false,
    },
    Asked {
        word: "apps",
        figures: &[
            ("open_all_ms", "1,000 different compiled apps opened, ms", 0),
            ("open_all_cpu_ms", "the same, CPU ms", 0),
            ("kib_each", "resident memory of an open app, KiB", 0),
        ],
        quick: false,
    },
    Asked {
        word: "crowd",
        figures: &[
            (
                "shared_parked_kib",
                "10,000 requests parked in one instance: each, KiB",
                1,
            ),
            (
                "serial_parked_kib",
                "10,000 requests parked in an instance each: each, KiB",
                1,
            ),
            (
                "idle_instance_kib",
                "the 10,000 instances at rest after that: each, KiB",
                1,
            ),
            ("serial_maps", "mappings of the process with 10,000 live instances", 0),
        ],
        quick: false,
    },
];

/// Compiling a thousand apps is part of the first round.
const DEADLINE: Duration = Duration::from_secs(900);

/// All figures, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    // Kept between runs: what is compiled is the same each time.
    let cache = contestants.scratch("engine");
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let asked: Vec<_> = ASKED.iter().filter(|asked| asked.quick || !plan.quick).collect();
    for _ in 0..plan.rounds {
        for asked in &asked {
            let mut command = place.client(contestants.program("wharf-bench-engine"), DEADLINE);
            command.arg(asked.word).arg(&plan.guests).arg(&cache);
            let printed = crate::client::output(&mut command, asked.word)?;
            let figures: Map<String, Value> = serde_json::from_str(&printed).context(asked.word)?;
            for (name, _, _) in asked.figures {
                let value = figures.get(*name).and_then(Value::as_f64);
                let value = value.with_context(|| format!("{} gave no {name}", asked.word))?;
                values.entry(name).or_default().push(value);
            }
        }
    }
    let mut table = Table::new(&["figure", "median"]);
    let mut figures = Vec::new();
    for (name, says, digits) in asked.iter().flat_map(|asked| asked.figures) {
        let values = values.remove(name).unwrap_or_default();
        table.row([(*says).to_owned(), shown(&values, *digits)]);
        figures.push(json!({ "name": name, "values": values }));
    }
    let mut section = Section::new("engine", workload, place, table);
    section.figures = figures;
    section.notes.push(note(plan.rounds));
    Ok(section)
}

fn note(rounds: usize) -> String {
    format!(
        "{rounds} rounds of `wharf-bench-engine WORD GUESTS CACHE`, in the profile release (without the link-time\n\
         optimisation of the profile that people install), on one thread. Processor time is the thread's own. The engine\n\
         holds 10,000 instances at most where as many are measured, else its default."
    )
}

//! Wharf, with counters.

mod tally;

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let mut kinds = wharf_capabilities::kinds();
    kinds.push(Arc::new(tally::TallyKind));
    wharf::main(kinds)
}

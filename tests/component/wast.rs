//! Runs `wast/*.wast`: the async component ABI, one subject per file, without a toolchain in between.
//!
//! What a guest sees of the ABI is numbers. A file therefore lists, per export, the numbers its core code wrote down,
//! and the comment beside them says what they mean.

use std::collections::BTreeSet;
use std::path::Path;

use wasmtime_wast::{Async, SpectestConfig, WastContext};

use crate::engine::{engine, without_deadline};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/component/wast");

fn check(subject: &str) {
    let file = Path::new(FOLDER).join(format!("{subject}.wast"));
    run(subject, &std::fs::read_to_string(file).unwrap());
}

/// Runs one script; `subject` names it where it fails.
pub fn run(subject: &str, script: &str) {
    let mut context = WastContext::new(engine(), Async::Yes, without_deadline);
    // The spectest imports are the engine authors' small host: functions that answer at once, late or never.
    let spectest = SpectestConfig {
        use_shared_memory: false,
        suppress_prints: true,
    };
    context.register_spectest(&spectest).unwrap();
    if let Err(error) = context.run_wast(subject, script.as_bytes()) {
        panic!("{subject}: {error:#}");
    }
}

macro_rules! subjects {
    ($($name:ident = $subject:literal,)*) => {
        $(#[test] fn $name() { check($subject); })*

        #[test]
        fn every_file_has_a_test() {
            let on_disk: BTreeSet<String> = std::fs::read_dir(FOLDER)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            let listed: BTreeSet<String> = [$($subject.to_owned()),*].into();
            assert_eq!(on_disk, listed);
        }
    };
}

subjects! {
    backpressure = "backpressure",
    blocking = "blocking",
    borrow = "borrow",
    cancel = "cancel",
    context = "context",
    error_context = "error-context",
    future = "future",
    host_calls = "host-calls",
    instances = "instances",
    lift_lower = "lift-lower",
    stream = "stream",
    stream_passing = "stream-passing",
    task_return = "task-return",
    waitable_set = "waitable-set",
    yields = "yield",
}

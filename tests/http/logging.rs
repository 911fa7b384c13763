//! `wasi:logging`: what guests say, in the server's log, as much as they may.

use wharf_tests::eventually;

use crate::operator::metric;
use crate::stores::Stores;

#[test]
fn lines_are_in_the_log() {
    let stores = Stores::serve("logging", "[logging]\nlevel = \"debug\"\nline = \"20B\"\n");
    let cases = [
        ("level=debug&context=a&message=one", "DEBUG", "\"one\""),
        ("level=info&message=two", "INFO", "\"two\""),
        ("level=warn&message=three", "WARN", "\"three\""),
        ("level=error&message=four", "ERROR", "\"four\""),
        ("level=critical&message=five", "ERROR", "critical=true"),
        // What ends a line in it ends none of the log.
        ("message=x%0aERROR%20y", "INFO", "\"x\\nERROR y\""),
        ("message=%1b%5b31m", "INFO", "\"\\u{1b}[31m\""),
        ("bytes=1000", "INFO", "\"xxxxxxxxxxxxxxxxxxxx\""),
    ];
    for (query, level, expected) in cases {
        assert_eq!(stores.get(&format!("/?{query}")), "logged");
        let is_it = |line: &&str| line.contains(level) && line.contains(expected) && line.contains("app=\"shop\"");
        eventually(
            || stores.server.log().lines().any(|line| is_it(&line)),
            &format!("{query} in the log"),
        );
    }
    stores.get("/?level=trace&message=unseen");
    stores.get("/?level=info&message=last");
    stores.server.says("last");
    let log = stores.server.log();
    assert!(!log.contains("unseen"), "{log}");
    assert!(log.contains("context=\"a\"") && log.contains("logging.wasm"), "{log}");
}

#[test]
fn a_guest_that_does_not_stop() {
    let stores = Stores::serve("logging", "[logging]\nrate = 5\n");
    assert_eq!(stores.get("/?message=again&times=10000"), "logged");
    let lines = |outcome: &str| {
        let name = format!("wharf_logging_lines_total{{app=\"shop\",outcome=\"{outcome}\"}}");
        metric(stores.admin, &name).expect("it is counted")
    };
    let written = lines("written");
    // A few for each second that it takes.
    assert!((50.0..1000.0).contains(&written), "{written}");
    assert_eq!(written + lines("left-out"), 10_000.0);
    // Once there is room again it is said how many are missing.
    eventually(
        || {
            stores.get("/?message=later");
            stores.server.log().contains("lines are left out") && stores.server.log().contains("later")
        },
        "what was left out to be said",
    );
}

//! The hook that bindings for Go ask its runtime for.
//!
//! The bindings must learn when no goroutine can go on, to return to the host. They ask for a function of the runtime that no
//! released Go has (golang/go#76775); the alternative is a patched Go, built from source. So the compiler is given a changed copy of one
//! file.

/// The file, below Go's own folder.
pub(super) const FILE: &str = "src/runtime/lock_wasip1.go";

/// That file with a function `wasiOnIdle`, which sets what the scheduler calls when it has nothing to run. Fails, with the number of
/// places found, where a text to replace is missing or ambiguous: then another Go is installed than this was written for.
pub(super) fn with_idle_hook(source: &str) -> Result<String, usize> {
    let source = replace_once(source, "package runtime\n", HOOK)?;
    replace_once(&source, BEFORE, AFTER)
}

/// `go:linkname` is only allowed in files that import `unsafe`.
const HOOK: &str = "\
package runtime

import _ \"unsafe\"

var idleHook func() bool

//go:linkname wasiOnIdle
func wasiOnIdle(hook func() bool) {
\tidleHook = hook
}
";

const BEFORE: &str = "\
func beforeIdle(int64, int64) (*g, bool) {
\treturn nil, false
}
";

/// With a timer pending, the scheduler has something to wait for. Write barriers are allowed since the hook sends on a
/// channel, as they are in the same place of Go for JavaScript.
const AFTER: &str = "\
//go:yeswritebarrierrec
func beforeIdle(now, pollUntil int64) (*g, bool) {
\treturn nil, pollUntil == 0 && idleHook != nil && idleHook()
}
";

fn replace_once(source: &str, old: &str, new: &str) -> Result<String, usize> {
    match source.matches(old).count() {
        1 => Ok(source.replace(old, new)),
        found => Err(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_runtime_of_go_is_refused() {
        for (times, expected) in [(1, Ok(format!("{HOOK}\n{AFTER}"))), (0, Err(0)), (2, Err(2))] {
            let source = format!("package runtime\n\n{}", BEFORE.repeat(times));
            assert_eq!(with_idle_hook(&source), expected);
        }
    }
}

//! Keeps the server's memory, in which secrets are as they are, out of core dumps and from other processes.

/// From now on the system writes no core dump of this process. On Linux processes of the same user may no longer look into it
/// either, neither as debuggers nor at the environment it was started with; the administrator may.
///
/// Processes that this one starts are as others are: that is theirs to say, and secrets are kept from them.
pub(super) fn forbid() {
    #[cfg(target_os = "linux")]
    let forbidden = {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Not by the limit of a core's size: where cores go to a program, that is asked by none but some.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
    };
    #[cfg(all(unix, not(target_os = "linux")))]
    let forbidden = {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = Rlimit {
            current: Some(0),
            ..getrlimit(Resource::Core)
        };
        setrlimit(Resource::Core, limit)
    };
    #[cfg(unix)]
    if let Err(error) = forbidden {
        tracing::warn!(%error, "core dumps of the server cannot be turned off: one would hold the secrets of its apps");
    }
}

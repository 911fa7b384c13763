//! How much memory SQLite takes in this process, all of its databases together.
//!
//! SQLite knows no bound for one connection: a sort of large rows alone has a buffer for each of them. So this is the last
//! resort: who asks for more is told `SQLITE_NOMEM`, and what its statement had is free again. It is one bound because there is
//! one allocator, and it can only be lowered while the process runs, which is why it is nobody's setting.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::Connection;

/// A quarter of what there is: guests, and what they are answered with, have the rest.
const SHARE: u64 = 4;
/// Where nobody says how much there is.
const UNKNOWN_BYTES: u64 = 1 << 30;
/// Less would not let the connections of an app have their caches.
const LEAST_BYTES: u64 = 32 << 20;

/// Sees to it that there is a bound. Asked for by every connection, since the first may be anybody's.
pub(crate) fn bound(connection: &Connection) -> rusqlite::Result<()> {
    static BYTES_MAX: OnceLock<u64> = OnceLock::new();
    let bytes_max = *BYTES_MAX.get_or_init(|| (machine_bytes() / SHARE).max(LEAST_BYTES));
    lower(connection, bytes_max)
}

/// Lowers the bound of the process; tests that do have a process of their own.
pub(crate) fn lower(connection: &Connection, bytes_max: u64) -> rusqlite::Result<()> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    connection.pragma_update(None, "hard_heap_limit", bytes_max)
}

/// How much memory there is for this process: the machine's, or less where it is in a group that has less.
fn machine_bytes() -> u64 {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = machine(&text("/proc/meminfo")).unwrap_or(UNKNOWN_BYTES);
    let groups = group(&text("/proc/self/cgroup")).map(|group| of_groups(Path::new("/sys/fs/cgroup"), &group));
    groups.flatten().map_or(machine, |least| least.min(machine))
}

fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The group of this process (cgroups, version 2).
fn group(cgroup: &str) -> Option<String> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(group.to_owned())
}

/// The least that a group or one around it may have. In a container its own is often all that is to be seen, as the root.
fn of_groups(root: &Path, group: &str) -> Option<u64> {
    let inner = root.join(group);
    let around = inner.ancestors().take_while(|folder| folder.starts_with(root));
    let bounds = around.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok());
    bounds.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has_is_understood() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:        22046720 kB\n";
        assert_eq!(machine(meminfo), Some(24_689_764 << 10));
        assert_eq!(machine(""), None);
        let cgroup = "12:pids:/a\n0::/system.slice/wharf.service\n";
        assert_eq!(group(cgroup).as_deref(), Some("system.slice/wharf.service"));
        assert!(machine_bytes() > 0);
    }

    #[test]
    fn the_least_of_the_groups_counts() {
        let root = std::env::temp_dir().join(format!("wharf-heap-{}", std::process::id()));
        let inner = root.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let cases = [
            (["max", "max"], None),
            (["1048576", "max"], Some(1 << 20)),
            (["max", "2097152"], Some(2 << 20)),
            (["1048576", "2097152"], Some(1 << 20)),
        ];
        for (bounds, expected) in cases {
            for (folder, bound) in [root.join("a"), inner.clone()].iter().zip(bounds) {
                fs::write(folder.join("memory.max"), format!("{bound}\n")).unwrap();
            }
            assert_eq!(of_groups(&root, "a/b"), expected, "{bounds:?}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}

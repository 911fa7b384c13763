//! What the filesystem must not do: let a guest out of its directories, hold bytes back, hold up anything else.

use std::fs;
use std::os::unix::fs::symlink;

use wharf_tests::Scratch;

use crate::filesystem::{Folders, check_in};
use crate::run::{Conversation, versions};

/// Ways out of `/work`, each ending in the folder `outside`: made by the host, and in the words of the path itself.
fn ways_out(folders: &Folders) -> Vec<String> {
    let outside = folders.path("outside");
    for (link, target) in [
        ("work/relative", "../outside".into()),
        ("work/absolute", outside.clone()),
        ("work/directory/upwards", "../../outside".into()),
        ("work/first", "second".into()),
        ("work/second", "relative".into()),
        ("work/parent", "..".into()),
    ] {
        // The folders are fresh for every table, but the ways are asked for more than once.
        let _ = symlink(target, folders.path(link));
    }
    let mut ways = [
        "../outside",
        "directory/../../outside",
        "directory/../..//outside",
        "../work/../outside",
    ]
    .to_vec();
    ways.extend([
        "relative",
        "absolute",
        "directory/upwards",
        "first",
        "parent/outside",
        "./directory/../relative",
    ]);
    let mut ways: Vec<String> = ways.into_iter().map(str::to_owned).collect();
    ways.push(outside.display().to_string());
    ways
}

#[test]
fn no_path_leads_out() {
    let folders = Folders::new();
    for way in ways_out(&folders) {
        // The last way is an absolute path, into folders that are gone by then: it must be refused all the same.
        let secret = format!("{way}/secret");
        let new = format!("{way}/new");
        let refused = "err not-permitted";
        check_in(
            |folders| drop(ways_out(folders)),
            &[
                (&format!("open-at /work {secret} read"), refused),
                (&format!("open-at /work {secret} follow read"), refused),
                (&format!("open-at /work {secret} write truncate"), refused),
                (&format!("open-at /work {new} create write"), refused),
                (&format!("open-at /work {way} follow directory read"), refused),
                (&format!("stat-at /work {secret}"), refused),
                (&format!("stat-at /work {secret} follow"), refused),
                (&format!("set-times-at /work {secret} 1:0 1:0"), refused),
                (&format!("set-times-at /work {secret} 1:0 1:0 follow"), refused),
                (&format!("metadata-hash-at /work {secret}"), refused),
                (&format!("readlink-at /work {secret}"), refused),
                (&format!("create-directory-at /work {new}"), refused),
                (&format!("remove-directory-at /work {new}"), refused),
                (&format!("unlink-file-at /work {secret}"), refused),
                (&format!("link-at /work {secret} /work new"), refused),
                (&format!("link-at /work file /work {new}"), refused),
                (&format!("rename-at /work {secret} /work new"), refused),
                (&format!("rename-at /work file /work {new}"), refused),
                (&format!("rename-at /other file /work {new}"), refused),
                (&format!("symlink-at /work file {new}"), refused),
                ("f=open-at /work file read", "ok"),
                ("read f 0", "ok hello world"),
            ],
        );
    }
}

#[test]
fn no_link_of_the_guests_own_leads_out() {
    check_in(
        |_| {},
        &[
            ("symlink-at /work /etc/hostname absolute", "err not-permitted"),
            // A relative target may say anything; following it is what counts.
            ("symlink-at /work ../outside/secret file-link", "ok"),
            ("open-at /work file-link follow read", "err not-permitted"),
            ("open-at /work file-link follow write truncate", "err not-permitted"),
            ("stat-at /work file-link follow", "err not-permitted"),
            ("set-times-at /work file-link 1:0 1:0 follow", "err not-permitted"),
            ("symlink-at /work ../outside way", "ok"),
            ("open-at /work way/secret read", "err not-permitted"),
            ("create-directory-at /work way/new", "err not-permitted"),
            ("symlink-at /work ../outside/new dangling", "ok"),
            ("open-at /work dangling follow create write", "err not-permitted"),
            ("symlink-at /work way/secret second", "ok"),
            ("open-at /work second follow read", "err not-permitted"),
            // Moved one level down, a harmless link would lead elsewhere; here it leads nowhere still.
            ("symlink-at /work directory/../../outside/secret deep", "ok"),
            ("rename-at /work deep /work directory/deep", "ok"),
            (
                "open-at /work directory/deep follow read",
                "err not-permitted or err no-entry",
            ),
            ("rename-at /work way /other way", "ok"),
            ("open-at /other way/secret read", "err not-permitted"),
            ("link-at /work file-link /other file-link", "ok"),
            ("open-at /other file-link follow read", "err not-permitted"),
        ],
    );
}

#[test]
fn an_absolute_link_is_not_read() {
    check_in(
        |folders| symlink("/etc/hostname", folders.path("work/link")).expect("a link can be made"),
        &[
            ("readlink-at /work link", "err not-permitted"),
            ("open-at /work link follow read", "err not-permitted"),
            ("stat-at /work link follow", "err not-permitted"),
            ("unlink-file-at /work link", "ok"),
        ],
    );
}

#[test]
fn a_directory_that_is_swapped_for_a_link_stays_the_directory() {
    check_in(
        |_| {},
        &[
            ("d=open-at /work directory directory read", "ok"),
            ("rename-at /work directory /work moved", "ok"),
            ("symlink-at /work ../outside directory", "ok"),
            ("i=open-at d inner read", "ok"),
            ("read i 0", "ok inner"),
            ("open-at d ../directory/secret read", "err not-permitted"),
            ("open-at d ../file read", "err not-permitted"),
        ],
    );
}

#[test]
fn read_only_directories_are_only_read() {
    let refused = "err read-only or err not-permitted";
    check_in(
        |folders| symlink("file", folders.path("work/link")).expect("a link can be made"),
        &[
            ("f=open-at /read file read", "ok"),
            ("read f 0", "ok hello world"),
            ("d=open-at /read directory directory read", "ok"),
            ("i=open-at d inner read", "ok"),
            ("read-directory d", "ok inner:regular-file"),
            ("readlink-at /read link", "ok file"),
            ("stat-at /read file", "ok regular-file links:1 size:11"),
            ("open-at /read file write", refused),
            ("open-at /read file read write", refused),
            ("open-at /read file read truncate", refused),
            ("open-at /read file truncate", refused),
            ("open-at /read new create read", refused),
            ("open-at /read new create write", refused),
            ("open-at /read link follow write", refused),
            ("open-at d inner write", refused),
            ("open-at d new create write", refused),
            ("write f 0 x", refused),
            ("append f x", refused),
            ("set-size f 0", refused),
            ("set-times f 1:0 1:0", refused),
            ("set-times d 1:0 1:0", refused),
            ("set-times-at /read file 1:0 1:0", refused),
            ("set-times-at /read link 1:0 1:0", refused),
            ("create-directory-at /read new", refused),
            ("create-directory-at d new", refused),
            ("remove-directory-at /read directory", refused),
            ("unlink-file-at /read file", refused),
            ("unlink-file-at d inner", refused),
            ("rename-at /read file /read new", refused),
            ("rename-at /read file /other new", refused),
            ("rename-at /other file /read new", refused),
            ("link-at /read file /read new", refused),
            // To a writable place, a link would make the file itself writable.
            ("link-at /read file /other new", refused),
            ("link-at /other file /read new", refused),
            ("symlink-at /read file new", refused),
            (
                "read-directory /work",
                "ok directory:directory file:regular-file link:symbolic-link",
            ),
            ("read-directory /other", "ok file:regular-file"),
            ("read f 0", "ok hello world"),
        ],
    );
}

/// The most memory a process has had so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("the kernel tells");
    kibibytes.trim().parse::<u64>().expect("a number") << 10
}

/// Peak memory of the host after the guest wrote and read a file.
#[cfg(target_os = "linux")]
fn peak_memory_after(name: &str, mebibytes: u64) -> u64 {
    let scratch = Scratch::new();
    let directory = format!("{}::/", scratch.display());
    let mut guest = Conversation::start(name, &["--dir", &directory], &[&mebibytes.to_string()]);
    let bytes = mebibytes << 20;
    assert_eq!(guest.line(), format!("written {bytes}"));
    assert_eq!(guest.line(), format!("read {bytes}"));
    let peak = peak_memory_bytes(guest.process());
    assert!(guest.end().success());
    assert_eq!(fs::metadata(scratch.join("bulk")).expect("it was written").len(), bytes);
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_a_file() {
    for name in versions("filesystem-bulk") {
        // The first run may compile.
        peak_memory_after(&name, 1);
        let small = peak_memory_after(&name, 1);
        let big = peak_memory_after(&name, 64);
        assert!(big < small + (16 << 20), "{small} bytes for 1 MiB, {big} for 64 MiB");
    }
}

fn folder_with_pipe() -> Scratch {
    let scratch = Scratch::new();
    let made = std::process::Command::new("mkfifo").arg(scratch.join("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    scratch
}

#[test]
fn a_call_that_waits_for_the_disk_holds_up_nothing_else() {
    for name in versions("filesystem-overlap") {
        let scratch = folder_with_pipe();
        let directory = format!("{}::/", scratch.display());
        let mut guest = Conversation::start(&name, &["--dir", &directory], &[]);
        for number in 1..=5 {
            assert_eq!(guest.line(), format!("tick {number}"));
        }
        let _writer = fs::File::options()
            .write(true)
            .open(scratch.join("pipe"))
            .expect("the guest reads");
        assert_eq!(guest.line(), "opened true");
        assert!(guest.end().success());
    }
}

#[test]
fn a_call_that_never_ends_does_not_keep_the_program_alive() {
    for name in versions("filesystem-overlap") {
        let scratch = folder_with_pipe();
        let directory = format!("{}::/", scratch.display());
        let mut guest = Conversation::start(&name, &["--dir", &directory], &["abandon"]);
        for number in 1..=5 {
            assert_eq!(guest.line(), format!("tick {number}"));
        }
        assert!(guest.end().success());
    }
}

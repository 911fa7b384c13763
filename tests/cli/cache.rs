//! Where compiled code is kept, and what happens where it cannot be.

#[cfg(unix)]
use std::fs::Permissions;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_tests::{Scratch, finish, wharf};

use crate::components::{command03, file};

/// Runs a component with flags and variables; all of them begin without any cache folder of the tests' own.
#[track_caller]
fn check_runs(component: &Path, adjust: impl FnOnce(&mut Command)) -> String {
    let mut command = wharf();
    command.arg("run").env_remove("WHARF_CACHE");
    adjust(&mut command);
    command.arg(component);
    let finished = finish(&mut command, "");
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    finished.stderr
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    // Not the notes beside them.
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "cwasm"))
        .collect()
}

#[test]
fn compiled_code_is_kept_where_it_is_asked_for() {
    let (_scratch, component) = file("tool.wasm", command03("i32.const 0"));
    let folders = Scratch::new();
    let [flag, variable, home] = ["flag", "variable", "home"].map(|name| folders.join(name));
    check_runs(&component, |command| {
        command.arg("--cache").arg(&flag).env("WHARF_CACHE", &variable);
    });
    assert_eq!(
        (entries(&flag).len(), entries(&variable).len()),
        (1, 0),
        "the flag is stronger"
    );
    check_runs(&component, |command| {
        command.env("WHARF_CACHE", &variable);
    });
    assert_eq!(entries(&variable).len(), 1);
    // An empty variable is none.
    if cfg!(all(unix, not(target_os = "macos"))) {
        check_runs(&component, |command| {
            command.env("WHARF_CACHE", "").env("XDG_CACHE_HOME", &home);
        });
        assert_eq!(entries(&home.join("wharf")).len(), 1);
    }
}

#[test]
fn nothing_is_kept_when_that_is_asked_for() {
    let (_scratch, component) = file("tool.wasm", command03("i32.const 0"));
    let folders = Scratch::new();
    check_runs(&component, |command| {
        command
            .arg("--no-cache")
            .env("WHARF_CACHE", folders.join("a"))
            .env("XDG_CACHE_HOME", folders.join("b"));
    });
    assert_eq!(entries(folders.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_damaged_entry_is_compiled_anew() {
    let (_scratch, component) = file("tool.wasm", command03("i32.const 0"));
    let cache = Scratch::new();
    let run = || {
        check_runs(&component, |command| {
            command.arg("--cache").arg(cache.path());
        })
    };
    run();
    let [entry] = &entries(cache.path())[..] else {
        panic!("one entry")
    };
    let whole = std::fs::read(entry).expect("it can be read");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&b""[..], b"x", &whole[..whole.len() / 2], &flipped] {
        std::fs::write(entry, damaged).expect("it is ours");
        run();
        assert!(
            std::fs::read(entry).expect("it can be read") == whole,
            "{} bytes were not replaced",
            damaged.len()
        );
    }
}

/// What lies under a component's name is run only if it is that component's.
#[test]
fn an_entry_of_another_component_is_compiled_anew() {
    let cache = Scratch::new();
    let run = |component: &Path| {
        let finished = finish(wharf().args(["run", "--cache"]).arg(cache.path()).arg(component), "");
        finished.code()
    };
    let (_one, succeeds) = file("tool.wasm", command03("i32.const 0"));
    let (_two, fails) = file("tool.wasm", command03("i32.const 1"));
    assert_eq!(run(&succeeds), Some(0));
    let [of_one] = &entries(cache.path())[..] else {
        panic!("one entry")
    };
    assert_eq!(run(&fails), Some(1));
    let both = entries(cache.path());
    let of_other = both.iter().find(|entry| *entry != of_one).expect("a second entry");
    std::fs::copy(of_one, of_other).expect("they are ours");
    assert_eq!(run(&fails), Some(1), "another component's code ran");
    assert_eq!(run(&succeeds), Some(0));
}

/// What others could have written is machine code of theirs.
#[cfg(unix)]
#[test]
fn an_entry_that_others_can_write_to_is_compiled_anew() {
    use std::os::unix::fs::PermissionsExt;

    let (_scratch, component) = file("tool.wasm", command03("i32.const 0"));
    let cache = Scratch::new();
    let run = || {
        check_runs(&component, |command| {
            command.arg("--cache").arg(cache.path());
        })
    };
    let mode = |entry: &Path| entry.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(run(), "");
    let [entry] = &entries(cache.path())[..] else {
        panic!("one entry")
    };
    assert_eq!(mode(entry), 0o600);
    std::fs::set_permissions(entry, Permissions::from_mode(0o622)).expect("it is ours");
    let said = run();
    assert!(said.contains("others can write to it"), "{said}");
    assert_eq!(mode(entry), 0o600, "it was replaced");
    std::fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let finished = finish(wharf().args(["run", "--cache"]).arg(cache.path()).arg(&component), "");
    assert_eq!(finished.code(), Some(125), "{finished:?}");
    assert!(finished.stderr.contains("chmod go-w"), "{}", finished.stderr);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_used_costs_time_unless_it_was_asked_for() {
    let (scratch, component) = file("tool.wasm", command03("i32.const 0"));
    let plain = scratch.write("plain", "");
    let errors = check_runs(&component, |command| {
        command.env("XDG_CACHE_HOME", &plain).env("HOME", &plain);
    });
    assert!(errors.contains("compiled code is not kept"), "{errors}");
    check_runs(&component, |command| {
        command.env_remove("XDG_CACHE_HOME").env_remove("HOME");
    });
    let finished = finish(
        wharf()
            .args(["run", "--cache"])
            .arg(plain.join("below"))
            .arg(&component),
        "",
    );
    assert_eq!(finished.code(), Some(125), "{finished:?}");
    assert!(finished.stderr.contains("for compiled code"), "{}", finished.stderr);
}

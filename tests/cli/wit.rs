//! `wharf wit`: what is shown, and what comes of a project's folder.

use std::path::Path;

use wharf_tests::{Finished, Scratch, finish, wharf};

use crate::components::wharf_with;

fn add(folder: &Path, words: &[&str]) -> Finished {
    finish(wharf().args(["wit", "add"]).args(words).arg("--to").arg(folder), "")
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn packages_are_listed_and_shown() {
    let listed = wharf_with(["wit", "list"]);
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    for (name, part) in [
        ("wasi:http@0.3.2", "HTTP"),
        ("wharf:sql@0.1.0", "[sql]"),
        ("wasi:keyvalue@0.2.0-draft", "[keyvalue]"),
    ] {
        let line = listed.stdout.lines().find(|line| line.split(' ').next() == Some(name));
        assert!(line.is_some_and(|line| line.contains(part)), "{name}: {listed:?}");
    }
    for name in ["wharf:cache", "wharf:cache@0.1.0"] {
        let shown = wharf_with(["wit", "show", name]);
        assert!(shown.stdout.contains("package wharf:cache@0.1.0;"), "{shown:?}");
    }
    let slip = wharf_with(["wit", "show", "wasi:htpt"]);
    assert_eq!(slip.code(), Some(1), "{slip:?}");
    assert!(slip.stderr.contains("did you mean `wasi:http`"), "{slip:?}");
}

#[test]
fn packages_are_added_with_what_they_need() {
    let scratch = Scratch::new();
    let added = add(&scratch, &["wasi:http", "wharf:sql@0.1.0"]);
    assert_eq!(added.code(), Some(0), "{added:?}");
    for name in ["wasi-http-0.3.2", "wasi-clocks-0.3.2", "wharf-sql-0.1.0"] {
        assert!(
            text(&scratch.join("deps").join(name).join("package.wit")).contains("package "),
            "{name}"
        );
    }
    let lock = text(&scratch.join("wharf-wit.lock"));
    for part in [
        "name = \"wasi:http\"\nversion = \"0.3.2\"",
        "digest = \"blake3:",
        "wharf:sql",
    ] {
        assert!(lock.contains(part), "{part}: {lock}");
    }
    // Again is the same, and says so.
    let again = add(&scratch, &["wasi:http", "wharf:sql"]);
    assert_eq!(again.code(), Some(0), "{again:?}");
    assert!(
        again.stdout.lines().all(|line| line.starts_with("unchanged")),
        "{again:?}"
    );
    assert_eq!(text(&scratch.join("wharf-wit.lock")), lock);
    // A further one leaves the others in the lock.
    assert_eq!(add(&scratch, &["wharf:cache"]).code(), Some(0));
    let lock = text(&scratch.join("wharf-wit.lock"));
    assert!(lock.contains("wharf:cache") && lock.contains("wharf:sql"), "{lock}");
}

#[test]
fn local_changes_are_not_overwritten_silently() {
    let scratch = Scratch::new();
    assert_eq!(add(&scratch, &["wharf:sql"]).code(), Some(0));
    let file = scratch.write("deps/wharf-sql-0.1.0/package.wit", "package wharf:sql@0.1.0; // mine");
    let refused = add(&scratch, &["wharf:cache", "wharf:sql"]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    for part in ["deps/wharf-sql-0.1.0/package.wit", "changed", "--force"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert!(text(&file).ends_with("// mine"));
    assert!(
        !scratch.join("deps/wharf-cache-0.1.0").exists(),
        "nothing else was written"
    );
    assert_eq!(add(&scratch, &["wharf:sql", "--force"]).code(), Some(0));
    assert!(!text(&file).contains("mine"));
}

/// A file that an older version has written is not anybody's change.
#[test]
fn what_an_older_version_has_written_is_renewed() {
    let scratch = Scratch::new();
    assert_eq!(add(&scratch, &["wharf:sql"]).code(), Some(0));
    let lock_file = scratch.join("wharf-wit.lock");
    let file = scratch.join("deps/wharf-sql-0.1.0/package.wit");
    let (lock, now) = (text(&lock_file), text(&file));
    let digest = |lock: &str| {
        lock.split('"')
            .find(|part| part.starts_with("blake3:"))
            .expect("it has one")
            .to_owned()
    };
    scratch.write("deps/wharf-sql-0.1.0/package.wit", "");
    // The digest of nothing, from the specification of BLAKE3.
    let empty = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    scratch.write("wharf-wit.lock", lock.replace(&digest(&lock), empty));
    let renewed = add(&scratch, &["wharf:sql"]);
    assert!(renewed.stdout.starts_with("renewed"), "{renewed:?}");
    assert_eq!((text(&file), text(&lock_file)), (now, lock));
}

#[test]
fn a_damaged_lock_is_named_with_the_place() {
    let scratch = Scratch::new();
    scratch.write("wharf-wit.lock", "[[package]]\nname = 7\n");
    let refused = add(&scratch, &["wharf:sql"]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    for part in ["wharf-wit.lock", "line 2", "delete it and add all anew"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert!(!scratch.join("deps").exists());
}

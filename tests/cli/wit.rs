//! `wharf wit`: what is shown, and what comes of a project's folder.

use std::path::Path;

use wharf_tests::{Finished, Scratch, finish, guest, wharf};

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

/// What somebody has put into `deps` by hand stays where it is, and is not there twice.
#[test]
fn what_is_in_another_file_is_left_there() {
    let scratch = Scratch::new();
    let clocks = wharf_with(["wit", "show", "wasi:clocks"]).stdout;
    scratch.write("deps/clocks.wit", &clocks);
    scratch.write(
        "deps/random/random.wit",
        wharf_with(["wit", "show", "wasi:random"]).stdout,
    );
    scratch.write(
        "world.wit",
        "package local:shop;\nworld service { include wasi:http/service@0.3.2; }\n",
    );
    let added = add(&scratch, &["wasi:http"]);
    assert_eq!(added.code(), Some(0), "{added:?}");
    for (word, name, file) in [
        ("there", "wasi:clocks@0.3.2", "deps/clocks.wit"),
        ("there", "wasi:random@0.3.2", "deps/random/random.wit"),
        ("added", "wasi:http@0.3.2", "deps/wasi-http-0.3.2/package.wit"),
    ] {
        let mut lines = added
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let file = scratch.join(file).display().to_string();
        assert!(lines.any(|line| line == [word, name, &*file]), "{name}: {added:?}");
    }
    assert!(!scratch.join("deps/wasi-clocks-0.3.2").exists());
    assert_eq!(text(&scratch.join("deps/clocks.wit")), clocks);
    let lock = text(&scratch.join("wharf-wit.lock"));
    assert!(!lock.contains("clocks") && lock.contains("wasi:http"), "{lock}");
}

/// What differs from the lock is no component's to build on.
#[test]
fn what_is_not_as_the_lock_has_it_is_told_before_a_build() {
    let scratch = Scratch::new();
    let manifest =
        "name = 'shop'\ncomponent = 'app.wasm'\n[build]\ncommand = ['sh', '-c', 'cp source $WHARF_COMPONENT']\n";
    scratch.write("wharf.toml", manifest);
    scratch.write("source", std::fs::read(guest("http-hello")).unwrap());
    assert_eq!(add(&scratch.join("wit"), &["wharf:sql", "wharf:cache"]).code(), Some(0));
    let run = |command: &str| finish(wharf().arg(command).arg(scratch.path()), "");
    for command in ["build", "check"] {
        let right = run(command);
        assert_eq!(right.code(), Some(0), "{right:?}");
    }
    let file = scratch.join("wit/deps/wharf-sql-0.1.0/package.wit");
    let right = text(&file);
    scratch.write("wit/deps/wharf-sql-0.1.0/package.wit", format!("{right}\n// mine"));
    let other = scratch.join("wit/deps/wharf-cache-0.1.0/package.wit");
    std::fs::remove_file(&other).unwrap();
    for command in ["build", "check"] {
        let wrong = run(command);
        assert_eq!(wrong.code(), Some(1), "{wrong:?}");
        for part in [
            "wharf-wit.lock",
            &format!("{}: somebody has changed it", file.display()),
            "`wharf wit add wharf:sql@0.1.0 --to ",
            &format!("{}: it is not there", other.display()),
        ] {
            assert!(wrong.stderr.contains(part), "{part}: {wrong:?}");
        }
    }
    // As it says.
    assert_eq!(
        add(&scratch.join("wit"), &["wharf:sql@0.1.0", "--force"]).code(),
        Some(0)
    );
    assert_eq!(add(&scratch.join("wit"), &["wharf:cache@0.1.0"]).code(), Some(0));
    assert_eq!(run("build").code(), Some(0));
}

/// A project's folder `wit`, and beside it `store`, a package of somebody's that needs one in its own `deps` and one of Wharf's.
fn store_beside() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "store/types.wit",
        "package acme:store@1.2.0;\n/// Ours.\ninterface types { use acme:units/all.{weight}; record item { of: weight } }\n",
    );
    scratch.write(
        "store/store.wit",
        "interface store { use types.{item}; use wharf:sql/types@0.1.0.{value}; put: func(item: item, more: list<value>); }\n",
    );
    scratch.write(
        "store/deps/units/units.wit",
        "package acme:units;\ninterface all { type weight = u32; }\n",
    );
    scratch.write("store/deps/unused.wit", "this is no WIT");
    scratch
}

/// Adds what lies in the folder `store`.
fn add_store(scratch: &Scratch, words: &[&str]) -> Finished {
    let store = scratch.join("store").display().to_string();
    add(&scratch.join("wit"), &[&[&*store], words].concat())
}

const STORE: &str = "wit/deps/acme-store-1.2.0/store.wit";

#[test]
fn packages_of_ones_own_are_added_with_what_they_need() {
    let scratch = store_beside();
    let added = add_store(&scratch, &[]);
    assert_eq!(added.code(), Some(0), "{added:?}");
    for (file, source) in [
        (STORE, "store/store.wit"),
        ("wit/deps/acme-store-1.2.0/types.wit", "store/types.wit"),
        ("wit/deps/acme-units/units.wit", "store/deps/units/units.wit"),
    ] {
        assert_eq!(text(&scratch.join(file)), text(&scratch.join(source)), "{file}");
    }
    let sql = scratch.join("wit/deps/wharf-sql-0.1.0/package.wit");
    assert!(text(&sql).contains("package wharf:sql@0.1.0;"));
    let lock = text(&scratch.join("wit/wharf-wit.lock"));
    for part in [
        "name = \"acme:store\"\nversion = \"1.2.0\"\nfile = \"deps/acme-store-1.2.0/store.wit\"\ndigest = \"blake3:",
        "from = \"../store\"\n",
        "name = \"acme:units\"\nfile = \"deps/acme-units/units.wit\"\n",
        "name = \"wharf:sql\"",
    ] {
        assert!(lock.contains(part), "{part}: {lock}");
    }
    let listed = finish(wharf().args(["wit", "list", "--of"]).arg(scratch.join("wit")), "");
    for name in ["acme:store@1.2.0", "acme:units"] {
        let line = listed.stdout.lines().find(|line| line.split(' ').next() == Some(name));
        let from = scratch.join("store").display().to_string();
        assert!(line.is_some_and(|line| line.ends_with(&from)), "{name}: {listed:?}");
    }
    let show = |name: &str| finish(wharf().args(["wit", "show", name, "--of"]).arg(scratch.join("wit")), "");
    for name in ["acme:store", "acme:store@1.2.0"] {
        let shown = show(name);
        for part in ["package acme:store@1.2.0;", "put: func(item: item"] {
            assert!(shown.stdout.contains(part), "{part}: {shown:?}");
        }
    }
    assert!(show("acme:units").stdout.contains("type weight = u32;"));
    assert_eq!(show("acme:store@1.3.0").code(), Some(1));
    let again = add_store(&scratch, &[]);
    assert!(
        again.stdout.lines().all(|line| line.starts_with("unchanged")),
        "{again:?}"
    );
    assert_eq!(text(&scratch.join("wit/wharf-wit.lock")), lock);
}

/// As Wharf's own are: what the source has since is taken, what somebody has changed here is not lost.
#[test]
fn packages_of_ones_own_are_renewed() {
    let scratch = store_beside();
    assert_eq!(add_store(&scratch, &[]).code(), Some(0));
    scratch.write("store/store.wit", "interface store { get: func(); }\n");
    std::fs::rename(scratch.join("store/types.wit"), scratch.join("store/all.wit")).unwrap();
    let renewed = add_store(&scratch, &[]);
    assert_eq!(renewed.code(), Some(0), "{renewed:?}");
    assert!(text(&scratch.join(STORE)).contains("get: func()"));
    let gone = scratch.join("wit/deps/acme-store-1.2.0/types.wit");
    assert!(!gone.exists() && renewed.stdout.contains("removed"), "{renewed:?}");
    assert!(!text(&scratch.join("wit/wharf-wit.lock")).contains("types.wit"));

    scratch.write(STORE, "interface store { mine: func(); }\n");
    scratch.write("store/store.wit", "interface store { put: func(); }\n");
    let refused = add_store(&scratch, &[]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("acme-store-1.2.0/store.wit"), "{refused:?}");
    assert!(text(&scratch.join(STORE)).contains("mine"));
    assert_eq!(add_store(&scratch, &["--force"]).code(), Some(0));
    assert!(text(&scratch.join(STORE)).contains("put"));
}

/// Of a package that somebody has put into `deps`, what it is there and then.
#[test]
fn what_lies_in_deps_is_pinned_there() {
    let scratch = Scratch::new();
    scratch.write(
        "wharf.toml",
        "name = 'shop'\ncomponent = 'app.wasm'\n[build]\ncommand = ['sh', '-c', 'cp source $WHARF_COMPONENT']\n",
    );
    scratch.write("source", std::fs::read(guest("http-hello")).unwrap());
    let file = scratch.write("wit/deps/acme/store.wit", "package acme:store;\ninterface store {}\n");
    let pin = || {
        add(
            &scratch.join("wit"),
            &[&scratch.join("wit/deps/acme").display().to_string()],
        )
    };
    assert_eq!(pin().code(), Some(0));
    assert!(text(&file).contains("interface store {}"));
    let run = |command: &str| finish(wharf().arg(command).arg(scratch.path()), "");
    assert_eq!(run("build").code(), Some(0));
    scratch.write("wit/deps/acme/store.wit", "package acme:store;\ninterface shop {}\n");
    for command in ["build", "check"] {
        let wrong = run(command);
        assert_eq!(wrong.code(), Some(1), "{wrong:?}");
        let help = format!("`wharf wit add {} --to ", scratch.join("wit/deps/acme").display());
        for part in [
            &*file.display().to_string(),
            "somebody has changed it",
            &help,
            "takes it as it is now",
        ] {
            assert!(wrong.stderr.contains(part), "{part}: {wrong:?}");
        }
    }
    assert_eq!(pin().code(), Some(0));
    assert_eq!(run("build").code(), Some(0));
    assert_eq!(run("check").code(), Some(0));
}

/// What nobody has added is built on all the same, and named with the command that takes it in.
#[test]
fn what_no_lock_has_is_told_with_what_takes_it_in() {
    let scratch = Scratch::new();
    scratch.write(
        "wharf.toml",
        "name = 'shop'\ncomponent = 'app.wasm'\n[build]\ncommand = ['sh', '-c', 'cp source $WHARF_COMPONENT']\n",
    );
    scratch.write("source", std::fs::read(guest("http-hello")).unwrap());
    let wit = scratch.join("wit");
    assert_eq!(add(&wit, &["wharf:cache"]).code(), Some(0));
    let run = |command: &str| finish(wharf().arg(command).arg(scratch.path()), "");
    let warned = |finished: &Finished| {
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        finished.stderr.contains("warning: ")
    };
    assert!(!warned(&run("build")) && !warned(&run("check")));

    scratch.write("wit/deps/acme/store.wit", "package acme:store;\ninterface store {}\n");
    // Wharf has it as well, in other words.
    let clocks = wharf_with(["wit", "show", "wasi:clocks"]).stdout + "// As it was found.\n";
    scratch.write("wit/deps/clocks.wit", &clocks);
    let listed = finish(wharf().args(["wit", "list", "--of"]).arg(&wit), "");
    for (name, file) in [("acme:store", "acme/store.wit"), ("wasi:clocks@0.3.2", "clocks.wit")] {
        let expected = format!(
            "in {}, and not in wharf-wit.lock",
            wit.join("deps").join(file).display()
        );
        let is_line = |line: &str| line.starts_with(name) && line.contains(&expected);
        assert!(listed.stdout.lines().any(is_line), "{name}: {listed:?}");
    }
    // Also where nothing else has changed.
    for command in ["build", "build", "check"] {
        let told = run(command);
        assert!(warned(&told), "{told:?}");
        assert!(
            told.stderr
                .contains(": deps/acme, deps/clocks.wit are not in wharf-wit.lock"),
            "{told:?}"
        );
    }
    let told = run("build").stderr;
    let command = told.split('`').nth(1).expect("a command");
    let words = command.strip_prefix("wharf ").expect("of ours").split(' ');
    let added = finish(wharf().args(words), "");
    assert_eq!(added.code(), Some(0), "{command}: {added:?}");
    assert!(!warned(&run("build")) && !warned(&run("check")));

    // It stays what the project has of it, whoever asks for it, and is told where it differs.
    let http = add(&wit, &["wasi:http"]);
    assert!(http.stdout.contains("there      wasi:clocks@0.3.2"), "{http:?}");
    assert_eq!(text(&wit.join("deps/clocks.wit")), clocks);
    assert!(!warned(&run("build")));
    scratch.write("wit/deps/clocks.wit", clocks + "// Mine.\n");
    let wrong = run("build");
    assert_eq!(wrong.code(), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("takes it as it is now"), "{wrong:?}");
}

#[test]
fn what_a_package_came_from_is_told_where_it_differs() {
    let scratch = store_beside();
    scratch.write(
        "wharf.toml",
        "name = 'shop'\ncomponent = 'app.wasm'\n[build]\ncommand = ['sh', '-c', 'cp source $WHARF_COMPONENT']\n",
    );
    scratch.write("source", std::fs::read(guest("http-hello")).unwrap());
    assert_eq!(add_store(&scratch, &[]).code(), Some(0));
    scratch.write(STORE, "interface store {}\n");
    let wrong = finish(wharf().arg("build").arg(scratch.path()), "");
    assert_eq!(wrong.code(), Some(1), "{wrong:?}");
    let help = format!("`wharf wit add {} --to ", scratch.join("store").display());
    for part in [
        &*scratch.join(STORE).display().to_string(),
        "somebody has changed it",
        &help,
    ] {
        assert!(wrong.stderr.contains(part), "{part}: {wrong:?}");
    }
}

/// The interfaces of a component that is there, for whoever is to call it.
#[test]
fn a_components_packages_are_added() {
    let scratch = Scratch::new();
    let component = guest("linked-store").display().to_string();
    let added = add(&scratch, &[&component]);
    assert_eq!(added.code(), Some(0), "{added:?}");
    let package = text(&scratch.join("deps/acme-store-0.1.0/package.wit"));
    for part in [
        "package acme:store@0.1.0;",
        "interface store",
        "about: async func(",
        "record entry",
    ] {
        assert!(package.contains(part), "{part}: {package}");
    }
    assert!(text(&scratch.join("wharf-wit.lock")).contains("linked-store.wasm\""));
    // What it exports of Wharf's is as Wharf has it.
    let added = add(&scratch, &[&guest("http-hello").display().to_string()]);
    assert_eq!(added.code(), Some(0), "{added:?}");
    let shown = wharf_with(["wit", "show", "wasi:http"]).stdout;
    assert_eq!(text(&scratch.join("deps/wasi-http-0.3.2/package.wit")), shown);
}

#[test]
fn places_without_packages_are_refused_and_nothing_is_written() {
    let scratch = store_beside();
    scratch.write(
        "needs/a.wit",
        "package acme:a;\ninterface a { use acme:absent/b.{c}; }\n",
    );
    scratch.write(
        "version/a.wit",
        "package acme:a;\ninterface a { use wharf:sql/types.{value}; }\n",
    );
    scratch.write("damaged.wit", "package acme:a;\ninterface a {\n");
    scratch.write("empty/readme.txt", "");
    scratch.write("app.wasm", "");
    for (place, expected) in [
        ("needs", "acme:a needs acme:absent"),
        (
            "version",
            "acme:a needs wharf:sql without a version, and Wharf has wharf:sql@0.1.0",
        ),
        ("damaged.wit", "damaged.wit:"),
        ("empty", "there is no WIT"),
        ("absent.wit", "absent.wit"),
        ("app.wasm", "app.wasm"),
    ] {
        let place = scratch.join(place).display().to_string();
        let refused = add(&scratch.join("wit"), &[&place, "wharf:sql"]);
        assert_eq!(refused.code(), Some(1), "{place}: {refused:?}");
        assert!(refused.stderr.contains(expected), "{place}: {refused:?}");
        assert!(!scratch.join("wit").exists(), "{place}");
    }
}

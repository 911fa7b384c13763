//! `wasi:keyvalue`: three shapes of the interface, three places for entries, the same outcomes.

use wharf_tests::{Redis, Scratch, eventually};

use crate::operator::metric;
use crate::stores::Stores;

/// What holds for every shape and every place. `MANY` and `SWAP` are what the shapes say in their own way.
const CASES: &str = "
    open default => opened
    open - => opened
    open other => Error::NoSuchStore
    get a => Error::NoSuchStore
    open default => opened
    get a => none
    set a 1 => ok
    set a 2 => ok
    get a => value 2
    exists a => true
    delete a => ok
    delete a => ok
    exists a => false
    set empty - => ok
    get empty => value
    increment n 5 => sum 5
    increment n 7 => sum 12
    get n => value 12
    set text x => ok
    increment text 1 => Error::Other(\"not a number: the value is no whole number, or cannot hold the sum\")
    get - => Error::Other(\"invalid key: it has 1 to 1024 bytes\")
    set *1025 x => Error::Other(\"invalid key: it has 1 to 1024 bytes\")
    set large *1024 => ok
    set large *1025 => Error::Other(\"too large: a value has at most 1024 bytes\")
    set-many b 1 c 2 c 3 => ok
    get-many b no c => MANY
    get-many => EMPTY
    swap s first => SWAP
    swap s second => SWAP-first
    swap-late s third other => SWAP-late
    delete-many b no s => ok
    list => 6 keys on a page *1024 c empty large n text
";

fn serve(guest: &str, section: &str) -> Stores {
    Stores::serve(guest, &section.replace("LIMITS", "value = \"1KiB\"\nbatch = \"4KiB\""))
}

/// The shape's own words.
fn check(guest: &str, stores: &Stores) {
    let many = match guest {
        "keyvalue-spin" => "b=1 no none c=3",
        _ => "b=1 none c=3",
    };
    let swaps = match guest {
        "keyvalue-draft" => ["this shape has none"; 3],
        _ => ["swapped none", "swapped first", "late second then swapped"],
    };
    let cases = CASES
        .replace("SWAP-late", swaps[2])
        .replace("SWAP-first", swaps[1])
        .replace("SWAP", swaps[0])
        .replace("MANY", many)
        .replace("    get-many => EMPTY\n", "")
        .replace(
            "6 keys on a page *1024 c empty large n text",
            "5 keys on a page c empty large n text",
        );
    stores.check(&cases);
    check_many(stores);
}

/// More than a page of keys, and more than a call may bring.
fn check_many(stores: &Stores) {
    for first in (0..1500).step_by(300) {
        let entries: Vec<_> = (first..first + 300).map(|number| format!("many-{number} -")).collect();
        stores.check(&format!("set-many {} => ok", entries.join(" ")));
    }
    stores.check(
        "list => 1505 keys on pages c empty large many-0 many-1
         get-many large large large large large => Error::Other(\"too large: the values of a call have at most 4096 bytes\")",
    );
    let keys = vec!["k"; 1001].join(" ");
    stores.check(&format!(
        "get-many {keys} => Error::Other(\"too large: a call names at most 1000 keys\")"
    ));
}

const SHAPES: [&str; 3] = ["keyvalue-draft", "keyvalue-draft2", "keyvalue-spin"];

#[test]
fn in_memory() {
    for guest in SHAPES {
        check(guest, &serve(guest, "[keyvalue.default]\nLIMITS\n"));
    }
}

#[test]
fn in_a_file() {
    for guest in SHAPES {
        check(
            guest,
            &serve(guest, "[keyvalue.default]\nfile = \"store.db\"\nLIMITS\n"),
        );
    }
}

#[test]
fn in_redis() {
    for guest in SHAPES {
        let Some(redis) = Redis::start() else { return };
        let stores = serve(
            guest,
            &format!(
                "[keyvalue.default]\nLIMITS\n[keyvalue.default.redis]\ntimeout = \"60s\"\nurl = \"{}\"\n",
                redis.url()
            ),
        );
        // What others have on the same server is not the app's.
        redis.cli("SET other:default:a 1");
        check(guest, &stores);
        assert_eq!(redis.cli("GET shop:default:n"), "12");
    }
}

/// What others have set in Redis is bounded too.
#[test]
fn what_others_have_set_is_not_taken_whole() {
    let Some(redis) = Redis::start() else { return };
    let section = format!(
        "[keyvalue.default.redis]\ntimeout = \"60s\"\nurl = \"{}\"\n",
        redis.url()
    );
    let stores = Stores::serve("keyvalue-draft2", &section);
    redis.cli("SETRANGE shop:default:big 300000000 x");
    redis.cli("SETRANGE shop:default:exact 1048575 x");
    let too_large = "Error::Other(\"too large: a value has at most 1048576 bytes\")";
    stores.check(&format!(
        "set a 1 => ok
         get big => {too_large}
         get-many a big => {too_large}
         swap big x => {too_large}
         get exact => value 1048576 bytes
         get a => value 1"
    ));
    assert_eq!(stores.reached("keyvalue", ",store=\"default\"", "value"), 3.0);
    #[cfg(target_os = "linux")]
    assert!(stores.server.most_resident_bytes() < 256 << 20);
}

/// What is in a file is there after the server was killed; what is in memory is not.
#[test]
fn entries_outlive_the_server_in_a_file() {
    const SECTIONS: &str = "[keyvalue.default]\nfile = \"store.db\"\n[keyvalue.brief]\n";
    let stores = Stores::serve("keyvalue-draft2", SECTIONS);
    stores.check("set a 1 => ok\nopen brief => opened\nset a 2 => ok");
    let Stores { server, folder, .. } = stores;
    // Dropping kills it.
    drop(server);
    let stores = Stores::serve_in(folder, "keyvalue-draft2", SECTIONS);
    stores.check("get a => value 1\nopen brief => opened\nget a => none");
}

#[test]
fn limits() {
    let stores = Stores::serve(
        "keyvalue-draft2",
        "[keyvalue.default]\nsize = \"16KiB\"\n[keyvalue.file]\nfile = \"store.db\"\nsize = \"64KiB\"\nvalue = \"8KiB\"\n",
    );
    let full = "Error::Other(\"full: the store has no room for this\")";
    stores.check(&format!(
        "set a *9000 => ok\nset b *9000 => {full}\nget a => value 9000 bytes"
    ));
    stores.check("open file => opened\nset large *9000 => Error::Other(\"too large: a value has at most 8192 bytes\")");
    let mut stored = 0;
    while stores.steps(&format!("open file\nset key-{stored} *4000")) == "opened\nok" {
        stored += 1;
        assert!(stored < 20, "more than the file may hold");
    }
    stores.check(&format!(
        "open file => opened\nset more *4000 => {full}\nget key-0 => value 4000 bytes"
    ));
    assert!(stores.reached("keyvalue", ",store=\"file\"", "size") >= 2.0);
    assert_eq!(stores.reached("keyvalue", ",store=\"file\"", "value"), 1.0);
    let bytes = metric(stores.admin, "wharf_keyvalue_bytes{app=\"shop\",store=\"file\"}").expect("it is said");
    assert!((10_000.0..=65536.0).contains(&bytes), "{bytes}");
    let errors = metric(
        stores.admin,
        "wharf_keyvalue_errors_total{app=\"shop\",store=\"default\"}",
    );
    assert_eq!(errors, Some(1.0));
}

#[test]
fn redis_comes_and_goes() {
    let Some(redis) = Redis::start() else { return };
    let redis = redis.kill();
    let section = format!(
        "[keyvalue.default.redis]\nurl = \"{}\"\ntimeout = \"2s\"\n",
        redis.url()
    );
    let stores = Stores::serve("keyvalue-draft2", &section);
    let away = "Error::Other(\"unavailable: the store cannot be reached, or is too slow\")";
    stores.check(&format!("get a => {away}\nlist => {away}\nswap a 1 => {away}"));
    stores.server.says("section=\"keyvalue.default\"");
    let redis = redis.restart();
    eventually(|| stores.steps("set a 1") == "ok", "the store to be there");
    let redis = redis.kill().restart();
    eventually(|| stores.steps("set a 1") == "ok", "the store to be there again");
    redis.pause();
    stores.check(&format!(
        "get a => {away}\nget a => {away}\nget a => {away}\nget a => {away}"
    ));
    redis.go_on();
    eventually(|| stores.steps("get a") == "value 1", "the store to answer again");
    // A server that has no room says so.
    redis.cli("CONFIG SET maxmemory-policy noeviction");
    redis.cli("CONFIG SET maxmemory 1");
    let full = "Error::Other(\"full: the store has no room for this\")";
    eventually(|| stores.steps("set b 1") == full, "the store to say that it is full");
    stores
        .server
        .says("app=shop section=\"keyvalue.default\" server=127.0.0.1:");
}

/// Of two stores on one server the log says which one is refused, and which one is served again.
#[test]
fn the_log_names_the_store() {
    let Some(redis) = Redis::start() else { return };
    redis.cli("CONFIG SET requirepass first-hunter2");
    let folder = Scratch::new();
    let [right, wrong] = ["first-hunter2\n", "wrong-hunter2\n"];
    let sections = ["default", "other"].map(|store| {
        folder.write(store, if store == "default" { right } else { wrong });
        let url = redis.url();
        format!("[keyvalue.{store}.redis]\nurl = '{url}'\npassword = {{ file = '{store}' }}\ntimeout = '60s'\n")
    });
    let stores = Stores::serve_in(folder, "keyvalue-draft2", &sections.concat());
    let away = "Error::Other(\"unavailable: the store cannot be reached, or is too slow\")";
    stores.check(&format!("set a 1 => ok\nopen other => opened\nset a 1 => {away}"));
    stores.server.says("does not do what");
    let log = stores.server.log();
    let refused: Vec<_> = log.lines().filter(|line| line.contains("does not do what")).collect();
    for line in refused {
        assert!(line.contains("app=shop section=\"keyvalue.other\" "), "{line}");
        assert!(line.contains("uthentication failed"), "{line}");
    }
    stores.folder.write("other", right);
    eventually(
        || stores.steps("open other\nset a 1").trim_end().ends_with("ok"),
        "the other store",
    );
    stores.server.says("Redis is back");
    let log = stores.server.log();
    let back: Vec<_> = log.lines().filter(|line| line.contains("Redis is back")).collect();
    assert!(
        matches!(back[..], [line] if line.contains("section=\"keyvalue.other\"")),
        "{log}"
    );
}

/// A file that cannot be made is no app, and said with its path.
#[test]
fn a_file_that_cannot_be() {
    let folder = Scratch::new();
    let file = crate::stores::manifest(
        &folder,
        "keyvalue-draft2",
        "[keyvalue.default]\nfile = \"missing/store.db\"\n",
    );
    let mut serve = wharf_tests::wharf();
    serve.arg("serve").args(["--addr", "127.0.0.1:0"]).arg(file);
    let output = wharf_tests::finish(&mut serve, "");
    assert!(!output.status.success());
    assert!(
        output.stderr.contains("missing/store.db") && output.stderr.contains("keyvalue"),
        "{}",
        output.stderr
    );
}

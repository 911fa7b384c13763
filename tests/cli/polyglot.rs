//! The example in four languages: one command builds it, one serves it, and it does what its README says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use wharf_tests::http::{Connection, Reply, get, post};
use wharf_tests::{Scratch, Server, eventually, finish, toolchain, wharf};

/// Longer than any test: what comes all the same was not waited for.
const AN_HOUR: &str = "3600000";

/// The example, built. `None` where the tools of one of its languages are known to be absent.
struct Built(Scratch);

/// One test, since it takes tens of seconds to build Python's component and to compile it.
#[test]
fn an_app_in_four_languages_is_built_and_does_what_its_readme_says() {
    let Some(built) = Built::new() else {
        return;
    };
    for database in [r#"instance = "own""#, r#"instance = "joined""#] {
        let one = built.serve(database, "0", "600");
        check_answers(&one);
        check_entries_outlive_requests(&one);
        check_rows_come_as_they_are_made(&built.serve(database, AN_HOUR, "600"));
    }
    check_panics_are_failures(&built.serve(r#"instance = "own""#, "0", "600"));
    check_panics_end_the_caller(&built.serve(r#"instance = "joined""#, "0", "600"));
    check_calls_overlap(&built.serve(r#"instance = "own""#, "20", "600"));
    check_entries_end(&built.serve(r#"instance = "own""#, "0", "1"));
    check_javascript(&built.serve(r#"instance = "own""#, "0", "1"));
}

impl Built {
    fn new() -> Option<Self> {
        let paths = ["rust", "go", "python", "javascript"].map(toolchain::path);
        let folders: Vec<_> = paths.iter().flatten().flat_map(std::env::split_paths).collect();
        if paths.contains(&None) {
            return None;
        }
        let scratch = Scratch::new();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/polyglot");
        copy(&example, &scratch);
        let path = std::env::join_paths(folders).unwrap();
        check_own_tests(&scratch, &path);
        let mut build = wharf();
        build.arg("build").arg(scratch.path());
        build.env("PATH", &path);
        build.env("PYTHONPATH", toolchain::python());
        // One folder for all runs: what the cache depends on is compiled once.
        build.env("CARGO_TARGET_DIR", toolchain::cargo_target());
        let built = finish(&mut build, "");
        assert_eq!(built.code(), Some(0), "{}", built.stderr);
        for component in ["api", "status", "database", "cache"] {
            let said = format!("polyglot/{component}: built, ");
            assert!(built.stderr.contains(&said), "{}", built.stderr);
        }
        Some(Self(scratch))
    }

    /// Serves it with this for the database, and these for its pace and for how long an answer is good.
    fn serve(&self, database: &str, row_ms: &str, cache_seconds: &str) -> Server {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/polyglot/wharf.toml");
        let mut manifest = fs::read_to_string(original).unwrap();
        let own = "file = \"database.wasm\"\ninstance = \"own\"";
        for (old, new) in [
            (own, &*format!("file = \"database.wasm\"\n{database}")),
            ("ROW_MS = \"200\"", &format!("ROW_MS = \"{row_ms}\"")),
            (
                "CACHE_SECONDS = \"10\"",
                &format!("CACHE_SECONDS = \"{cache_seconds}\""),
            ),
            // Nothing survives in the handler itself.
            ("file = \"api.wasm\"", "file = \"api.wasm\"\nisolation = \"request\""),
        ] {
            assert_eq!(manifest.matches(old).count(), 1, "{old} in {manifest}");
            manifest = manifest.replace(old, new);
        }
        self.0.write("wharf.toml", manifest);
        Server::start_manifest(&*self.0, &["--addr", "127.0.0.1:0"])
    }
}

/// What knows nothing of components is tested by its own language.
fn check_own_tests(example: &Path, path: &OsStr) {
    for (folder, test) in [("database", "go test ./table"), ("cache", "cargo test --quiet")] {
        let words: Vec<_> = test.split(' ').collect();
        let mut own = Command::new(words[0]);
        own.args(&words[1..])
            .current_dir(example.join(folder))
            .env("PATH", path);
        let own = finish(own.env("CARGO_TARGET_DIR", toolchain::cargo_target()), "");
        assert_eq!(own.code(), Some(0), "{test}: {own:?}");
    }
}

/// Copies what people have written, and not what was built of it.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_built = ["target", "node_modules", "imports", "wit_exports", "__pycache__"].contains(&&*name);
        if name.starts_with('.') || name.ends_with(".wasm") || is_built {
            continue;
        }
        let copied = to.join(&name);
        if path.is_dir() {
            fs::create_dir(&copied).unwrap();
            copy(&path, &copied);
        } else {
            fs::copy(&path, copied).unwrap();
        }
    }
}

/// Rows of Go's, through Python, and failures of Go's, which Python meets as exceptions.
fn check_answers(server: &Server) {
    let albatross = "{\"berth\": 1, \"name\": \"Albatross\", \"tons\": 4200}\n";
    for (path, status, expected) in [
        ("/ships/1", 200, albatross),
        ("/ships/99", 404, "no ship is at this berth\n"),
        (
            "/ships/5",
            502,
            "the database is damaged: row 5: \"heavy\" is no number of tons\n",
        ),
        ("/both/1/99", 404, "no ship is at this berth\n"),
        ("/ships/one", 404, "there is nothing at this path\n"),
        // One more than WIT's u32 can be.
        ("/ships/4294967296", 404, "there is nothing at this path\n"),
        ("/both/1/4294967296", 404, "there is nothing at this path\n"),
        ("/ships/4294967295", 404, "no ship is at this berth\n"),
    ] {
        let reply = get(server.addr(), path);
        assert_eq!((reply.status, &*reply.text()), (status, expected), "{path}");
    }
    let both = get(server.addr(), "/both/1/7").text();
    assert!(both.contains("Albatross") && both.contains("Gannet"), "{both}");
    let all = get(server.addr(), "/ships").text();
    assert_eq!((all.lines().count(), all.lines().next()), (6, albatross.lines().next()));
}

/// A panic of Go's is an exception in Python; the next call meets a new instance.
fn check_panics_are_failures(server: &Server) {
    for path in ["/ships/0", "/both/0/1", "/ships/0"] {
        assert_eq!(get(server.addr(), "/ships/1").status, 200);
        assert!(counted(server, "calls") <= 1);
        let reply = get(server.addr(), path);
        let text = reply.text();
        let is_told = text.starts_with("the database failed: ") && text.contains("database");
        assert!(reply.status == 502 && is_told, "{path}: {} {text}", reply.status);
        // What happened is for the caller; where in the guest it did, for the log alone.
        assert!(
            text.trim_end().lines().count() == 1 && !text.contains("backtrace"),
            "{text}"
        );
    }
    server.says("there is no berth 0");
    // A function of the guest's own, which Go's linker has left its name.
    server.says("export_example_polyglot_database.Find");
}

/// Joined, both are one instance: there is no caller left who could say what happened.
fn check_panics_end_the_caller(server: &Server) {
    let reply = get(server.addr(), "/ships/0");
    assert_eq!(reply.status, 502);
    let id = reply.header("wharf-error-id").expect("an id").to_owned();
    server.says(&id);
    server.says("there is no berth 0");
    assert_eq!(get(server.addr(), "/ships/1").status, 200);
}

/// The handler has an instance for each request, and the cache remembers.
fn check_entries_outlive_requests(server: &Server) {
    let cached = |path: &str| in_cache(&get(server.addr(), path));
    assert_eq!([cached("/ships/3"), cached("/ships/3")], ["miss", "hit"]);
    assert_eq!([cached("/ships/4"), cached("/ships/3")], ["miss", "hit"]);
    // Whichever handler has put it there, and in its words.
    assert_eq!([cached("/status/ships/3"), cached("/status/ships/6")], ["hit", "miss"]);
    assert_eq!([cached("/ships/6"), cached("/status/ships/6")], ["hit", "hit"]);
    let texts = ["/status/ships/3", "/ships/6"].map(|path| get(server.addr(), path).text());
    assert_eq!(
        texts.each_ref().map(|text| text.contains("\": ")),
        [true, false],
        "{texts:?}"
    );
}

fn check_entries_end(server: &Server) {
    let ship = || get(server.addr(), "/ships/3");
    assert_eq!(in_cache(&ship()), "miss");
    eventually(|| in_cache(&ship()) == "miss", "the entry to end");
}

fn in_cache(reply: &Reply) -> String {
    reply.header("x-cache").unwrap_or_default().to_owned()
}

/// The second row takes an hour, and the first is here.
fn check_rows_come_as_they_are_made(server: &Server) {
    let mut connection = Connection::open(server.addr());
    connection.send("GET /ships HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().status(), 200);
    let mut row = Vec::new();
    while !row.ends_with(b"\n") {
        row.extend(connection.data().expect("a row"));
    }
    let row = String::from_utf8(row).unwrap();
    assert_eq!(row, "{\"berth\": 1, \"name\": \"Albatross\", \"tons\": 4200}\n");
}

/// One request asks for two rows, and the database sees both calls at once. Nobody else asks meanwhile. It tries again where the first
/// call has ended before the second came, as it may on a machine with much to do.
fn check_calls_overlap(server: &Server) {
    let both_at_once = || {
        assert_eq!(get(server.addr(), "/both/1/3").status, 200);
        let [calls, busiest] = ["calls", "busiest"].map(|name| counted(server, name));
        assert!(calls > 0 && busiest <= 2, "{calls} calls, {busiest} at once");
        busiest == 2
    };
    eventually(both_at_once, "two calls to be under way at once");
    // One row, one call.
    let before = counted(server, "calls");
    get(server.addr(), "/ships/6");
    assert_eq!(counted(server, "calls"), before + 1);
}

/// What the database has counted, as the component in JavaScript says it.
fn counted(server: &Server, name: &str) -> u64 {
    let said: serde_json::Value = serde_json::from_str(&get(server.addr(), "/status").text()).unwrap();
    said["database"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {said}"))
}

/// It knows the app's environment, and what comes leaves it before all has come.
fn check_javascript(server: &Server) {
    for (path, status, expected) in [
        ("/status/ships/1", 200, r#"{"berth":1,"name":"Albatross","tons":4200}"#),
        (
            "/status/ships/3?x=1",
            200,
            r#"{"berth":3,"name":"Cormorant","tons":12500}"#,
        ),
        ("/status/ships/99", 404, "no ship is at this berth"),
        ("/status/ships/99999999999", 404, "there is nothing at this path"),
        ("/status/nothing", 404, "there is nothing at this path"),
    ] {
        let reply = get(server.addr(), path);
        assert_eq!((reply.status, reply.text().trim_end()), (status, expected), "{path}");
    }
    let damaged = get(server.addr(), "/status/ships/5");
    let text = damaged.text();
    assert!(
        damaged.status == 502 && text.starts_with("the database is damaged: row 5: "),
        "{} {text}",
        damaged.status
    );

    let said: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&get(server.addr(), "/status").text()).unwrap();
    assert_eq!((&said["rowMs"], &said["cacheSeconds"]), (&"0".into(), &"1".into()));

    let large = "Ab".repeat(200_000);
    let shouted = post(server.addr(), "/status/shout", &large).text();
    assert!(shouted == large.to_uppercase(), "{} bytes came back", shouted.len());

    let mut connection = Connection::open(server.addr());
    connection.send("POST /status/shout HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
    for (sent, expected) in [("one", "ONE"), ("two", "TWO")] {
        connection.send_chunk(sent);
        if sent == "one" {
            assert_eq!(connection.head().status(), 200);
        }
        let mut came = Vec::new();
        while came.len() < expected.len() {
            came.extend(connection.data().expect("what was sent"));
        }
        assert_eq!(String::from_utf8(came).unwrap(), expected);
    }
    connection.finish_sending();
    assert_eq!(connection.data(), None);
}

//! The app's cache, in memory and in Redis: what guests see of it, who makes an entry that many miss, its limits.

use std::sync::Arc;
use std::thread;

use wharf_tests::http::post;
use wharf_tests::{Redis, Scratch, eventually};

use crate::operator::metric;
use crate::stores::Stores;

/// What holds wherever the entries are.
const CASES: &str = "
    get a => none
    set a 1 60 => ok
    get a => value 1
    set a 2 - => ok
    get a => value 2
    delete a => ok
    delete a => ok
    get a => none
    set empty - 60 => ok
    get empty => value
    set gone x 0 => ok
    get gone => none
    increment n 5 60 => sum 5
    increment n -7 - => sum -2
    get n => value -2
    set text x 60 => ok
    increment text 1 - => Error::NotANumber
    set most 9223372036854775807 60 => ok
    increment most 1 - => Error::NotANumber
    get - => Error::InvalidKey
    set *1024 x 60 => ok
    set *1025 x 60 => Error::InvalidKey
    increment - 1 - => Error::InvalidKey
    lease - => Error::InvalidKey
    set large *1024 60 => ok
    get large => value 1024 bytes
    set large *1025 60 => Error::TooLarge
    text-set t value 60 => set
    text-get t => Some(\"value\")
    text-get no => None
    make made it 60 0 => made ok
    make made other 60 0 => hit it
    get made => value it
    make big *1025 60 0 => made Error::TooLarge
    get big => none
    make brief it 0 0 => made ok
    get brief => none
    set short x 4 => ok
    increment short-n 1 4 => sum 1
    increment short-n 1 60 => sum 2
    sleep 5000
    get short => none
    increment short-n 1 60 => sum 1
";

const SMALL: &str = "value = \"1KiB\"\nlease-time = \"10m\"\n";

/// What a server on a machine that has more to do may take, where it is not to be found absent.
const PATIENT: &str = "timeout = \"60s\"\n";

fn cases() -> String {
    CASES.replace("sleep 5000", "sleep 5000 => slept")
}

#[test]
fn what_guests_see() {
    let stores = Stores::serve("cache", &format!("[cache]\n{SMALL}"));
    stores.check(&cases());
}

#[test]
fn what_guests_see_of_redis() {
    let Some(redis) = Redis::start() else { return };
    for local_time in ["0s", "1h"] {
        let section = format!(
            "[cache]\n{SMALL}local-time = \"{local_time}\"\n[cache.redis]\n{PATIENT}url = \"{}\"\n",
            redis.url()
        );
        let stores = Stores::serve("cache", &section);
        stores.check(&cases());
        assert_eq!(redis.cli("GET shop:cache:t"), "value", "{local_time}");
        let ttl: u32 = redis.cli("TTL shop:cache:t").parse().expect("a time");
        assert!((1..=60).contains(&ttl), "{ttl}");
        redis.cli("FLUSHALL");
    }
}

/// Entries outlive instances, and a new version of the app.
#[test]
fn entries_outlive_their_instance() {
    let stores = Stores::serve("cache", "[cache]\n");
    stores.check("set a 1 60 => ok");
    let instance = post(stores.server.addr(), "/", "trap b");
    assert_eq!(instance.status, 502);
    stores.check("get a => value 1");
    let changed = std::fs::read_to_string(stores.folder.join("wharf.toml")).expect("it was written");
    stores
        .folder
        .write("wharf.toml", format!("environment = {{ NEW = \"yes\" }}\n{changed}"));
    let reloads = || metric(stores.admin, "wharf_reloads_total{outcome=\"taken\"}").unwrap_or(0.0);
    eventually(|| reloads() >= 1.0, "the app to be replaced");
    stores.check("get a => value 1");
}

/// Of many who miss one key at a time, one makes the entry.
#[test]
fn one_makes_what_many_miss() {
    let stores = Arc::new(Stores::serve("cache", "[cache]\nlease-time = \"10m\"\n"));
    let crowd = (0..20).map(|_| {
        let stores = stores.clone();
        thread::spawn(move || stores.steps("make crowd it 60 500"))
    });
    let crowd: Vec<_> = crowd.collect();
    let mut lines: Vec<String> = crowd
        .into_iter()
        .map(|one| one.join().expect("it is answered"))
        .collect();
    lines.sort();
    assert_eq!(lines.iter().filter(|line| *line == "made ok").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "hit it").count(), 19, "{lines:?}");
    // Within one instance too.
    stores.check(
        "together
         make inside it 60 100 => made ok
         make inside it 60 100 => hit it
         make inside it 60 100 => hit it",
    );
}

/// A turn that ends without an entry goes to the next; one that is declined to everybody.
#[test]
fn turns_that_come_to_nothing() {
    // Whoever waited until a turn is taken away would wait in vain.
    let stores = Stores::serve("cache", "[cache]\nlease-time = \"10m\"\n");
    stores.check(
        "together
         drop a 50 => dropped
         make a it 60 50 => made ok
         make a it 60 50 => hit it",
    );
    stores.check(
        "together
         decline b 100 => declined
         make b first 60 300 => made ok
         make b second 60 300 => made ok
         make b third 60 300 => made ok",
    );
    // The value that is too large is nobody's to wait for either.
    stores.check(
        "together
         make c *2000000 60 100 => made Error::TooLarge
         make c *2000000 60 100 => made Error::TooLarge
         make c *2000000 60 100 => made Error::TooLarge",
    );
    // A guest that ends with its turn passes it on.
    assert_eq!(post(stores.server.addr(), "/", "trap e").status, 502);
    stores.check("make e it 60 0 => made ok");
    let gauge = |name: &str| metric(stores.admin, &format!("wharf_cache_{name}{{app=\"shop\"}}"));
    assert_eq!((gauge("leases"), gauge("waiting")), (Some(0.0), Some(0.0)));
}

/// Who holds a turn for too long has it taken away.
#[test]
fn a_turn_that_is_held() {
    let stores = Stores::serve("cache", "[cache]\nlease-time = \"1s\"\n");
    stores.check(
        "hold a => held
         make a it 60 0 => made ok",
    );
}

#[test]
fn limits() {
    let stores = Stores::serve(
        "cache",
        "[cache]\nmemory = \"64KiB\"\nvalue = \"8KiB\"\nleases = 2\nwaiting = 3\nlease-time = \"10m\"\n",
    );
    for number in 0..40 {
        stores.check(&format!("set filling-{number} *4000 60 => ok"));
    }
    let gauge = |name: &str| metric(stores.admin, &format!("wharf_cache_{name}{{app=\"shop\"}}")).expect("it is said");
    assert!(gauge("memory_bytes") <= 65536.0 && gauge("entries") >= 5.0);
    assert!(stores.reached("cache", "", "memory") >= 20.0);
    stores.check("set large *9000 60 => Error::TooLarge");
    assert_eq!(stores.reached("cache", "", "value"), 1.0);
    stores.check(
        "hold a => held
         hold b => held
         lease c => Error::Busy",
    );
    assert_eq!(stores.reached("cache", "", "leases"), 1.0);
    stores.check(
        "together
         make d it 60 200 => made ok
         make d it 60 200 => hit it
         make d it 60 200 => hit it
         make d it 60 200 => hit it
         make d it 60 200 => Error::Busy",
    );
    assert_eq!(stores.reached("cache", "", "waiting"), 1.0);
    assert_eq!(
        metric(
            stores.admin,
            "wharf_cache_lookups_total{app=\"shop\",result=\"collapsed\"}"
        ),
        Some(3.0)
    );
}

/// What others have set in Redis is bounded too, and who asks for it is told.
#[test]
fn what_others_have_set_is_not_taken_whole() {
    let Some(redis) = Redis::start() else { return };
    let section = format!("[cache]\n[cache.redis]\n{PATIENT}url = \"{}\"\n", redis.url());
    let stores = Stores::serve("cache", &section);
    redis.cli("SETRANGE shop:cache:big 300000000 x");
    redis.cli("SETRANGE shop:cache:exact 1048575 x");
    redis.cli("SETRANGE shop:cache:more 1048576 x");
    stores.check(
        "set a 1 60 => ok
         get exact => value 1048576 bytes
         get more => Error::TooLarge
         get big => Error::TooLarge
         lease big => Error::TooLarge
         text-get big => None
         together
         get big => Error::TooLarge
         get a => value 1
         get big => Error::TooLarge
         get none => none",
    );
    assert_eq!(stores.reached("cache", "", "value"), 6.0);
    #[cfg(target_os = "linux")]
    assert!(stores.server.most_resident_bytes() < 256 << 20);
}

/// Values that wait for a server that does not answer take no more than they may.
#[test]
fn values_on_their_way_are_bounded() {
    let Some(redis) = Redis::start() else { return };
    let section = format!(
        "[cache]\nheld = \"4MiB\"\n[cache.redis]\ntimeout = \"2s\"\nurl = \"{}\"\n",
        redis.url()
    );
    let stores = Stores::serve("cache", &section);
    stores.check("set a 1 60 => ok");
    redis.pause();
    let steps = "times 40\nset big *1000000 60";
    eventually(
        || stores.steps(steps).contains("Error::Busy"),
        "a value that has no room",
    );
    redis.go_on();
    eventually(|| stores.steps("set a 2 60") == "ok", "the cache to be there");
    stores.check("get a => value 2");
    assert!(stores.reached("cache", "", "held") >= 30.0);
    let held = || metric(stores.admin, "wharf_cache_held_bytes{app=\"shop\"}");
    eventually(|| held() == Some(0.0), "nothing to be held");
}

/// Interfaces of the app's own: the names come from the manifest, the types from the component.
#[test]
fn an_interface_of_the_apps_own() {
    let stores = Stores::serve(
        "cache-own",
        "[cache]\nmeets = [\"acme:shop/cache\", \"acme:shop/plain-cache@1.2.0\"]\n",
    );
    assert_eq!(stores.get("/?key=a"), "(None, None) Some(\"plainly\")");
    assert_eq!(
        stores.get("/?key=a&value=1"),
        "(Some(\"1\"), Some(\"1\")) Some(\"plainly\")"
    );
}

/// Away at the start, killed, restarted, stopped: the guest is told, the operator too, once, and it goes on by itself.
#[test]
fn redis_comes_and_goes() {
    let Some(redis) = Redis::start() else { return };
    let redis = redis.kill();
    let section = format!(
        "[cache]\n[cache.redis]\nurl = \"{}\"\ntimeout = \"2s\"\ncalls = 8\n",
        redis.url()
    );
    let stores = Stores::serve("cache", &section);
    stores.check(
        "get a => Error::Unavailable
         set a 1 60 => Error::Unavailable
         increment a 1 60 => Error::Unavailable
         delete a => Error::Unavailable
         lease a => Error::Unavailable",
    );
    let said = || {
        stores
            .server
            .log()
            .matches("Redis does not do what it is asked")
            .count()
    };
    stores.server.says("section=\"cache\"");
    let comes_back = || eventually(|| stores.steps("set a 1 60") == "ok", "the cache to be there");
    let redis = redis.restart();
    comes_back();
    let redis = redis.kill().restart();
    comes_back();
    // One that does not answer, though it is there.
    redis.pause();
    stores.check(
        "get a => Error::Unavailable
         together
         lease b => Error::Unavailable
         lease b => Error::Unavailable
         lease b => Error::Unavailable",
    );
    redis.go_on();
    comes_back();
    // More at once than there may be.
    redis.pause();
    eventually(
        || stores.steps("times 40\nget a").contains("Error::Busy"),
        "a call that finds no place",
    );
    redis.go_on();
    comes_back();
    assert!(stores.reached("cache", "", "calls") >= 1.0);
    stores.server.says("Redis is back");
    // Not a line for each call.
    assert!(said() < 20, "{}", stores.server.log());
}

/// A wrong password is said without it; one that changes is taken up, by what is connected too.
#[test]
fn a_password_that_changes() {
    let Some(redis) = Redis::start() else { return };
    let folder = Scratch::new();
    folder.write("password", "wrong-secret\n");
    redis.cli("CONFIG SET requirepass first-secret");
    let section = format!(
        "[cache]\n[cache.redis]\n{PATIENT}url = \"{}\"\npassword = {{ file = \"password\" }}\n",
        redis.url()
    );
    let stores = Stores::serve_in(folder, "cache", &section);
    stores.check("get a => Error::Unavailable");
    stores.server.says("uthentication failed");
    stores.folder.write("password", "first-secret\n");
    eventually(|| stores.steps("set a 1 60") == "ok", "the right password to be read");
    // The old connection stands; with the new password comes a new one.
    redis.cli_as("first-secret", "CONFIG SET requirepass second-secret");
    stores.check("get a => value 1");
    stores.folder.write("password", "second-secret\n");
    let connections = || metric(stores.admin, "wharf_cache_connections_total{app=\"shop\"}");
    let before = connections().expect("it is said");
    eventually(
        || stores.steps("get a") == "value 1" && connections() > Some(before),
        "a connection with the new password",
    );
    for secret in ["wrong-secret", "first-secret", "second-secret"] {
        assert!(!stores.server.log().contains(secret), "{}", stores.server.log());
    }
}

/// What is answered from memory is as old as the manifest says, and is still there while Redis is away.
#[test]
fn two_levels() {
    let Some(redis) = Redis::start() else { return };
    let section = |time: &str| {
        format!(
            "[cache]\nlocal-time = \"{time}\"\n[cache.redis]\n{PATIENT}url = \"{}\"\n",
            redis.url()
        )
    };
    let (first, second) = (
        Stores::serve("cache", &section("2s")),
        Stores::serve("cache", &section("2s")),
    );
    first.check("set a 1 60 => ok");
    second.check("get a => value 1");
    first.check("set a 2 600 => ok\nget a => value 2");
    let seen = second.steps("get a");
    assert!(seen == "value 1" || seen == "value 2", "{seen}");
    eventually(|| second.steps("get a") == "value 2", "the change to show");
    // An entry does not live longer here than there.
    first.check("set b 1 4 => ok");
    second.check("get b => value 1\nsleep 5000 => slept\nget b => none");
    let far = Stores::serve("cache", &section("1h"));
    far.check("get a => value 2");
    let _gone = redis.kill();
    far.check("get a => value 2\nlease a => hit 2\nget other => Error::Unavailable");
}

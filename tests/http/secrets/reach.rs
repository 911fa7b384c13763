//! A secret of an encrypted file reaches each capability that takes one, and a new one takes its place.

use wharf_tests::http::post;
use wharf_tests::{Brand, DatabaseServer, Redis, eventually};

use super::{Served, Vault};
use crate::certificates::Authority;
use crate::witness::Witness;

/// What comes of a guest's steps.
fn ask(served: &Served, steps: &str) -> String {
    post(served.server.addr(), "/", steps).text().trim_end().to_owned()
}

/// `wharf check` says of each where it cannot be read.
#[test]
fn wherever_it_is_written() {
    let ca = Authority::new();
    ca.certificate("client", &["client.test"]);
    let read = |name: &str| std::fs::read_to_string(ca.scratch.join(name)).expect("it was written");
    let key = read("client.key");
    let vault = Vault::with(&format!("x = \"first-hunter2\"\nkey = '''\n{key}'''\n"));
    vault.folder.write("client.crt", read("client.crt"));
    let cases = [
        ("[config]\na = SECRET\n", "5:5"),
        (
            "[sql.main]\nurl = 'postgres://db.test/shop'\npassword = SECRET\n",
            "6:12",
        ),
        ("[cache.redis]\nurl = 'redis://cache.test'\npassword = SECRET\n", "6:12"),
        (
            "[keyvalue.default.redis]\nurl = 'redis://cache.test'\npassword = SECRET\n",
            "6:12",
        ),
        (
            "[http-client.proxy]\nurl = 'http://proxy.test'\nuser = 'wharf'\npassword = SECRET\n",
            "7:12",
        ),
        (
            "[[http-client.certificates]]\nfor = ['*']\ncertificate = 'client.crt'\nkey = SECRET\n",
            "7:7",
        ),
    ];
    for (section, place) in cases {
        let with = |name: &str| {
            let secret = format!("{{ encrypted = 'secrets.age', name = '{name}' }}");
            vault.check(&section.replace("SECRET", &secret), |_| {})
        };
        let name = if section.contains("certificates") { "key" } else { "x" };
        assert_eq!(with(name), "", "{section}");
        let said = with("y");
        assert!(said.contains(&format!("wharf.toml:{place}: ")), "{section}: {said}");
        assert!(said.contains("it holds no `y`"), "{section}: {said}");
    }
}

/// The next connection has it, and each two seconds it is looked whether it has changed.
#[test]
fn redis() {
    let sections = [
        ("cache", "set a 1 60", "[cache.redis]"),
        ("keyvalue-draft2", "set a 1", "[keyvalue.default.redis]"),
    ];
    for (guest, step, section) in sections {
        let Some(redis) = Redis::start() else { return };
        redis.cli("CONFIG SET requirepass first-hunter2");
        let vault = Vault::with("redis = \"first-hunter2\"\n");
        let section = format!(
            "{section}\ntimeout = \"60s\"\nurl = \"{}\"\npassword = {{ encrypted = \"secrets.age\", name = \"redis\" }}\n",
            redis.url()
        );
        let served = vault.serve(guest, &section);
        assert_eq!(ask(&served, step), "ok", "{guest}");
        vault.encrypt("redis = \"second-hunter2\"\n");
        redis.cli_as("first-hunter2", "CONFIG SET requirepass second-hunter2");
        // Whoever has no connection makes one with what is there now.
        redis.cli_as("second-hunter2", "CLIENT KILL TYPE normal SKIPME yes");
        eventually(|| ask(&served, step) == "ok", "a connection with the new password");
        served.shows_no_secret();
    }
}

/// The next connection has it; those that stand go on.
#[test]
fn databases() {
    for (brand, scheme) in [(Brand::Postgres, "postgres"), (Brand::Mariadb, "mariadb")] {
        let Some(database) = DatabaseServer::start(brand, &[]) else {
            continue;
        };
        let table = |password: &str| format!("shop = \"{password}\"\n");
        let vault = Vault::with(&table(wharf_tests::PASSWORD));
        let section = format!(
            "[sql.main]\nurl = '{scheme}://127.0.0.1:{}/shop'\nuser = 'wharf'\n\
             password = {{ encrypted = 'secrets.age', name = 'shop' }}\nacquire-time = '60s'\n",
            database.port()
        );
        let served = vault.serve("sql", &section);
        assert_eq!(ask(&served, "execute SELECT 1"), "changed 0", "{brand:?}");
        vault.encrypt(&table("wrong-hunter2"));
        // A result that is not read to its end keeps its connection; the statement after it needs another.
        let rows = match brand {
            Brand::Postgres => "SELECT i, repeat('x', 100) FROM generate_series(1, 1000000) AS i",
            Brand::Mariadb => "SELECT seq, repeat('x', 100) FROM seq_1_to_1000000",
        };
        let held = format!("hold {rows}\nexecute SELECT 1");
        assert_eq!(ask(&served, &held), "held\naccess-denied", "{brand:?}");
        vault.encrypt(&table(wharf_tests::PASSWORD));
        assert_eq!(ask(&served, &held), "held\nchanged 0", "{brand:?}");
        served.shows_no_secret();
        // The first connection needs it, too.
        vault.folder.write("secrets.age", "nonsense");
        let served = vault.serve("sql", &section);
        assert_eq!(ask(&served, "execute SELECT 1"), "access-denied", "{brand:?}");
        served.server.says("cannot read the secret shop of ");
    }
}

/// The section is made anew with it, within about a second.
#[test]
fn a_proxy() {
    let witness = Witness::start();
    let vault = Vault::with("proxy = \"first-hunter2\"\n");
    let section = format!(
        "[http-client]\nallow = ['origin.test']\n[http-client.proxy]\nurl = 'http://{}'\nlookup = 'proxy'\nuser = 'wharf'\n\
         password = {{ encrypted = 'secrets.age', name = 'proxy' }}\n",
        witness.addr()
    );
    let served = vault.serve("http-outgoing", &section);
    let authorized = |credentials: &str| {
        served.get("/?url=http://origin.test/ok");
        let head = witness.heads().pop().expect("it came there");
        head.header("proxy-authorization") == Some(&format!("Basic {credentials}"))
    };
    // `wharf:first-hunter2` in Base64.
    assert!(authorized("d2hhcmY6Zmlyc3QtaHVudGVyMg=="), "{:?}", witness.heads());
    vault.encrypt("proxy = \"second-hunter2\"\n");
    eventually(
        || authorized("d2hhcmY6c2Vjb25kLWh1bnRlcjI="),
        "the new password to be sent",
    );
    served.shows_no_secret();
}

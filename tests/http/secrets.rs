//! Secrets in an encrypted file: made, read, changed while guests run, and never shown.
//!
//! How they reach each capability is in `secrets/reach.rs`.

mod reach;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use wharf_tests::http::get;
use wharf_tests::{Finished, Scratch, Server, eventually, finish, installed, wharf};

use crate::operator::{ADMIN, admin};
use crate::stores::manifest;

/// What every secret of these tests ends with, and nothing else that is said.
const MARK: &str = "-hunter2";

/// A folder with a key, an encrypted file for it, and an app.
struct Vault {
    folder: Scratch,
}

/// An app that is served from a vault.
struct Served {
    server: Server,
    admin: SocketAddr,
}

impl Vault {
    /// One whose file holds `table`.
    fn with(table: &str) -> Self {
        let folder = Scratch::new();
        let made = finish(wharf().args(["secrets", "key"]).arg(folder.join("key")), "");
        assert!(made.status.success() && made.stdout.starts_with("age1"), "{made:?}");
        let vault = Self { folder };
        vault.encrypt(table);
        vault
    }

    fn encrypt(&self, table: &str) {
        let encrypted = self.run(&["secrets", "encrypt", "secrets.age"], table);
        assert!(encrypted.status.success(), "{encrypted:?}");
    }

    /// Wharf with the key, in the vault's folder.
    fn command(&self) -> Command {
        // Its path may be seen from this folder.
        let program = std::path::absolute(wharf().get_program()).expect("there is a working directory");
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("WHARF_SECRETS_KEY_FILE", "key");
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Finished {
        finish(self.command().args(arguments), input)
    }

    fn serve(&self, guest: &str, sections: &str) -> Served {
        self.serve_with(guest, sections, |_| {})
    }

    fn serve_with(&self, guest: &str, sections: &str, change: impl FnOnce(&mut Command)) -> Served {
        let file = manifest(&self.folder, guest, sections);
        let mut command = Server::command(file, &[&ADMIN[..], &["--log", "trace"]].concat());
        command.env("WHARF_SECRETS_KEY_FILE", self.folder.join("key"));
        change(&mut command);
        let server = Server::spawn(command);
        let admin = admin(&server);
        Served { server, admin }
    }

    /// What `wharf check` says of an app with `sections`, which begin on the manifest's fourth line.
    fn check(&self, sections: &str, change: impl FnOnce(&mut Command)) -> String {
        manifest(&self.folder, "http-env", sections);
        let mut command = self.command();
        change(&mut command);
        let checked = finish(command.args(["check", "wharf.toml"]), "");
        assert!(
            !checked.stdout.contains(MARK) && !checked.stderr.contains(MARK),
            "{checked:?}"
        );
        assert_eq!(checked.status.success(), checked.stderr.is_empty(), "{checked:?}");
        checked.stderr
    }
}

impl Served {
    fn get(&self, path: &str) -> String {
        get(self.server.addr(), path).text()
    }

    /// Neither the log, down to the least of it, nor the metrics show a secret.
    fn shows_no_secret(&self) {
        let log = self.server.log();
        assert!(!log.contains(MARK) && !log.contains("AGE-SECRET-KEY"), "{log}");
        let metrics = get(self.admin, "/metrics").text();
        assert!(metrics.contains("wharf_") && !metrics.contains(MARK), "{metrics}");
    }
}

/// Read anew for each question.
#[test]
fn a_value_that_changes() {
    let vault = Vault::with("token = \"first-hunter2\"\n");
    let content = std::fs::read_to_string(vault.folder.join("secrets.age")).expect("it is text");
    assert!(content.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{content}");
    let served = vault.serve(
        "config",
        "[config]\ntoken = { encrypted = \"secrets.age\", name = \"token\" }\n",
    );
    assert_eq!(served.get("/?key=token"), "Ok(Some(\"first-hunter2\"))");
    vault.encrypt("token = \"second-hunter2\"\n");
    assert_eq!(served.get("/?key=token"), "Ok(Some(\"second-hunter2\"))");
    let unreadable = "Err(Error::Io(\"the value of token cannot be read\"))";
    vault.encrypt("other = \"third-hunter2\"\n");
    assert_eq!(served.get("/?key=token"), unreadable);
    served.server.says("it holds no `token`");
    vault.folder.write("secrets.age", "token = \"fourth-hunter2\"");
    assert_eq!(served.get("/?key=token"), unreadable);
    served.server.says("it is not in age's format");
    vault.encrypt("token = \"fifth-hunter2\"\n");
    assert_eq!(served.get("/?key=token"), "Ok(Some(\"fifth-hunter2\"))");
    served.shows_no_secret();
}

/// The environment of guests: a new value comes with a new version of the app, and what cannot be read leaves the old one.
#[test]
fn in_the_environment_of_guests() {
    let vault = Vault::with("TOKEN = \"first-hunter2\"\nother = \"second-hunter2\"\n");
    let sections = "[secrets]\nTOKEN = { encrypted = \"secrets.age\" }\n\
                    OTHER = { encrypted = \"secrets.age\", name = \"other\" }\n";
    let served = vault.serve("http-env", sections);
    let variables = served.get("/");
    assert!(variables.contains("env TOKEN=first-hunter2"), "{variables}");
    assert!(variables.contains("env OTHER=second-hunter2"), "{variables}");
    vault.encrypt("TOKEN = \"third-hunter2\"\nother = \"second-hunter2\"\n");
    eventually(|| served.get("/").contains("env TOKEN=third-hunter2"), "the new value");
    vault.encrypt("TOKEN = \"fourth-hunter2\"\n");
    served
        .server
        .says("wharf.toml:6:23: the secret OTHER: cannot read the secret other of");
    assert!(
        served.get("/").contains("env TOKEN=third-hunter2"),
        "the old version goes on"
    );
    served.shows_no_secret();
}

/// With the old key beside it, a new one takes over without a moment in which nothing can be read.
#[test]
fn a_key_that_changes() {
    let vault = Vault::with("TOKEN = \"first-hunter2\"\n");
    let served = vault.serve("http-env", "[secrets]\nTOKEN = { encrypted = \"secrets.age\" }\n");
    let made = finish(wharf().args(["secrets", "key"]).arg(vault.folder.join("new")), "");
    let read = |name: &str| std::fs::read_to_string(vault.folder.join(name)).expect("it was written");
    let recipient = ["secrets", "encrypt", "--recipient", made.stdout.trim(), "secrets.age"];
    assert!(vault.run(&recipient, "TOKEN = \"second-hunter2\"\n").status.success());
    served.server.says("it was encrypted for another key");
    // The key's file is looked at as well.
    vault.folder.write("key", read("new") + &read("key"));
    eventually(|| served.get("/").contains("env TOKEN=second-hunter2"), "the new value");
    served.shows_no_secret();
}

/// The key may be in the environment; whoever compiles components, which may be anybody's, does not get it.
#[cfg(target_os = "linux")]
#[test]
fn a_key_in_the_environment_stays_with_the_server() {
    use crate::reload::compilers_of;

    let vault = Vault::with("TOKEN = \"first-hunter2\"\n");
    let key = std::fs::read_to_string(vault.folder.join("key")).expect("it was written");
    let key = key.lines().last().expect("it has lines").to_owned();
    let served = vault.serve_with(
        "http-env",
        "[secrets]\nTOKEN = { encrypted = \"secrets.age\" }\nKEY = { variable = \"PLAIN\" }\n",
        |command| {
            command
                .env_remove("WHARF_SECRETS_KEY_FILE")
                .env("WHARF_SECRETS_KEY", &key)
                .env("PLAIN", "plain-hunter2")
                .env("TMPDIR", std::env::temp_dir())
                .arg("--no-cache");
        },
    );
    assert!(served.get("/").contains("env TOKEN=first-hunter2"));
    vault.encrypt("TOKEN = \"second-hunter2\"\n");
    let mut seen = Vec::new();
    eventually(
        || {
            let compilers = compilers_of(served.server.pid()).into_iter();
            seen.extend(compilers.filter_map(|process| std::fs::read(format!("/proc/{process}/environ")).ok()));
            served.get("/").contains("env TOKEN=second-hunter2")
        },
        "the new value",
    );
    assert!(!seen.is_empty(), "something was compiled");
    for environment in seen {
        let environment = String::from_utf8_lossy(&environment);
        assert!(
            !environment.contains(MARK) && !environment.contains(&key),
            "{environment}"
        );
    }
    served.shows_no_secret();
}

/// Where it is written, what is wrong, and what to do.
#[test]
fn what_is_wrong_is_said() {
    let vault = Vault::with("TOKEN = \"first-hunter2\"\n");
    let sections = "[secrets]\nTOKEN = { encrypted = \"secrets.age\" }\n";
    let same = |_: &mut Command| {};
    let check = |said: String, expected: [&str; 2]| {
        for expected in [
            "wharf.toml:5:23: cannot read the secret TOKEN of ",
            expected[0],
            expected[1],
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    };
    assert_eq!(vault.check(sections, same), "");
    let folder = vault.folder.path().display().to_string();
    let without = |command: &mut Command| {
        command.env_remove("WHARF_SECRETS_KEY_FILE");
    };
    check(
        vault.check(sections, without),
        [
            "there is no key: set WHARF_SECRETS_KEY_FILE to the path of its file",
            "or WHARF_SECRETS_KEY to the key",
        ],
    );
    let file = |name: &'static str| {
        move |command: &mut Command| {
            command.env("WHARF_SECRETS_KEY_FILE", name);
        }
    };
    check(
        vault.check(sections, file("gone")),
        [
            "the key's file gone, which WHARF_SECRETS_KEY_FILE names, cannot be read",
            "No such file",
        ],
    );
    vault.folder.write("wrong", "# a comment\n\nnot-a-key-hunter2\n");
    let line = "write a line that begins with AGE-SECRET-KEY-1, as `wharf secrets key` makes it";
    check(vault.check(sections, file("wrong")), ["wrong:3 is no key", line]);
    check(
        vault.check(sections, file("/dev/null")),
        ["/dev/null", "no regular file"],
    );
    let variable = |command: &mut Command| {
        without(command);
        command.env("WHARF_SECRETS_KEY", "not-a-key-hunter2");
    };
    check(vault.check(sections, variable), ["WHARF_SECRETS_KEY is no key", line]);
    let other = finish(wharf().args(["secrets", "key"]).arg(vault.folder.join("other")), "");
    check(
        vault.check(sections, file("other")),
        [
            "it was encrypted for another key",
            &format!("or encrypt the file anew for {}", other.stdout.trim()),
        ],
    );
    vault.encrypt("token = \"first-hunter2\"\n");
    check(
        vault.check(sections, same),
        [
            "it holds no `TOKEN`: add it",
            "`wharf secrets names` says which there are",
        ],
    );
    let whole = std::fs::read(vault.folder.join("secrets.age")).expect("it was written");
    vault.folder.write("secrets.age", &whole[..whole.len() / 2]);
    check(
        vault.check(sections, same),
        ["it is damaged: ", "`wharf secrets encrypt` writes such files anew"],
    );
    vault.folder.write("secrets.age", "TOKEN = \"first-hunter2\"\n");
    check(
        vault.check(sections, same),
        [
            "it is not in age's format",
            "`wharf secrets encrypt` writes such files anew",
        ],
    );
    std::fs::remove_file(vault.folder.join("secrets.age")).expect("it is there");
    check(vault.check(sections, same), [&folder, "No such file"]);
}

/// Somebody writes the secret itself, in the places that take a reference or none: whoever is told so is not shown it.
#[cfg(unix)]
#[test]
fn what_is_written_in_the_manifest_is_not_shown() {
    let cases = [
        ("[secrets]\nTOKEN = 'x-hunter2'\n", "wharf.toml:5:9"),
        (
            "[sql.main]\nurl = 'postgres://wharf:x-hunter2@db.test/shop'\n",
            "wharf.toml:5:7",
        ),
        (
            "[sql.main]\nurl = 'mysql://db.test/shop?password=x-hunter2'\n",
            "wharf.toml:5:7",
        ),
        (
            "[sql.main]\nurl = 'postgres://db.test/shop'\npassword = 'x-hunter2'\n",
            "wharf.toml:6:12",
        ),
        (
            "[sql.main]\nurl = 'postgres://db.test/shop'\npasword = 'x-hunter2'\n",
            "wharf.toml:6:1",
        ),
        (
            "[sql]\nmain = { path = 'a', password = 'x-hunter2' }\n",
            "wharf.toml:5:33",
        ),
        (
            "[sql.main]\npath = 'a'\ntls = 'postgres://wharf:x-hunter2@db.test/shop'\n",
            "wharf.toml:6:7",
        ),
        (
            "[cache.redis]\nurl = 'redis://:x-hunter2@cache.test'\n",
            "wharf.toml:5:7",
        ),
        (
            "[cache.redis]\nurl = 'redis://cache.test'\npassword = 'x-hunter2'\n",
            "wharf.toml:6:12",
        ),
        (
            "[keyvalue.a.redis]\nurl = 'redis://:x-hunter2@a.test'\n",
            "wharf.toml:5:7",
        ),
        (
            "[keyvalue.a.redis]\nurl = 'redis://a.test'\npassword = ['x-hunter2']\n",
            "wharf.toml:6:12",
        ),
        (
            "[http-client]\nallow = ['http://a:x-hunter2@b.test']\n",
            "wharf.toml:5:10",
        ),
        (
            "[http-client.proxy]\nurl = 'http://a:x-hunter2@proxy.test'\n",
            "wharf.toml:5:7",
        ),
        (
            "[http-client.proxy]\nurl = 'http://proxy.test'\nuser = 'a'\npassword = 'x-hunter2'\n",
            "wharf.toml:7:12",
        ),
        (
            "[[http-client.certificates]]\nfor = ['*']\ncertificate = 'a'\nkey = 'x-hunter2'\n",
            "wharf.toml:7:7",
        ),
        ("[config]\na = ['x-hunter2']\n", "wharf.toml:5:5"),
        // No TOML at all.
        ("[sql.main]\npassword = x-hunter2\n", "wharf.toml:5:12"),
        ("[secrets]\nTOKEN = \"x-hunter2\n", "wharf.toml:5"),
    ];
    let vault = Vault::with("token = \"first-hunter2\"\n");
    let served = vault.serve("http-env", "");
    for (sections, place) in cases {
        let checked = vault.check(sections, |_| {});
        let refused = finish(vault.command().args(["serve", "wharf.toml"]), "");
        assert!(!refused.status.success(), "{sections}");
        let before = served.server.log().len();
        let pid = rustix::process::Pid::from_raw(served.server.pid() as i32).expect("it has a process");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
        let log = || served.server.log()[before..].to_owned();
        eventually(|| log().contains(place), "the reload is refused");
        for said in [checked, refused.stderr, log()] {
            assert!(said.contains(place) && !said.contains(MARK), "{sections}: {said}");
        }
    }
    served.shows_no_secret();
}

/// A secret stands in one place, and has another name only where it can.
#[test]
fn what_cannot_be_meant_is_refused() {
    let vault = Vault::with("TOKEN = \"first-hunter2\"\n");
    let cases = [
        ("[secrets]\nA = {}\n", "wharf.toml:5:1: the secret `A` has no value"),
        (
            "[secrets]\nA = { encrypted = \"a\", variable = \"B\" }\n",
            "wharf.toml:5:1: the secret `A` stands in more than one place",
        ),
        (
            "[secrets]\nA = { variable = \"PATH\", name = \"B\" }\n",
            "wharf.toml:5:33: only in an encrypted file has a secret another name",
        ),
        (
            "[config]\na = { encrypted = \"secrets.age\" }\n",
            "wharf.toml:5:5: `a`: a secret stands in one place",
        ),
    ];
    for (sections, expected) in cases {
        let said = vault.check(sections, |_| {});
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(said.contains("help: ") || sections.contains("PATH"), "{said}");
    }
}

#[test]
fn the_command() {
    let vault = Vault::with("token = \"first-hunter2\"\n\"with a space\" = \"\"\n");
    let names = vault.run(&["secrets", "names", "secrets.age"], "");
    assert_eq!(names.stdout, "token\nwith a space\n", "{names:?}");
    is_private(&vault.folder.join("key"));
    let key = std::fs::read(vault.folder.join("key")).expect("it was written");
    let secret = String::from_utf8_lossy(&key)
        .lines()
        .last()
        .expect("it has lines")
        .to_owned();
    let cases: [(&[&str], &str, &str); 8] = [
        // The file that is there stays.
        (
            &["secrets", "encrypt", "secrets.age"],
            "",
            "there is no secret to encrypt",
        ),
        (
            &["secrets", "encrypt", "new.age"],
            "# none\n",
            "there is no secret to encrypt",
        ),
        (&["secrets", "key", "key"], "", "cannot make key: File exists"),
        (
            &["secrets", "encrypt", "new.age"],
            "token = hunter2-hunter2",
            "line 1 of what is encrypted is no",
        ),
        (
            &["secrets", "encrypt", "new.age"],
            "\n[a]\nb = \"-hunter2\"",
            "line 2 of what is encrypted is no",
        ),
        (
            &["secrets", "encrypt", "new.age", "-r", &secret],
            "",
            "`--recipient` takes a public key",
        ),
        (
            &["secrets", "encrypt", "gone/new.age"],
            "a = \"\"",
            "cannot write gone/new.age: No such file",
        ),
        (&["secrets", "names", "key"], "", "key: it is not in age's format"),
    ];
    for (arguments, input, expected) in cases {
        let refused = vault.run(arguments, input);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(refused.stderr.contains(expected), "{expected}: {refused:?}");
        assert!(
            !refused.stderr.contains(MARK) && !refused.stderr.contains(&secret),
            "{refused:?}"
        );
        assert!(!vault.folder.join("new.age").exists());
    }
    assert_eq!(std::fs::read(vault.folder.join("key")).expect("it is there"), key);
    let names = vault.run(&["secrets", "names", "secrets.age"], "");
    assert_eq!(names.stdout, "token\nwith a space\n", "{names:?}");
}

#[cfg(unix)]
fn is_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

/// The tool that the format is of reads what Wharf writes, and the other way round, with its keys, too.
#[test]
fn age_itself() {
    let (Some(age), Some(keygen)) = (installed("age"), installed("age-keygen")) else {
        return;
    };
    let vault = Vault::with("token = \"ours-hunter2\"\n");
    let read = || {
        let key = ["--decrypt", "--identity", "key", "secrets.age"];
        finish(Command::new(&age).current_dir(vault.folder.path()).args(key), "").stdout
    };
    assert_eq!(read(), "token = \"ours-hunter2\"\n");
    std::fs::remove_file(vault.folder.join("key")).expect("it is there");
    let made = finish(Command::new(&keygen).arg("--output").arg(vault.folder.join("key")), "");
    assert!(made.status.success(), "{made:?}");
    vault.encrypt("token = \"again-hunter2\"\n");
    assert_eq!(read(), "token = \"again-hunter2\"\n");
    let public = made.stderr.trim().rsplit(' ').next().expect("it says which").to_owned();
    let served = vault.serve(
        "config",
        "[config]\ntoken = { encrypted = \"secrets.age\", name = \"token\" }\n",
    );
    // As bytes and as lines of text; past the bounds of a chunk.
    for (nth, more) in [&[][..], &["--armor"]].into_iter().enumerate() {
        let table = format!(
            "filler = \"{}\"\ntoken = \"theirs{nth}-hunter2\"\n",
            "x".repeat(nth * 200_000)
        );
        let mut command = Command::new(&age);
        command.args(["--recipient", &public, "--output"]);
        let written = finish(command.arg(vault.folder.join("secrets.age")).args(more), &table);
        assert!(written.status.success(), "{written:?}");
        assert_eq!(served.get("/?key=token"), format!("Ok(Some(\"theirs{nth}-hunter2\"))"));
    }
}

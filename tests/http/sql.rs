//! `wharf:sql`, against SQLite and the servers themselves: what guests see, what operators see, and that nothing stays behind.
//!
//! What is the same for all is in `sql/cases.txt`; what happens when things break, in `sql/broken.rs`.

mod borders;
mod broken;
mod certificates;
mod held;
mod many;
mod operated;

use std::net::SocketAddr;

use wharf_tests::http::post;
use wharf_tests::{Brand, DatabaseServer, Scratch, Server, eventually, guest};

use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric};

/// A database that an app has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Server(Brand),
}

const ENGINES: [Engine; 3] = [
    Engine::Sqlite,
    Engine::Server(Brand::Postgres),
    Engine::Server(Brand::Mariadb),
];

/// Limits that no test reaches unless it writes another: a machine that has more to do takes its time.
const PATIENCE: [(&str, &str); 3] = [("acquire-time", "60s"), ("statement-time", "10m"), ("idle-time", "10m")];

/// An app with one database, `main`, served.
struct Site {
    server: Server,
    admin: SocketAddr,
    engine: Engine,
    database: Option<DatabaseServer>,
    scratch: Scratch,
}

impl Engine {
    /// What cases call it.
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Server(Brand::Postgres) => "postgres",
            Self::Server(Brand::Mariadb) => "mariadb",
        }
    }

    /// One after another they would wait for each other's time limits, too.
    fn each(test: impl Fn(Self) + Sync) {
        std::thread::scope(|scope| {
            for engine in ENGINES {
                let test = &test;
                scope.spawn(move || test(engine));
            }
        });
    }

    /// `None` where its server is known to be absent.
    fn serve(self, keys: &str) -> Option<Site> {
        self.serve_with(&[], keys, Isolation::Serial)
    }

    /// The same with flags for its server.
    fn serve_with(self, flags: &[&str], keys: &str, isolation: Isolation) -> Option<Site> {
        let database = match self {
            Self::Sqlite => None,
            Self::Server(brand) => Some(DatabaseServer::start(brand, flags)?),
        };
        Some(Site::new(self, database, keys, isolation))
    }

    /// A statement that works for long and returns nothing meanwhile.
    fn silent(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
            }
            Self::Server(Brand::Postgres) => "SELECT pg_sleep(600)",
            Self::Server(Brand::Mariadb) => "SELECT sleep(600)",
        }
    }

    /// One with as many rows as are wanted.
    fn rows(self, count: u64) -> String {
        match self {
            Self::Sqlite => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) \
                 SELECT i, 'a text of some length, as names are' FROM n"
            ),
            // In the list of columns it is produced row by row; as a table it would be written down whole first.
            Self::Server(Brand::Postgres) => format!(
                "SELECT i, 'a text of some length, as names are' \
                 FROM (SELECT generate_series(1, {count}::bigint) AS i) AS n"
            ),
            Self::Server(Brand::Mariadb) => {
                format!("SELECT seq AS i, 'a text of some length, as names are' FROM seq_1_to_{count}")
            }
        }
    }

    /// A script of the guest's, which is written with PostgreSQL's places for parameters.
    fn script(self, text: &str) -> String {
        match self {
            Self::Server(Brand::Mariadb) => text
                .replace("$1", "?")
                .replace("$2", "?")
                .replace("$3", "?")
                .replace("$4", "?"),
            _ => text.to_owned(),
        }
    }
}

impl Site {
    fn new(engine: Engine, database: Option<DatabaseServer>, keys: &str, isolation: Isolation) -> Self {
        let scratch = Scratch::new();
        let place = match &database {
            None => "path = 'main.db'\n".to_owned(),
            Some(database) => database.keys(),
        };
        let patience = PATIENCE.iter().filter(|(key, _)| !keys.contains(key));
        let patience: String = patience.map(|(key, time)| format!("{key} = '{time}'\n")).collect();
        let isolation = isolation.flag();
        let component = guest("sql");
        let manifest = format!(
            "name = 'shop'\ncomponent = '{}'\nisolation = '{isolation}'\n[limits]\nresponse-time = '10m'\n[sql.main]\n{place}{patience}{keys}\n",
            component.display()
        );
        let manifest = scratch.write("wharf.toml", manifest);
        let server = Server::start(manifest, &ADMIN);
        Self {
            admin: admin(&server),
            server,
            engine,
            database,
            scratch,
        }
    }

    fn database(&self) -> &DatabaseServer {
        self.database.as_ref().expect("it has a server")
    }

    /// What the guest answers.
    fn ask(&self, script: &str) -> String {
        let reply = post(self.server.addr(), "/", self.engine.script(script));
        assert_eq!(reply.status, 200, "{script}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }

    /// Waits until the operator has been told of which database, and why, there is no connection.
    #[track_caller]
    fn says_why(&self, reason: &str) {
        let is_it =
            |line: &str| line.contains("app shop, database main: no connection: 127.0.0.1:") && line.contains(reason);
        let what = format!("{reason:?} to be said");
        eventually(|| self.server.log().lines().any(is_it), &what);
    }

    fn metric(&self, name: &str, label: &str) -> f64 {
        let pools = ["all", "write", "read"];
        let of_pool = |pool: &str| {
            metric(
                self.admin,
                &format!("wharf_sql_{name}{{app=\"shop\",database=\"main\",pool=\"{pool}\"}}"),
            )
        };
        match label {
            "" => pools.iter().filter_map(|pool| of_pool(pool)).sum(),
            label => {
                let name = format!("wharf_sql_{name}{{app=\"shop\",database=\"main\",{label}}}");
                metric(self.admin, &name).unwrap_or_else(|| panic!("there is no {name}"))
            }
        }
    }

    /// Waits until nobody has a connection.
    fn rest(&self) {
        let what = format!("{:?}: connections to come back", self.engine);
        eventually(|| self.metric("connections_used", "") == 0.0, &what);
        if let Some(database) = &self.database {
            eventually(|| database.running() == 0, "nothing to run in the database");
        }
    }
}

/// A request with a script for the guest, of a client that may leave before the answer.
fn request(script: &str) -> String {
    let length = script.len();
    format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n{script}")
}

/// A case of `cases.txt` for one database.
struct Case {
    name: String,
    script: String,
    expected: Vec<String>,
}

fn cases(engine: Engine) -> Vec<Case> {
    let blocks = include_str!("sql/cases.txt").split("\n=== ").skip(1);
    let case = |block: &str| {
        let (name, lines) = block.split_once('\n').expect("a case has lines");
        let mut case = Case {
            name: name.to_owned(),
            script: String::new(),
            expected: Vec::new(),
        };
        for line in lines.lines().filter_map(|line| of_engine(line, engine)) {
            match line.strip_prefix("> ") {
                Some(answer) => case.expected.push(answer.to_owned()),
                None => case.script += &format!("{line}\n"),
            }
        }
        case
    };
    blocks.map(case).collect()
}

/// The line without the names of the databases it is for, if it is for this one.
fn of_engine(line: &str, engine: Engine) -> Option<&str> {
    let Some((names, rest)) = line.split_once(": ") else {
        return Some(line);
    };
    let is_name = |name: &str| ENGINES.iter().any(|engine| engine.name() == name);
    if !names.split(',').all(is_name) {
        return Some(line);
    }
    names.split(',').any(|name| name == engine.name()).then_some(rest)
}

fn check_cases(site: &Site) {
    for case in cases(site.engine) {
        let answer = site.ask(&case.script);
        let lines: Vec<_> = answer.lines().collect();
        let is_as_expected = |(line, expected): (&&str, &String)| match expected.split_once(' ') {
            // What is said for people may change.
            None if expected.contains('-') => line.split(' ').next() == Some(expected),
            _ => line == expected,
        };
        let all_are = lines.len() == case.expected.len() && lines.iter().zip(&case.expected).all(is_as_expected);
        let (engine, name, expected) = (site.engine, &case.name, case.expected.join("\n"));
        assert!(
            all_are,
            "{engine:?}: {name}\n--- expected\n{expected}\n--- is\n{answer}"
        );
    }
    site.rest();
}

#[test]
fn sqlite_answers_as_the_cases_say() {
    let site = Engine::Sqlite.serve("").expect("it is built in");
    check_cases(&site);
    assert!(site.metric("statements_total", "outcome=\"ok\"") > 50.0);
}

#[test]
fn postgres_answers_as_the_cases_say() {
    let Some(site) = Engine::Server(Brand::Postgres).serve("") else {
        return;
    };
    check_cases(&site);
    assert!(site.metric("statements_total", "outcome=\"ok\"") > 50.0);
}

#[test]
fn mariadb_answers_as_the_cases_say() {
    let Some(site) = Engine::Server(Brand::Mariadb).serve("") else {
        return;
    };
    check_cases(&site);
    assert!(site.metric("statements_total", "outcome=\"ok\"") > 50.0);
}

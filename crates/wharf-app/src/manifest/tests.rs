//! Manifests as files in folders: what they mean, and what is said of those that are wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::app::{
    Access, AdminAddress, Answer, AppLimits, Files, Folder, Isolation, Link, ListenAddress, Listener, Route,
    SecretSource, ServerLimits,
};
use crate::route::{HostPattern, RoutePattern};
use crate::section::tests::sections;

mod apps;
mod build;
mod files;
mod network;
mod sections;
mod tls;

/// One for plain HTTP.
fn listener(address: &str) -> Listener {
    Listener::plain(ListenAddress::Tcp(address.to_owned()))
}

/// A folder of its own, which goes when it is dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &[u8])]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("wharf-manifest-{}-{count}", std::process::id()));
        let tree = Self(root.join("shop"));
        std::fs::create_dir_all(&tree.0).unwrap();
        for (file, content) in files {
            let file = tree.0.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        tree
    }

    fn of(manifest: &str) -> Self {
        Self::new(&[(FILE_NAME, manifest.as_bytes())])
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// What is said, with paths as seen from the folder.
    fn relative(&self, text: &dyn std::fmt::Display) -> String {
        text.to_string().replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[track_caller]
fn configuration(tree: &Tree) -> Configuration {
    read(&tree.0, &sections()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Reads `manifest` and expects each of `expected` in what is said, and as many problems.
#[track_caller]
fn check_wrong(manifest: &str, expected: &[&str]) {
    let said = wrong(manifest);
    assert_eq!(said.len(), expected.len(), "{}", said.join("\n"));
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}\ndoes not hold\n{expected}");
    }
}

/// What is said of each problem of a manifest.
fn wrong(manifest: &str) -> Vec<String> {
    let tree = Tree::of(manifest);
    let problems = read(&tree.0, &sections()).unwrap_err();
    problems.problems.iter().map(|problem| tree.relative(problem)).collect()
}

#[test]
fn the_shortest_manifest_is_one_line() {
    let tree = Tree::of("component = \"app.wasm\"");
    let configuration = configuration(&tree);
    let expected = App::of_component("shop", tree.path("app.wasm"));
    assert_eq!(configuration.apps, [expected]);
    assert_eq!(configuration.server, ServerSettings::default());
}

#[test]
fn an_app_is_named_by_itself_or_its_file() {
    #[track_caller]
    fn check(file: &str, manifest: &str, expected: &str) {
        let tree = Tree::new(&[(file, manifest.as_bytes())]);
        assert_eq!(read(&tree.path(file), &sections()).unwrap().apps[0].name, expected);
    }
    check("wharf.toml", "component = 'a.wasm'", "shop");
    check("cart.toml", "component = 'a.wasm'", "cart");
    check("cart.toml", "name = 'till'\ncomponent = 'a.wasm'", "till");
}

#[test]
fn everything_that_an_app_may_say_means_something() {
    let manifest = r#"
        name = "till"
        component = "./a.wasm"
        isolation = "serial"
        middleware = ["b.wasm", "../c.wasm"]
        [limits]
        memory = "64MiB"
        descriptors = 100
        cpu-time = "250ms"
        instances = 1
        requests = 2
        queue = 3
        queue-time = "1s"
        response-time = "2m"
        background-time = "1h"
        body = 1000
        body-rate = 0
        body-idle-time = "3s"
        reuse = 4
        idle-time = "5m"
        [environment]
        MODE = "production"
        [secrets]
        PASSWORD = { file = "/run/secrets/db" }
        KEY = { variable = "SHOP_KEY" }
        [filesystem]
        "/site" = "site"
        "/data" = { folder = "data", access = "write" }
        [errors]
        404 = "404.html"
        "5xx" = "sorry.html"
    "#;
    let tree = Tree::of(manifest);
    let app = configuration(&tree).apps.remove(0);
    let mut expected = App::of_component("till", tree.path("a.wasm"));
    expected.components[0].isolation = Some(Isolation::Serial);
    expected.components[0].middleware = vec![tree.path("b.wasm"), tree.path("../c.wasm")];
    expected.limits = AppLimits {
        memory_bytes_max: Some(64 << 20),
        descriptors_max: Some(100),
        cpu_time_max: Some(Duration::from_millis(250)),
        instances_max: Some(1),
        requests_max: Some(2),
        queue_length_max: Some(3),
        queue_timeout: Some(Duration::from_secs(1)),
        response_timeout: Some(Duration::from_secs(120)),
        background_timeout: Some(Duration::from_secs(3600)),
        body_bytes_max: Some(1000),
        body_rate_min: Some(0),
        body_idle_timeout: Some(Duration::from_secs(3)),
        reuse_max: Some(4),
        idle_timeout: Some(Duration::from_secs(300)),
    };
    expected.environment = [("MODE".to_owned(), "production".to_owned())].into();
    expected.secrets = BTreeMap::from([
        ("PASSWORD".to_owned(), SecretSource::File("/run/secrets/db".into())),
        ("KEY".to_owned(), SecretSource::Variable("SHOP_KEY".into())),
    ]);
    let folder = |guest: &str, host: &str, access| Folder {
        guest: guest.to_owned(),
        host: tree.path(host),
        access,
    };
    expected.folders = vec![
        folder("/data", "data", Access::Write),
        folder("/site", "site", Access::Read),
    ];
    expected.error_pages.statuses = [(404, tree.path("404.html"))].into();
    expected.error_pages.classes = [(5, tree.path("sorry.html"))].into();
    assert_eq!(app, expected);
}

#[test]
fn routes_lead_to_components_and_files() {
    let manifest = r#"
        isolation = "request"
        [components.front]
        file = "front.wasm"
        middleware = ["auth.wasm"]
        isolation = "shared"
        links = { "acme:store/cache" = "cache" }
        [components.cache]
        file = "cache.wasm"
        [[routes]]
        host = "Shop.Example.com"
        path = "/api/"
        methods = ["GET", "POST"]
        component = "front"
        [[routes]]
        host = "*.example.com"
        path = "/assets"
        files = "public"
        [[routes]]
        files = { folder = "app", index = "home.html", fallback = "app.html", precompressed = false, cache-control = "no-store" }
    "#;
    let tree = Tree::of(manifest);
    let app = configuration(&tree).apps.remove(0);
    let (cache, front) = (&app.components[0], &app.components[1]);
    assert_eq!(
        (cache.name.as_str(), cache.isolation),
        ("cache", Some(Isolation::Request))
    );
    assert_eq!(
        (front.name.as_str(), front.isolation),
        ("front", Some(Isolation::Shared))
    );
    assert_eq!(front.middleware, [tree.path("auth.wasm")]);
    let link = Link {
        import: "acme:store/cache".into(),
        component: "cache".into(),
    };
    assert_eq!(front.links, [link]);
    assert_eq!(
        app.routed_components()
            .map(|component| &component.name)
            .collect::<Vec<_>>(),
        ["front"]
    );
    let route = |host, path: &str, answer| Route {
        pattern: RoutePattern {
            host,
            path: path.to_owned(),
            methods: None,
        },
        answer,
    };
    let plain = Files {
        folder: tree.path("public"),
        index: "index.html".into(),
        fallback: None,
        precompressed: true,
        cache_control: None,
    };
    let full = Files {
        folder: tree.path("app"),
        index: "home.html".into(),
        fallback: Some("app.html".into()),
        precompressed: false,
        cache_control: Some("no-store".into()),
    };
    let exact = HostPattern::Exact("shop.example.com".into());
    let mut first = route(exact, "/api", Answer::Component("front".into()));
    first.pattern.methods = Some(["GET".to_owned(), "POST".to_owned()].into());
    let wildcard = HostPattern::Wildcard("example.com".into());
    assert_eq!(
        app.routes,
        [
            first,
            route(wildcard, "/assets", Answer::Files(plain)),
            route(HostPattern::Any, "/", Answer::Files(full)),
        ]
    );
}

#[test]
fn an_app_may_be_files_alone() {
    let tree = Tree::of("[[routes]]\nfiles = \"public\"");
    let app = &configuration(&tree).apps[0];
    assert!(app.components.is_empty() && app.routes.len() == 1);
}

#[test]
fn a_server_has_the_apps_of_its_file_and_its_folder() {
    let server = r#"
        [server]
        listen = ["127.0.0.1:8080", "[::1]:8080"]
        admin = "unix:admin.sock"
        apps = "apps"
        drain-timeout = "10s"
        [server.limits]
        connections = 1
        connections-per-client = 2
        requests-per-connection = 3
        requests = 4
        header-bytes = "16KiB"
        header-count = 5
        handshake-time = '13s'
        head-timeout = "6s"
        idle-timeout = "7s"
        write-rate = 8
        write-timeout = "12s"
        streams = 9
        resets = 10
        control-frames = 12
        instances = 11
        [apps.one]
        component = "one.wasm"
        [[apps.one.routes]]
        host = "one.test"
    "#;
    let app = |host: &str| format!("component = 'app.wasm'\n[[routes]]\nhost = '{host}'").into_bytes();
    let tree = Tree::new(&[
        (FILE_NAME, server.as_bytes()),
        ("apps/two.toml", &app("two.test")),
        ("apps/three/wharf.toml", &app("three.test")),
        ("apps/three/app.wasm", b""),
        ("apps/empty/readme.txt", b""),
        ("apps/.hidden.toml", b"wrong"),
        ("apps/notes.txt", b""),
    ]);
    let configuration = configuration(&tree);
    let apps: Vec<_> = configuration
        .apps
        .iter()
        .map(|app| (app.name.as_str(), &app.components[0].file))
        .collect();
    assert_eq!(
        apps,
        [
            ("one", &tree.path("one.wasm")),
            ("three", &tree.path("apps/three/app.wasm")),
            ("two", &tree.path("apps/app.wasm")),
        ]
    );
    assert_eq!(configuration.broken, []);
    let expected = ServerSettings {
        listeners: vec![listener("127.0.0.1:8080"), listener("[::1]:8080")],
        admin: Some(AdminAddress::Unix(tree.path("admin.sock"))),
        apps: Some(tree.path("apps")),
        drain_timeout: Some(Duration::from_secs(10)),
        limits: ServerLimits {
            connections_max: Some(1),
            connections_per_client_max: Some(2),
            requests_per_connection_max: Some(3),
            requests_max: Some(4),
            head_bytes_max: Some(16 << 10),
            head_fields_max: Some(5),
            handshake_timeout: Some(Duration::from_secs(13)),
            head_timeout: Some(Duration::from_secs(6)),
            idle_timeout: Some(Duration::from_secs(7)),
            write_rate_min: Some(8),
            write_timeout: Some(Duration::from_secs(12)),
            streams_max: Some(9),
            resets_max: Some(10),
            control_frames_max: Some(12),
            instances_max: Some(11),
        },
        ..ServerSettings::default()
    };
    assert_eq!(configuration.server, expected);
}

#[test]
fn what_a_server_does_not_say_has_its_default() {
    let tree = Tree::of("[server]\nadmin = 'none'");
    let server = configuration(&tree).server;
    assert_eq!(server.listeners, [listener("127.0.0.1:8080")]);
    assert_eq!(server.admin, Some(AdminAddress::Off));
    let tree = Tree::of("[server]\nlisten = '[::]:80'\nadmin = 'localhost:9090'");
    let server = configuration(&tree).server;
    assert_eq!(server.listeners, [listener("[::]:80")]);
    assert_eq!(server.admin, Some(AdminAddress::Tcp("localhost:9090".into())));
}

#[test]
fn a_server_that_is_wrong_is_refused() {
    let two = "[server]\n[apps.a]\ncomponent = 'a.wasm'\n[apps.b]\ncomponent = 'b.wasm'";
    check_wrong(
        two,
        &["wharf.toml:4:7: this route answers the same requests as one of the app `a` at wharf.toml:2:7"],
    );
    check_wrong(
        "[server]\napps = 'nowhere'",
        &["wharf.toml:2:8: the folder of apps cannot be read"],
    );
    check_wrong(
        "[server]\n[apps.a]\nname = 'b'\ncomponent = 'a.wasm'",
        &["3:8: the app is named by its section"],
    );
    check_wrong("[server]\nlisten = '8080'", &["2:10: `listen`: expected HOST:PORT"]);
    check_wrong(
        "[server]\nlisten = ['a:1', 'b:x']",
        &["2:18: `listen`: \"x\" is no port"],
    );
    check_wrong("[server]\nlisten = []", &["2:10: a server listens somewhere"]);
    check_wrong("[server]\nadmin = 'here'", &["2:9: `admin`: expected unix:PATH"]);
    check_wrong(
        "[server]\nadmin = 'unix:'",
        &["2:9: `admin`: the socket's path is missing"],
    );
    check_wrong(
        &format!("[server]\nadmin = 'unix:/{}'", "a".repeat(107)),
        &["2:9: `admin`: the socket's path has 108 bytes, and the system takes 107: /aaa"],
    );
    check_wrong(
        "server = 1",
        &["1:10: `server` is a whole number here, and has to be a table"],
    );
}

#[test]
fn a_server_has_no_limits_that_nobody_can_keep() {
    for (within, beyond, expected) in [
        (
            "header-count = 10000",
            "header-count = 10001",
            "2:16: `header-count` is a number from 1 to 10000\n  |\n2 | header-count = 10001\n  |                ^^^^^\n  = help: write 10000, or less",
        ),
        (
            "header-bytes = '8KiB'",
            "header-bytes = 8191",
            "2:16: `header-bytes` is from 8KiB to 16MiB",
        ),
        (
            "header-bytes = '16MiB'",
            "header-bytes = '16385KiB'",
            "2:16: `header-bytes` is from 8KiB to 16MiB",
        ),
        (
            "instances = 100000",
            "instances = 100001",
            "2:13: `instances` is a number from 1 to 100000",
        ),
    ] {
        configuration(&Tree::of(&format!("[server.limits]\n{within}")));
        check_wrong(&format!("[server.limits]\n{beyond}"), &[expected]);
    }
    configuration(&Tree::of(&format!("[server]\nadmin = 'unix:/{}'", "a".repeat(106))));
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_is_near() {
    let component = "component = 'a.wasm'\n";
    #[track_caller]
    fn check(manifest: &str, expected: &str) {
        check_wrong(manifest, &[expected]);
    }
    check(
        &format!("{component}midleware = []"),
        "2:1: unknown key `midleware`; did you mean `middleware`?",
    );
    check(
        &format!("{component}[[routes]]\npathh = '/'"),
        "3:1: unknown key `pathh`; did you mean `path`?",
    );
    check(
        &format!("{component}[limits]\ncpu_time = '1s'"),
        "unknown key `cpu_time`; did you mean `cpu-time`?",
    );
    check(
        &format!("{component}[secrets]\nA = {{ fil = 'a' }}"),
        "unknown key `fil`; did you mean `file`?",
    );
    check(
        &format!("{component}[filesystem]\n'/a' = {{ folder = 'a', acces = 'write' }}"),
        "did you mean `access`?",
    );
    check(
        "[[routes]]\nfiles = { foldr = 'a', folder = 'b' }",
        "did you mean `folder`?",
    );
    check(
        "[components.a]\nfile = 'a'\nlink = {}",
        "3:1: unknown key `link`; did you mean `links`?",
    );
    check("[server]\nlisen = 'a:1'", "did you mean `listen`?");
    check("[server.limits]\nconections = 1", "did you mean `connections`?");
    check(
        "[server]\n[apps.a]\ncomponent = 'a'\n[apps.a.limits]\nmemry = 1",
        "5:1: unknown key `memry`; did you mean `memory`?",
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    check_wrong(
        "component = 'a'\ncpu-time = '1s'",
        &["help: `cpu-time` belongs to the section `[limits]`"],
    );
    check_wrong(
        "[limits]\ncomponent = 'a'",
        &["help: `component` belongs to the whole file"],
    );
    check_wrong(
        "[server]\ncomponent = 'a'",
        &["help: `component` belongs to an app: write it under `[apps.NAME]`"],
    );
    check_wrong(
        "component = 'a'\n[apps.b]\ncomponent = 'b'",
        &["help: a file with several apps is a server's"],
    );
    check_wrong(
        "listen = 'a:1'\n[server]",
        &["help: `listen` belongs to the section `[server]`"],
    );
    check_wrong(
        "component = 'a'\nlisten = 'a:1'",
        &["help: `listen` belongs to `[server]` of a server's manifest"],
    );
    check_wrong(
        "component = 'a'\n[limits]\nheader-bytes = '1KiB'",
        &["help: `header-bytes` belongs to `[server.limits]` of a server's manifest"],
    );
    check_wrong(
        "component = 'a'\nfrobnicate = 1",
        &["help: known here: `name`, `component`, `isolation`"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named_for_what_it_is() {
    check_wrong(
        "component = 1",
        &["1:13: `component` is a whole number here, and has to be a string"],
    );
    check_wrong(
        "component = 'a'\nmiddleware = 'b'",
        &["`middleware` is a string here, and has to be a list"],
    );
    check_wrong(
        "component = 'a'\n[limits]\ncpu-time = 10",
        &["has to be a string, such as \"30s\""],
    );
    check_wrong(
        "component = 'a'\n[limits]\nmemory = 1.5",
        &["has to be a string or a whole number, such as \"64MiB\""],
    );
    check_wrong(
        "component = 'a'\n[limits]\nqueue = 0",
        &["`queue` is a number from 1 to 4294967295"],
    );
    check_wrong(
        "component = 'a'\n[limits]\nbody = -1",
        &["`body` is a number from 0 to"],
    );
    check_wrong(
        "component = 'a'\n[environment]\nPORT = 80",
        &["`PORT` is a whole number here, and has to be a string"],
    );
    check_wrong(
        "component = 'a'\nisolation = 'seriel'",
        &["`isolation` is `request`, `serial` or `shared`, not `seriel`; did you mean `serial`?"],
    );
    check_wrong(
        "component = 'a'\n[[routes]]\nfiles = 1",
        &["has to be a string or a table"],
    );
    check_wrong(
        "component = 'a'\nroutes = {}",
        &["`routes` is a table here, and has to be a list"],
    );
    check_wrong("[components.a]\nisolation = 'serial'", &["1:1: `file` is missing"]);
    check_wrong(
        "component = 'a'\n[secrets]\nKEY = 'hunter2'",
        &["3:7: `KEY` is a string here, and has to be a table\n  |\n3 | KEY = ..."],
    );
}

#[test]
fn a_duration_or_size_is_written_with_its_unit() {
    check_wrong(
        "component = 'a'\n[limits]\nqueue-time = '30'",
        &["3:14: `queue-time`: expected a number and one of ms"],
    );
    check_wrong(
        "component = 'a'\n[limits]\nmemory = '64'",
        &["3:10: `memory`: expected a number and one of B"],
    );
    check_wrong(
        "component = 'a'\n[limits]\nbody = '99999999999GiB'",
        &["`body`: the number is too large"],
    );
    check_wrong("[server]\ndrain-timeout = 'soon'", &["`drain-timeout`: expected"]);
}

/// The sign of a number is a part of it.
#[test]
fn a_number_that_is_negative_is_marked_whole() {
    check_wrong(
        "component = 'a'\n[limits]\nqueue = -1",
        &["wharf.toml:3:9: `queue` is a number from 1 to 4294967295\n  |\n3 | queue = -1\n  |         ^^"],
    );
    check_wrong(
        "component = 'a'\n[limits]\nqueue = +1.5",
        &["wharf.toml:3:9: `queue` is a number with a fraction here"],
    );
}

/// Keys with which nothing would work are refused; where none means something, the reference says what.
#[test]
fn a_limit_of_nothing_is_refused_unless_it_means_something() {
    let sections = [
        (
            "component = 'a'\n[limits]\n",
            &["response-time", "cpu-time", "body-idle-time", "memory"][..],
            &["queue-time", "background-time", "idle-time", "body", "body-rate"][..],
        ),
        (
            "component = 'a'\n[websocket]\n",
            &["idle-time", "ping-time", "pong-time", "message"],
            &["close-time", "restart-time"],
        ),
        (
            "component = 'a'\n[websocket.opened]\n",
            &["idle-time", "ping-time", "pong-time", "message"],
            &["close-time"],
        ),
        (
            "[server.limits]\nheader-count = 9\n",
            &["handshake-time", "head-timeout", "idle-timeout", "write-timeout"],
            &["write-rate"],
        ),
        ("[server]\nlisten = '[::]:1'\n", &[], &["drain-timeout"]),
    ];
    for (section, refused, taken) in sections {
        let none = |key: &str| match ["memory", "message", "body", "body-rate", "write-rate"].contains(&key) {
            true => format!("{section}{key} = '0KiB'"),
            false => format!("{section}{key} = '0.0s'"),
        };
        for key in refused {
            let column = key.len() + 4;
            check_wrong(&none(key), &[&format!("wharf.toml:3:{column}: `{key}`: ")]);
            check_wrong(&none(key), &["or more, or leave it out for the default"]);
        }
        for key in taken {
            configuration(&Tree::of(&none(key)));
        }
    }
    check_wrong(
        "component = 'a'\n[limits]\nmemory = 0",
        &["wharf.toml:3:10: `memory`: nothing fits"],
    );
}

#[test]
fn what_is_no_toml_is_said_by_line() {
    check_wrong(
        "component = 'a'\ncomponent = 'b'",
        &["wharf.toml:2:1: this is not TOML: duplicate key"],
    );
    check_wrong("component = ", &["wharf.toml:1:13: this is not TOML"]);
    check_wrong(
        "component = 'a'\n[limits\nmemory = 1",
        &["wharf.toml:2:8: this is not TOML"],
    );
    check_wrong(
        "a = 'a'\na = 'b'\nc = 1\nc = 2",
        &["2:1: this is not TOML: duplicate key", "4:1: this is not TOML"],
    );
}

#[test]
fn what_is_no_manifest_is_told_what_one_is() {
    let neither =
        "wharf.toml: this is the manifest of neither an app nor a server\n  = help: an app names what answers";
    check_wrong("", &[neither]);
    check_wrong("# nothing\n", &[neither]);
    check_wrong("lisen = 'a'", &[neither, "unknown key `lisen`"]);
    check_wrong("name = 'a'", &["wharf.toml: an app needs something that answers"]);
    let tree = Tree::new(&[(FILE_NAME, b"component = 'a'\n# \xe4\n")]);
    let problems = read(&tree.0, &sections()).unwrap_err();
    assert!(
        tree.relative(&problems)
            .starts_with("wharf.toml:2:3: this is not UTF-8"),
        "{problems}"
    );
    let tree = Tree::new(&[]);
    std::fs::File::create(tree.path(FILE_NAME))
        .and_then(|file| file.set_len(1 << 40))
        .unwrap();
    let problems = read(&tree.0, &sections()).unwrap_err();
    assert_eq!(
        tree.relative(&problems),
        "wharf.toml: cannot be read: it is larger than 1 MiB"
    );
    let tree = Tree::new(&[]);
    let problems = read(&tree.0, &sections()).unwrap_err();
    assert!(
        tree.relative(&problems).starts_with("wharf.toml: cannot be read: "),
        "{problems}"
    );
}

#[test]
fn components_are_there_in_one_way() {
    check_wrong(
        "component = 'a'\n[components.b]\nfile = 'b'",
        &["2:13: an app has either `component` or sections"],
    );
    check_wrong(
        "middleware = ['a']\n[components.b]\nfile = 'b'",
        &["1:14: middleware stands in front of nothing"],
    );
    check_wrong("component = ''", &["1:13: a path is empty"]);
    check_wrong(
        "[components.'a b']\nfile = 'b'",
        &["1:13: `a b` cannot be the name of a component"],
    );
    check_wrong(
        "name = 'a/b'\ncomponent = 'a'",
        &["1:8: `a/b` cannot be the name of an app"],
    );
}

#[test]
fn links_lead_to_components_and_not_in_circles() {
    let component =
        |name: &str, links: &str| format!("[components.{name}]\nfile = '{name}.wasm'\nlinks = {{ {links} }}\n");
    let route = "[[routes]]\ncomponent = 'front'\n";
    let manifest = component("front", "'a:b/c' = 'cachee'") + &component("cache", "") + route;
    check_wrong(
        &manifest,
        &["3:21: the app has no component `cachee`; did you mean `cache`?"],
    );
    let manifest = component("front", "'a:b/c' = 'cache'") + &component("cache", "'a:b/d' = 'front'") + route;
    check_wrong(&manifest, &["links lead round in a circle: cache -> front -> cache"]);
    let manifest = component("front", "'a:b/c' = 'front'") + route;
    check_wrong(&manifest, &["3:11: links lead round in a circle: front -> front"]);
    let manifest = component("a", "'a:b/c' = 'b'")
        + &component("b", "'a:b/c' = 'leaf', 'a:b/d' = 'c'")
        + &component("c", "'a:b/c' = 'leaf', 'a:b/d' = 'b'")
        + &component("leaf", "")
        + "[[routes]]\ncomponent = 'a'";
    check_wrong(&manifest, &["6:29: links lead round in a circle: b -> c -> b"]);
}

/// There are 2^60 ways through it.
#[test]
fn layers_of_links_are_read_at_once() {
    let component = |layer: usize, side: &str| {
        let links = match layer {
            59 => String::new(),
            _ => format!("'a:b/l' = 'l{0}', 'a:b/r' = 'r{0}'", layer + 1),
        };
        format!("[components.{side}{layer}]\nfile = 'a.wasm'\nlinks = {{ {links} }}\n")
    };
    let layers = (0..60).flat_map(|layer| [component(layer, "l"), component(layer, "r")]);
    let manifest = layers.collect::<String>() + "[[routes]]\ncomponent = 'l0'";
    assert_eq!(configuration(&Tree::of(&manifest)).apps[0].components.len(), 120);
    // Back from the last layer to the first.
    let manifest = manifest.replace("links = {  }", "links = { 'a:b/l' = 'l0' }");
    let problems = read(&Tree::of(&manifest).0, &sections()).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("links lead round in a circle: l0 -> l1 -> ")
    );
}

#[test]
fn routes_say_which_requests_and_what_answers() {
    let two = "[components.a]\nfile = 'a'\n[components.b]\nfile = 'b'\n";
    let one = "component = 'a'\n";
    check_wrong(two, &["wharf.toml: the app has several components and no route"]);
    check_wrong(
        &format!("{two}[[routes]]\n"),
        &["5:1: the route does not say which of the app's components answers"],
    );
    check_wrong(
        &format!("{two}[[routes]]\ncomponent = 'c'"),
        &["6:13: the app has no component `c`, but `a` and `b`"],
    );
    check_wrong(
        &format!("{one}[[routes]]\ncomponent = 'main'\nfiles = 'b'"),
        &["3:13: a route has either"],
    );
    check_wrong(
        "[[routes]]\npath = '/a'",
        &["1:1: the app has no component that could answer this"],
    );
    check_wrong(
        &format!("{one}[[routes]]\nhost = 'a:80'"),
        &["3:8: `host`: a host is written without its port"],
    );
    check_wrong(
        &format!("{one}[[routes]]\nhost = 'bücher.de'"),
        &["labels that begin with xn--"],
    );
    check_wrong(
        &format!("{one}[[routes]]\npath = 'a'\nmethods = ['get', 'P T']"),
        &[
            "3:8: `path`: a path begins with `/`",
            "4:12: `methods`: methods are in upper case: `GET`",
            "4:19: `methods`: `P T` is not a method",
        ],
    );
    check_wrong(
        &format!("{one}[[routes]]\nmethods = ['GTE', 'PURGE', 'PSOT']"),
        &[
            "3:12: `methods`: `GTE` is no method that clients know",
            "3:28: `methods`: `PSOT` is no method that clients know",
        ],
    );
    check_wrong(
        "[[routes]]\nfiles = 'public'\nmethods = ['GET', 'POST']",
        &["3:19: `methods`: files are only read, so that `POST` would be refused"],
    );
    check_wrong(
        &format!("{one}[[routes]]\nmethods = []"),
        &["3:11: a route without methods answers nothing"],
    );
    check_wrong(
        "[[routes]]\nfiles = { folder = 'a', index = 'b/c', fallback = '../d', cache-control = '' }",
        &[
            "`index` is the name of a file",
            "`fallback` is a file inside the folder",
            "`cache-control` is one line",
        ],
    );
    check_wrong(
        &format!("{one}[[routes]]\nhost = 'a.test'\n[[routes]]\nhost = 'A.test.'\nmethods = ['GET']"),
        &["wharf.toml:4:1: this route answers the same requests as the one at wharf.toml:2:1: a.test/"],
    );
}

#[test]
fn the_surroundings_of_guests_are_said_once() {
    let one = "component = 'a'\n";
    check_wrong(
        &format!("{one}[secrets]\nKEY = {{ file = 'a', variable = 'B' }}"),
        &["3:1: the secret `KEY` stands in more than one place"],
    );
    check_wrong(
        &format!("{one}[secrets]\nKEY = {{}}"),
        &["3:1: the secret `KEY` has no value"],
    );
    check_wrong(
        &format!("{one}[secrets]\nKEY = {{ variable = 'B' }}\n[environment]\nKEY = 'c'"),
        &["3:1: `KEY` is in `[environment]` as well"],
    );
    check_wrong(
        &format!("{one}[environment]\n'A=B' = 'c'"),
        &["3:1: a variable has a name, without `=`"],
    );
    check_wrong(
        &format!("{one}[filesystem]\n'' = 'c'"),
        &["3:1: guests see a folder under a path"],
    );
    check_wrong(
        &format!("{one}[errors]\n200 = 'a'\n'3xx' = 'b'"),
        &["3:1: `200` is no status", "4:1: `3xx` is no status"],
    );
}

#[test]
fn all_mistakes_are_found_at_once_in_their_order() {
    let manifest = "component = 1\nlimit = 2\n[[routes]]\npath = 3\n[errors]\n404 = 4";
    check_wrong(manifest, &["1:13: ", "2:1: ", "4:8: ", "6:7: "]);
}

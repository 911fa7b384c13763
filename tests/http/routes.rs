//! Many apps behind one address.

use std::fmt::Write as _;

use wharf_tests::http::{Connection, Reply, get, send};
use wharf_tests::{Scratch, Server, eventually, guest, http2};

use crate::operator::{ADMIN, admin, metric};

/// A server's manifest with an app for each `(name, routes)`; each answers with its own name.
fn manifest(apps: &[(&str, &str)]) -> String {
    let mut manifest = "[server]\n".to_owned();
    for (name, routes) in apps {
        let component = guest("http-env");
        let _ = writeln!(
            manifest,
            "[apps.{name}]\ncomponent = '{}'\nenvironment = {{ APP = '{name}' }}\nroutes = [{routes}]",
            component.display()
        );
    }
    manifest
}

fn serve(scratch: &Scratch, manifest: &str) -> Server {
    Server::start(scratch.write("wharf.toml", manifest), &ADMIN)
}

/// Sends a request for `host` as it is written.
fn ask(server: &Server, method: &str, host: &str, path: &str, headers: &str) -> Reply {
    let mut connection = Connection::open(server.addr());
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n");
    connection.send(request);
    if method == "HEAD" {
        let head = connection.head();
        return Reply {
            status: head.status(),
            headers: head.headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
    }
    connection.reply()
}

/// The app that answered.
fn app(reply: &Reply) -> String {
    let text = reply.text();
    let line = text.lines().find_map(|line| line.strip_prefix("env APP="));
    line.map_or_else(|| format!("{} {text}", reply.status), str::to_owned)
}

#[test]
fn host_path_and_method_find_the_app() {
    let scratch = Scratch::new();
    let server = serve(
        &scratch,
        &manifest(&[
            ("any", "{ path = '/' }"),
            ("api", "{ path = '/api', methods = ['GET', 'POST'] }"),
            ("shop", "{ host = 'shop.test' }, { host = '*.shop.test' }"),
            ("pay", "{ host = 'shop.test', path = '/pay' }"),
            ("only", "{ host = 'only.test', path = '/only' }"),
        ]),
    );
    let check = |method: &str, host: &str, path: &str, expected: &str| {
        assert_eq!(
            app(&ask(&server, method, host, path, "")),
            expected,
            "{method} {host}{path}"
        );
    };
    check("GET", "a.test", "/", "any");
    check("GET", "a.test", "/api/x", "api");
    check("POST", "a.test", "/api", "api");
    check("GET", "a.test", "/apiary", "any");
    check("GET", "a.test", "/%61pi/x", "api");
    check("GET", "a.test", "/x/../api", "api");
    check("GET", "SHOP.test:8080", "/", "shop");
    check("GET", "eu.west.shop.test", "/pay", "shop");
    check("GET", "shop.test", "/pay/now?x=/", "pay");
    check("GET", "shop.test", "/api", "shop");
    check("GET", "only.test", "/only", "only");
    let status = |method: &str, host: &str, path: &str| ask(&server, method, host, path, "").status;
    assert_eq!(status("GET", "only.test", "/"), 404);
    assert_eq!(status("HEAD", "a.test", "/api"), 200);
    let refused = ask(&server, "DELETE", "a.test", "/api", "");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
}

/// RFC 9110 section 15.5.20.
#[test]
fn a_host_that_no_app_has_is_misdirected() {
    let scratch = Scratch::new();
    let server = serve(&scratch, &manifest(&[("shop", "{ host = 'shop.test' }")]));
    assert_eq!(ask(&server, "GET", "shop.test", "/", "").status, 200);
    assert_eq!(ask(&server, "GET", "other.test", "/", "").status, 421);
}

#[test]
fn each_of_a_hundred_apps_answers_for_itself() {
    let scratch = Scratch::new();
    let names: Vec<String> = (0..100).map(|nth| format!("app{nth}")).collect();
    let routes: Vec<String> = names.iter().map(|name| format!("{{ host = '{name}.test' }}")).collect();
    let apps: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(routes.iter().map(String::as_str))
        .collect();
    let server = serve(&scratch, &manifest(&apps));
    std::thread::scope(|scope| {
        for part in 0..8 {
            let (server, names) = (&server, &names);
            scope.spawn(move || {
                for round in 0..5 {
                    for nth in 0..names.len() {
                        let name = &names[(nth * 37 + part * 13 + round) % names.len()];
                        let reply = ask(server, "GET", &format!("{name}.test"), "/", "");
                        assert_eq!(app(&reply), *name);
                    }
                }
            });
        }
    });
    let admin = admin(&server);
    for name in names {
        let responses = format!("wharf_responses_total{{app=\"{name}\",class=\"2xx\"}}");
        eventually(|| metric(admin, &responses) == Some(40.0), &responses);
    }
}

/// What one of a hundred apps of many kinds is asked, and what shows that it was this one that answered.
struct Question {
    name: String,
    method: &'static str,
    host: String,
    path: String,
    body: Vec<u8>,
    status: u16,
    said: String,
}

/// The app of this number, as its section of the manifest, and what it may be asked. By turns it is a component by its host, one
/// by its path under a host that many share, a folder, one that takes bodies, and one that traps.
fn mixed(scratch: &Scratch, nth: usize) -> (String, Question) {
    let name = format!("app{nth}");
    let question = |host: &str, path: &str, said: String| Question {
        name: name.clone(),
        method: "GET",
        host: host.to_owned(),
        path: path.to_owned(),
        body: Vec::new(),
        status: 200,
        said,
    };
    let section = |component: &str, route: String| {
        let component = guest(component);
        format!(
            "[apps.{name}]\ncomponent = '{}'\nenvironment = {{ APP = '{name}' }}\nroutes = [{route}]\n",
            component.display()
        )
    };
    let own = format!("{name}.test");
    let own_host = format!("{{ host = '{own}' }}");
    match nth % 5 {
        0 => (
            section("http-env", own_host),
            question(&own, "/", format!("env APP={name}\n")),
        ),
        1 => {
            let path = format!("/{name}");
            let route = format!("{{ host = 'shared.test', path = '{path}', methods = ['GET'] }}");
            (
                section("http-env", route),
                question("shared.test", &format!("{path}/x?y"), format!("env APP={name}\n")),
            )
        }
        2 => {
            scratch.write(format!("site{nth}/page.txt"), format!("page of {name}"));
            let app = format!("[apps.{name}]\nroutes = [{{ host = '{own}', files = 'site{nth}' }}]\n");
            (app, question(&own, "/page.txt", format!("page of {name}")))
        }
        3 => {
            let body = format!("{name} ").repeat(2000);
            let echo = Question {
                method: "POST",
                body: body.clone().into_bytes(),
                ..question(&own, "/", body)
            };
            (section("http-echo", own_host), echo)
        }
        _ => {
            let trap = Question {
                status: 502,
                ..question(&own, "/?at=before-head", "the app failed".to_owned())
            };
            (section("http-trap", own_host), trap)
        }
    }
}

/// Apps of all kinds, some of which fail with each request, asked in both versions of HTTP at the same time.
#[test]
fn each_of_a_hundred_apps_of_many_kinds_answers_for_itself() {
    let scratch = Scratch::new();
    let (sections, questions): (Vec<String>, Vec<Question>) = (0..100).map(|nth| mixed(&scratch, nth)).unzip();
    let server = serve(&scratch, &format!("[server]\n{}", sections.concat()));
    let check = |question: &Question, reply: &Reply| {
        assert_eq!(reply.status, question.status, "{} {}", question.name, reply.text());
        assert!(
            reply.text().contains(&question.said),
            "{} {}",
            question.name,
            reply.text()
        );
    };
    let order = |part: usize| {
        let questions = &questions;
        (0..questions.len()).map(move |nth| &questions[(nth * 37 + part * 13) % questions.len()])
    };
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (server, check, order) = (&server, &check, &order);
            scope.spawn(move || {
                let mut kept = Connection::open(server.addr());
                for question in order(part) {
                    let Question {
                        method,
                        host,
                        path,
                        body,
                        ..
                    } = question;
                    let length = body.len();
                    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
                    kept.send([head.as_bytes(), body].concat());
                    check(question, &kept.reply());
                }
            });
            scope.spawn(move || {
                http2::run(async {
                    let handle = http2::connect(server.addr()).await;
                    for question in order(part + 50) {
                        let uri = format!("http://{}{}", question.host, question.path);
                        let request = http::Request::builder().method(question.method).uri(uri);
                        let request = request.body(()).expect("it is a request");
                        let reply = http2::send_with(&handle, request, question.body.clone()).await;
                        check(question, &reply);
                    }
                });
            });
        }
    });
    let admin = admin(&server);
    for Question { name, status, .. } in &questions {
        let class = format!("{}xx", status / 100);
        let responses = format!("wharf_responses_total{{app=\"{name}\",class=\"{class}\"}}");
        eventually(|| metric(admin, &responses) == Some(8.0), &responses);
    }
}

#[test]
fn overlapping_routes_are_refused_with_both_places() {
    let scratch = Scratch::new();
    let both = manifest(&[
        ("one", "{ host = 'a.test', path = '/x' }"),
        ("two", "{ host = 'A.test', path = '/x/' }"),
    ]);
    let file = scratch.write("wharf.toml", both);
    let output = wharf_tests::finish(wharf_tests::wharf().arg("serve").arg(&file), "");
    let said = output.stderr;
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["wharf.toml:5:", "wharf.toml:9:", "a.test/x"] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

/// An app that cannot be compiled is said, answers 503, and keeps no other from answering.
#[test]
fn a_broken_app_leaves_the_others_alone() {
    let scratch = Scratch::new();
    scratch.write("broken.wasm", b"\0asm\x0d\0\x01\0 not a component");
    let manifest = manifest(&[("good", "{ host = 'good.test' }")])
        + "[apps.bad]\ncomponent = 'broken.wasm'\nroutes = [{ host = 'bad.test' }]\n";
    let server = serve(&scratch, &manifest);
    let admin = admin(&server);
    assert_eq!(app(&ask(&server, "GET", "good.test", "/", "")), "good");
    let reply = ask(&server, "GET", "bad.test", "/", "");
    assert_eq!(reply.status, 503);
    let id = reply.header("wharf-error-id").expect("it has an id").to_owned();
    server.says(&id);
    server.says("broken.wasm");
    let ready = get(admin, "/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("except bad: "), "{}", ready.text());
    assert_eq!(get(admin, "/readyz?app=bad").status, 503);
    assert_eq!(get(admin, "/readyz?app=good").status, 200);
    assert_eq!(metric(admin, "wharf_apps{state=\"broken\"}"), Some(1.0));
}

/// What is meant for an app that is wrong goes to no other, also where one answers for every host.
#[test]
fn a_wrong_app_keeps_its_requests_from_others() {
    let scratch = Scratch::new();
    let component = guest("http-env");
    let component = component.display();
    let app = |name: &str, host: &str, more: &str| {
        let text =
            format!("{more}\ncomponent = '{component}'\nenvironment = {{ APP = '{name}' }}\nroutes = [{{ {host} }}]\n");
        scratch.write(format!("apps/{name}.toml"), text);
    };
    app("any", "path = '/'", "");
    app("key", "host = 'key.test'", "no-such-key = 7");
    app("slip", "hosts = 'slip.test'", "");
    app("toml", "host = 'toml.test'", "isolation = = 7");
    // Neither of two with the same routes gets what may be the other's.
    app("one", "host = 'both.test'", "");
    app("two", "host = 'both.test'", "");
    let server = serve(&scratch, "[server]\napps = 'apps'\n");
    let said = |host: &str| app_or_status(&ask(&server, "GET", host, "/login", ""));
    let admin = admin(&server);
    assert_eq!(said("other.test"), "any");
    for (name, host) in [
        ("key", "key.test"),
        ("slip", "slip.test"),
        ("toml", "toml.test"),
        ("one", "both.test"),
    ] {
        assert_eq!(said(host), "503", "{host}");
        let responses = format!("wharf_responses_total{{app=\"{name}\",class=\"5xx\"}}");
        eventually(|| metric(admin, &responses) == Some(1.0), &responses);
    }
    // A mistake that hides the route does not give it away, and one that is mended is gone.
    scratch.write("apps/key.toml", "component = 7");
    app("slip", "host = 'slip.test'", "");
    eventually(|| said("slip.test") == "slip", "the app that was mended");
    assert_eq!(said("key.test"), "503");
    // Others may have what only an app that is wrong claims.
    app("heir", "host = 'key.test'", "");
    eventually(|| said("key.test") == "heir", "the app that has its routes now");
}

fn app_or_status(reply: &Reply) -> String {
    match reply.status {
        200 => app(reply),
        status => status.to_string(),
    }
}

#[test]
fn failures_are_told_in_the_form_that_was_asked_for() {
    let scratch = Scratch::new();
    scratch.write("sorry.html", "<p>sorry ({error-id})</p>");
    scratch.write("lost.txt", "lost{error-id}");
    scratch.write("no.txt", "no");
    let manifest = format!(
        "component = '{}'\n[[routes]]\npath = '/app'\nmethods = ['GET']\n[[routes]]\npath = '/files'\nfiles = '.'\n\
         [errors]\n404 = 'lost.txt'\n\"4xx\" = 'no.txt'\n\"5xx\" = 'sorry.html'\n",
        guest("http-trap").display()
    );
    let server = serve(&scratch, &manifest);
    let trap = "/app?at=before-head";
    let page = ask(&server, "GET", "a.test", trap, "accept: text/html\r\n");
    let id = page.header("wharf-error-id").expect("it has an id");
    assert_eq!((page.status, page.text()), (502, format!("<p>sorry ({id})</p>")));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let cases = [
        ("GET", "/files/none", "", 404, "lost"),
        ("GET", "/nowhere", "", 404, "lost"),
        ("POST", "/app", "", 405, "no"),
        ("POST", "/files/no.txt", "", 405, "no"),
        ("GET", "/files/no.txt", "range: bytes=9-\r\n", 416, "no"),
        ("GET", "/files/no.txt", "if-match: \"other\"\r\n", 412, "no"),
    ];
    for (method, path, headers, status, said) in cases {
        let reply = ask(&server, method, "a.test", path, headers);
        assert_eq!((reply.status, reply.text().as_str()), (status, said), "{method} {path}");
    }
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\naccept: application/json\r\n";
    let problem = ask(&server, "GET", "a.test", trap, trace);
    let id = problem.header("wharf-error-id").expect("it has an id");
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let expected = format!(
        "{{\"type\":\"about:blank\",\"title\":\"Bad Gateway\",\"status\":502,\"detail\":\"the app failed\",\
         \"instance\":\"urn:wharf:error:{id}\"}}\n"
    );
    assert_eq!(problem.text(), expected);
    server.says(id);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(id)).unwrap_or_default();
    assert!(line.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{line}");
    let nowhere = ask(
        &server,
        "GET",
        "a.test",
        "/nowhere",
        "accept: application/problem+json\r\n",
    );
    assert_eq!(nowhere.status, 404);
    assert!(
        nowhere
            .text()
            .contains("\"detail\":\"nothing is served under this path\""),
        "{}",
        nowhere.text()
    );
}

/// Variables and secrets reach the guest; secrets are not said anywhere.
#[test]
fn secrets_are_read_from_where_they_are_kept() {
    let scratch = Scratch::new();
    scratch.write("password", "hunter2\n");
    let manifest = format!(
        "component = '{}'\n[environment]\nMODE = 'production'\n[secrets]\nPASSWORD = {{ file = 'password' }}\n\
         KEY = {{ variable = 'WHARF_TEST_KEY' }}\n",
        guest("http-env").display()
    );
    let file = scratch.write("wharf.toml", manifest);
    let mut command = Server::command(file, &["--log", "trace"]);
    command.env("WHARF_TEST_KEY", "letmein");
    let server = Server::spawn(command);
    let reply = send(server.addr(), "GET", "/", &[], b"");
    for expected in ["env MODE=production", "env PASSWORD=hunter2", "env KEY=letmein"] {
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    assert!(!server.log().contains("hunter2") && !server.log().contains("letmein"));
}

/// What HTTP/1.1 refuses, HTTP/2 does, too.
#[test]
fn over_http2_a_request_names_one_host_of_this_servers() {
    let scratch = Scratch::new();
    let server = serve(&scratch, &manifest(&[("any", "{ path = '/' }")]));
    let status = |uri: &str, host: Option<&str>| {
        http2::run(async {
            let handle = http2::connect(server.addr()).await;
            let mut request = http::Request::get(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            http2::send(&handle, request.body(()).expect("it is a request"))
                .await
                .status
        })
    };
    assert_eq!(status("http://a.test/", None), 200);
    assert_eq!(status("http://a.test:80/", Some("A.test:80")), 200);
    // A proxy that took it over TLS says so.
    assert_eq!(status("https://a.test/", None), 200);
    assert_eq!(status("ftp://a.test/", None), 400);
    assert_eq!(status("http://user@a.test/", None), 400);
    assert_eq!(status("http://a.test:x/", None), 400);
    assert_eq!(status("http://a.test/", Some("a.test:65536")), 400);
    assert_eq!(status("http://a.test/", Some("b.test")), 400);
}

/// A server that is to get its apps later.
#[test]
fn a_server_without_apps_answers_that_it_has_none() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("apps")).expect("the folder can be made");
    let server = serve(&scratch, "[server]\napps = 'apps'\n");
    assert_eq!(ask(&server, "GET", "a.test", "/", "").status, 421);
}

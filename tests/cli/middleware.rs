//! `--middleware`: components in front of a service, and what is said about those that cannot stand there.

use std::ffi::OsStr;

use wharf_tests::{Finished, Scratch, finish, guest, http, wharf};

use crate::components::{command03, file};

#[track_caller]
fn check_refused(service: &OsStr, middleware: &[&OsStr], parts: &[&str]) {
    let mut command = wharf();
    command.args(["serve", "--addr", "127.0.0.1:0"]);
    for file in middleware {
        command.arg("--middleware").arg(file);
    }
    let finished: Finished = finish(command.arg(service), "");
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "");
    for part in parts {
        assert!(
            finished.stderr.contains(part),
            "{part:?} is not said: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_part_that_does_not_fit_is_named() {
    let (service, front) = (guest("http-hello"), guest("http-middleware-inner"));
    let (service, front) = (service.as_os_str(), front.as_os_str());
    let (_scratch, tool) = file("tool.wasm", command03("i32.const 0"));
    let tool = tool.as_os_str();
    check_refused(
        service,
        &[front, service],
        &["http-hello.wasm: middleware 2", "does not import wasi:http/handler@0.3"],
    );
    check_refused(
        service,
        &[tool],
        &["tool.wasm: middleware 1", "does not export wasi:http/handler@0.3"],
    );
    check_refused(
        tool,
        &[front],
        &["tool.wasm: the service", "does not export wasi:http/handler@0.3"],
    );
    let old = guest("http02-hello");
    check_refused(old.as_os_str(), &[front], &["it has wasi:http/incoming-handler@0.2"]);
}

#[test]
fn a_part_that_is_no_component_is_named() {
    let (service, scratch) = (guest("http-hello"), Scratch::new());
    let text = scratch.write("auth.wasm", "(component)");
    check_refused(
        service.as_os_str(),
        &[text.as_os_str()],
        &["auth.wasm: middleware 1", "WebAssembly text"],
    );
    let absent = scratch.join("absent.wasm");
    check_refused(
        service.as_os_str(),
        &[absent.as_os_str()],
        &["cannot read", "absent.wasm", "No such file"],
    );
}

#[test]
fn a_service_answers_behind_the_same_component_several_times() {
    let front = guest("http-middleware-inner").display().to_string();
    let flags = ["--middleware", &front, "--middleware", &front];
    let server = wharf_tests::Server::start("http-hello", &flags);
    assert_eq!(http::get(server.addr(), "/").status, 200);
}

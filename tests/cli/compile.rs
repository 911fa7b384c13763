//! `wharf compile`: code that is kept as a file, who runs it, and what is said of code that does not fit.

use std::path::{Path, PathBuf};

use wharf_tests::{Finished, Scratch, Server, finish, guest, http, wharf};

use crate::components::{command03, file};

fn compile(flags: &[&str], file: &Path) -> Finished {
    finish(wharf().arg("compile").args(flags).arg(file), "")
}

/// A program that ends with a status, compiled.
fn compiled(scratch: &Scratch, status: u8) -> PathBuf {
    let source = scratch.write("tool.wasm", command03(&format!("i32.const {status}")));
    let finished = compile(&[], &source);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert!(finished.stdout.contains("tool.cwasm"), "{finished:?}");
    std::fs::remove_file(source).expect("it was just written");
    scratch.join("tool.cwasm")
}

fn run(flags: &[&str], file: &Path) -> Finished {
    finish(wharf().arg("run").args(flags).arg(file), "")
}

#[track_caller]
fn refused(finished: &Finished, parts: &[&str]) {
    assert_eq!(finished.code(), Some(125), "{finished:?}");
    for part in parts {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn compiled_code_runs_for_those_who_allow_it() {
    let scratch = Scratch::new();
    for status in [0, 1] {
        let code = compiled(&scratch, status);
        let finished = run(&["--allow-precompiled", "--no-cache"], &code);
        assert_eq!(
            (finished.code(), &*finished.stderr),
            (Some(i32::from(status)), ""),
            "{finished:?}"
        );
        refused(
            &run(&[], &code),
            &["tool.cwasm: this is compiled code", "--allow-precompiled"],
        );
    }
}

#[test]
fn compiled_code_is_served() {
    let scratch = Scratch::new();
    // In a folder that is not there yet.
    let code = scratch.join("build/code/hello.cwasm");
    let finished = compile(&["-o", &code.display().to_string()], &guest("http-hello"));
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let flags = ["--allow-precompiled", "--no-cache"];
    let server = Server::start(code, &flags);
    assert_eq!(http::get(server.addr(), "/").status, 200);
    // A manifest's, which are read and compiled elsewhere.
    let listen =
        "[server]\nlisten = '127.0.0.1:0'\n[apps.hello]\ncomponent = 'build/code/hello.cwasm'\nroutes = [{}]\n";
    let manifest = scratch.write("wharf.toml", listen);
    let server = Server::start_manifest(&manifest, &flags);
    assert_eq!(http::get(server.addr(), "/").status, 200);
    let refused = finish(wharf().args(["serve", "--no-cache"]).arg(manifest), "");
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--allow-precompiled"), "{refused:?}");
}

/// It says what it was made from without an engine.
#[test]
fn compiled_code_is_described() {
    let scratch = Scratch::new();
    let code = scratch.join("sql.cwasm");
    let finished = compile(&["-o", &code.display().to_string()], &guest("sql"));
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let finished = finish(wharf().arg("inspect").arg(&code), "");
    for part in [
        "compiled code of an HTTP service (wasi:http/service@0.3)",
        "written in Rust",
        "[sql] in a manifest",
        "wasi:http/handler@0.3.2",
        "for Wasmtime 48",
        "--allow-precompiled",
        ".text",
    ] {
        assert!(finished.stdout.contains(part), "{part}: {finished:?}");
    }
}

#[test]
fn code_that_does_not_fit_says_what_to_do() {
    let scratch = Scratch::new();
    let code = compiled(&scratch, 0);
    let whole = std::fs::read(&code).expect("it was just written");
    let allowed = ["--allow-precompiled"];

    let cut = scratch.write("cut.cwasm", &whole[..whole.len() - 1]);
    refused(&run(&allowed, &cut), &["cut.cwasm: ", "cut off", "wharf compile"]);

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    let damaged = scratch.write("damaged.cwasm", damaged);
    refused(&run(&allowed, &damaged), &["damaged.cwasm: ", "damaged"]);

    // Other settings: the memory of each instance is laid out otherwise.
    let source = scratch.write("tool.wasm", command03("i32.const 0"));
    assert_eq!(compile(&["--in-little-space"], &source).code(), Some(0));
    refused(
        &run(&allowed, &code),
        &[
            "tool.cwasm: compiled by Wharf",
            "for another engine",
            "wharf compile",
            "tool.wasm",
        ],
    );
}

#[test]
fn a_target_is_compiled_for_or_refused_plainly() {
    let (scratch, source) = file("tool.wasm", command03("i32.const 0"));
    let this = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let code = scratch.join("tool.cwasm");
    assert_eq!(compile(&["--target", &this], &source).code(), Some(0));
    #[cfg(target_os = "linux")]
    assert_eq!(run(&["--allow-precompiled"], &code).code(), Some(0));
    std::fs::remove_file(&code).expect("it was just written");
    let other = if cfg!(target_arch = "x86_64") {
        "aarch64"
    } else {
        "x86_64"
    };
    for target in [format!("{other}-unknown-linux-gnu"), "pdp11".to_owned()] {
        let finished = compile(&["--target", &target], &source);
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        assert!(
            finished.stderr.contains(&format!("cannot compile for {target}")),
            "{}",
            finished.stderr
        );
        assert!(!code.exists(), "nothing is left behind");
    }
}

#[test]
fn what_is_no_component_is_not_compiled() {
    let (scratch, source) = file("odd.wasm", "package a:b;");
    let finished = compile(&[], &source);
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("odd.wasm: this is WIT source"),
        "{}",
        finished.stderr
    );
    assert!(!scratch.join("odd.cwasm").exists());
    let finished = compile(&["-o", &source.display().to_string()], &source);
    assert!(finished.stderr.contains("take the component's place"), "{finished:?}");
}

//! Every way to lift an export called through every way to lower an import, in chains of three components.
//!
//! A chain is two links and a leaf. Guests in Rust are lifted with a callback or without `async`; the stackful ones are
//! text (`matrix/`). Every link leaves a mark on what goes through it, so a result shows that all three took part.
//! 36 chains: each link before each other link, and each link before each leaf twice.

use wasmtime::component::{Accessor, FutureReader, ResourceAny, StreamReader};
use wasmtime::{AsContextMut, Result};
use wharf_tests::guest;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::compose::Composition;
use crate::host::{Gate, State, Writer, prepare, read_all, read_future, run};

mod bindings {
    wasmtime::component::bindgen!({
        path: "guests/component/wit",
        world: "matrix-chain",
        exports: { default: async | store },
        additional_derives: [PartialEq, Clone],
    });
}
use bindings::MatrixChain;
use bindings::exports::wharf::guests::matrix_types::{Point, Problem};

const MATRIX: &str = "wharf:guests/matrix";
const TYPES: &str = "wharf:guests/matrix-types";

/// How it is lifted, and how it lowers.
const LINKS: [&str; 6] =
    ["callback-async", "callback-sync", "sync-async", "sync-sync", "stackful-async", "stackful-sync"];
const LEAVES: [&str; 3] = ["callback", "sync", "stackful"];

#[test]
fn callback_async_before_all() {
    check(0);
}

#[test]
fn callback_sync_before_all() {
    check(1);
}

#[test]
fn sync_async_before_all() {
    check(2);
}

#[test]
fn sync_sync_before_all() {
    check(3);
}

#[test]
fn stackful_async_before_all() {
    check(4);
}

#[test]
fn stackful_sync_before_all() {
    check(5);
}

/// All six chains with one link at their head.
fn check(head: usize) {
    for (middle, link) in LINKS.iter().enumerate() {
        let leaf = LEAVES[(head + middle) % LEAVES.len()];
        let name = format!("{} {link} {leaf}", LINKS[head]);
        let component = chain(LINKS[head], link, leaf);
        run(async {
            let (component, linker, mut store) = prepare(&component);
            let chain = MatrixChain::instantiate_async(&mut store, &component, &linker).await?;
            let calls = store.run_concurrent(async |accessor| call_all(accessor, &chain, leaf).await);
            calls.await.flatten().map_err(|error| error.context(name))
        });
    }
}

async fn call_all(accessor: &Accessor<State>, chain: &MatrixChain, leaf: &str) -> Result<()> {
    values(accessor, chain).await?;
    resources(accessor, chain).await?;
    streams(accessor, chain, leaf).await?;
    if leaf != "sync" {
        rows(accessor, chain).await?;
    }
    at_once(accessor, chain).await
}

async fn values(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    assert_eq!(matrix.call_number(accessor, 5).await?, (5 + 2) * 2 + 200);
    assert_eq!(matrix.call_text(accessor, "hello".into()).await?, "<<HELLO>>");
    assert_eq!(matrix.call_numbers(accessor, vec![1, 2, 3]).await?, [100, 100, 3, 2, 1]);
    assert_eq!(matrix.call_moved(accessor, point(1, "a")).await?, point((1 + 200) * 2, "<<A>>"));
    assert_eq!(matrix.call_checked(accessor, 7).await?, Ok(207));
    assert_eq!(matrix.call_checked(accessor, 0).await?, Err(Problem::Missing));
    assert_eq!(matrix.call_checked(accessor, 1).await?, Err(Problem::Broken("<<one>>".into())));
    Ok(())
}

async fn resources(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    let counters = chain.wharf_guests_matrix_types().counter();
    let counter = counters.call_constructor(accessor, 7).await?;
    assert_eq!(matrix.call_lent(accessor, counter).await?, 7 + 200);
    let counter = matrix.call_given(accessor, counter).await?;
    assert_eq!(counters.call_value(accessor, counter).await?, 8);
    assert_eq!(counters.call_add(accessor, counter, 5).await?, 13);
    Ok(())
}

async fn streams(accessor: &Accessor<State>, chain: &MatrixChain, leaf: &str) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    let counters = chain.wharf_guests_matrix_types().counter();
    // What each leaf can do once it has returned.
    let (bytes_add, others_add) = match leaf {
        "callback" => (1, 1),
        "stackful" => (1, 0),
        _ => (0, 0),
    };

    let bytes = matrix.call_bytes(accessor, stream(accessor, 0..100)?).await?;
    let expected: Vec<u8> = (0..100).map(|byte| byte + bytes_add).collect();
    assert_eq!(read_all(accessor, bytes).await?, expected);

    let points = matrix.call_points(accessor, stream(accessor, (0..10).map(|x| point(x, "p")))?).await?;
    let expected: Vec<Point> = (0..10).map(|x| point(x + others_add, "p")).collect();
    assert_eq!(read_all(accessor, points).await?, expected);

    let mut started: Vec<ResourceAny> = Vec::new();
    for start in [10, 20, 30] {
        started.push(counters.call_constructor(accessor, start).await?);
    }
    let through = matrix.call_counters(accessor, stream(accessor, started)?).await?;
    let mut numbers = Vec::new();
    for counter in read_all(accessor, through).await? {
        numbers.push(counters.call_value(accessor, counter).await?);
    }
    assert_eq!(numbers, [10 + others_add, 20 + others_add, 30 + others_add]);

    let later = accessor.with(|access| FutureReader::new(access, async { Ok::<_, wasmtime::Error>("later".to_owned()) }))?;
    let later = matrix.call_later(accessor, later).await?;
    let expected = if others_add == 1 { "later!" } else { "later" };
    assert_eq!(read_future(accessor, later).await?, expected);
    Ok(())
}

async fn rows(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    for (count, end) in [(3, Ok(())), (11, Err(Problem::Broken("thirteen".into())))] {
        let (rows, ended) = matrix.call_rows(accessor, count).await?;
        let expected: Vec<Point> = (0..count + 2).map(|x| point(x, "row")).collect();
        assert_eq!(read_all(accessor, rows).await?, expected);
        assert_eq!(read_future(accessor, ended).await?, end);
    }
    Ok(())
}

/// Ten calls of one chain at a time: each gets its own answer, whatever waits for whom.
async fn at_once(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    let calls = (0..10).map(|number| async move { (number, matrix.call_number(accessor, number).await) });
    for (number, answer) in futures_util::future::join_all(calls).await {
        assert_eq!(answer?, (number + 2) * 2 + 200);
    }
    Ok(())
}

fn point(x: u32, label: &str) -> Point {
    Point { x, label: label.into() }
}

/// A stream the host writes, three items at a time.
fn stream<T>(accessor: &Accessor<State>, items: impl IntoIterator<Item = T>) -> Result<StreamReader<T>>
where
    T: wasmtime::component::Lower + wasmtime::component::Lift + Unpin + Send + Sync + 'static,
{
    let (writer, _) = Writer::new(items, 3, Gate::opened());
    accessor.with(|mut access| StreamReader::new(access.as_context_mut(), writer))
}

/// Two links and a leaf as one component.
fn chain(head: &str, middle: &str, leaf: &str) -> Vec<u8> {
    let mut chain = Composition::new();
    let leaf = chain.add(&component_of("leaf", leaf), &[]);
    let middle = chain.add(&component_of("link", middle), &[(TYPES, leaf), (MATRIX, leaf)]);
    let head = chain.add(&component_of("link", head), &[(TYPES, leaf), (MATRIX, middle)]);
    chain.export(head, MATRIX);
    chain.export(leaf, TYPES);
    chain.encode()
}

fn component_of(part: &str, kind: &str) -> Vec<u8> {
    match (part, kind) {
        ("leaf", "stackful") => stackful("matrix-leaf", include_str!("matrix/stackful-leaf.wat")),
        (_, "stackful-async") => stackful("matrix-link", &stackful_link(Lower::Async)),
        (_, "stackful-sync") => stackful("matrix-link", &stackful_link(Lower::Sync)),
        _ => std::fs::read(guest(&format!("matrix-{part}-{kind}"))).unwrap(),
    }
}

/// A component of one world from its core module in text.
fn stackful(world: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/guests/component/wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap_or_else(|error| panic!("{error:#}"))
}

#[derive(Clone, Copy)]
enum Lower {
    Sync,
    Async,
}

/// The functions of the interface: core parameters, and whether a call without `async` gives its result directly or
/// writes it where one more parameter points. An `async` one always writes it.
const FUNCTIONS: [(&str, usize, bool); 12] = [
    ("number", 1, true),
    ("text", 2, false),
    ("numbers", 2, false),
    ("moved", 3, false),
    ("checked", 1, false),
    ("lent", 1, true),
    ("given", 1, true),
    ("bytes", 1, true),
    ("points", 1, true),
    ("counters", 1, true),
    ("later", 1, true),
    ("rows", 1, false),
];

fn stackful_link(lower: Lower) -> String {
    let mut imports = String::new();
    let mut calls = String::new();
    for (name, params, direct) in FUNCTIONS {
        let (import, call) = match lower {
            Lower::Async => lowered_async(name, params),
            Lower::Sync => lowered_sync(name, params, direct),
        };
        imports.push_str(&import);
        calls.push_str(&call);
    }
    if matches!(lower, Lower::Async) {
        imports.push_str(include_str!("matrix/wait-imports.wat"));
        calls.push_str(include_str!("matrix/wait.wat"));
    }
    include_str!("matrix/stackful-link.wat").replace("IMPORTS", &imports).replace("CALLS", &calls)
}

fn lowered_async(name: &str, params: usize) -> (String, String) {
    let types = "i32 ".repeat(params + 1);
    let values: String = (0..=params).map(|at| format!("(local.get {at})")).collect();
    (
        format!(r#"(import "{MATRIX}" "[async-lower]{name}" (func $call-{name} (param {types}) (result i32)))"#),
        format!("(func $next-{name} (param {types}) (call $wait (call $call-{name} {values})))"),
    )
}

fn lowered_sync(name: &str, params: usize, direct: bool) -> (String, String) {
    let types = "i32 ".repeat(params + 1);
    if !direct {
        return (format!(r#"(import "{MATRIX}" "{name}" (func $next-{name} (param {types})))"#), String::new());
    }
    // Only functions of one parameter give their result directly.
    (
        format!(r#"(import "{MATRIX}" "{name}" (func $call-{name} (param i32) (result i32)))"#),
        format!("(func $next-{name} (param i32 i32) (i32.store (local.get 1) (call $call-{name} (local.get 0))))"),
    )
}

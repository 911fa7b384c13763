//! Every way to lift an export called through every way to lower an import, in chains of three components.
//!
//! A chain is two links and a leaf. Guests in Rust are lifted with a callback or without `async`; the stackful links are
//! text (`matrix/`). Every link leaves a mark on what goes through it, so a result shows that all three took part.
//! 36 chains: each link before each link, and each link before each leaf three times.

use wasmtime::component::{Accessor, FutureReader, ResourceAny, StreamReader};
use wasmtime::{AsContextMut, Result};
use wharf_tests::guest;

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
const LINKS: [&str; 6] = [
    "callback-async",
    "callback-sync",
    "sync-async",
    "sync-sync",
    "stackful-async",
    "stackful-sync",
];
const LEAVES: [&str; 2] = ["callback", "sync"];

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
    if leaf == "callback" {
        rows(accessor, chain).await?;
    }
    at_once(accessor, chain).await
}

async fn values(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    assert_eq!(matrix.call_number(accessor, 5).await?, (5 + 2) * 2 + 200);
    assert_eq!(matrix.call_text(accessor, "hello".into()).await?, "<<HELLO>>");
    assert_eq!(matrix.call_numbers(accessor, vec![1, 2, 3]).await?, [100, 100, 3, 2, 1]);
    assert_eq!(
        matrix.call_moved(accessor, point(1, "a")).await?,
        point((1 + 200) * 2, "<<A>>")
    );
    assert_eq!(matrix.call_checked(accessor, 7).await?, Ok(207));
    assert_eq!(matrix.call_checked(accessor, 0).await?, Err(Problem::Missing));
    assert_eq!(
        matrix.call_checked(accessor, 1).await?,
        Err(Problem::Broken("<<one>>".into()))
    );
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
    // A leaf that is done when it returns hands back what it got.
    let added = if leaf == "callback" { 1 } else { 0 };

    let bytes = matrix.call_bytes(accessor, stream(accessor, 0..100)?).await?;
    let expected: Vec<u8> = (0..100).map(|byte| byte + added as u8).collect();
    assert_eq!(read_all(accessor, bytes).await?, expected);

    let points = matrix
        .call_points(accessor, stream(accessor, (0..10).map(|x| point(x, "p")))?)
        .await?;
    let expected: Vec<Point> = (0..10).map(|x| point(x + added, "p")).collect();
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
    assert_eq!(numbers, [10 + added, 20 + added, 30 + added]);

    let later =
        accessor.with(|access| FutureReader::new(access, async { Ok::<_, wasmtime::Error>("later".to_owned()) }))?;
    let later = matrix.call_later(accessor, later).await?;
    let expected = if added == 1 { "later!" } else { "later" };
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

/// Calls of one chain at the same time: each gets its own answer, whatever waits for whom.
async fn at_once(accessor: &Accessor<State>, chain: &MatrixChain) -> Result<()> {
    let matrix = chain.wharf_guests_matrix();
    let call = |number| matrix.call_number(accessor, number);
    let (a, b, c, d) = tokio::join!(call(1), call(2), call(3), call(4));
    assert_eq!((a?, b?, c?, d?), (206, 208, 210, 212));
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
        (_, "stackful-async") => stackful_link(Lower::Async),
        (_, "stackful-sync") => stackful_link(Lower::Sync),
        _ => std::fs::read(guest(&format!("matrix-{part}-{kind}"))).unwrap(),
    }
}

/// How a stackful link lowers its imports.
#[derive(Clone, Copy)]
enum Lower {
    Sync,
    Async,
}

/// A function of the interface, as core code sees it.
struct Function {
    name: &'static str,
    /// Core parameters.
    params: usize,
    result: Passed,
    options: &'static str,
}

/// How a call lowered without `async` hands over its result; an `async` one always writes it into memory.
#[derive(Clone, Copy, PartialEq)]
enum Passed {
    Directly,
    ThroughMemory,
}
use Passed::{Directly, ThroughMemory};

const MEMORY: &str = "(memory $memory)";
const REALLOC: &str = "(memory $memory) (realloc $realloc)";

const FUNCTIONS: [Function; 12] = [
    Function {
        name: "number",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "text",
        params: 2,
        result: ThroughMemory,
        options: REALLOC,
    },
    Function {
        name: "numbers",
        params: 2,
        result: ThroughMemory,
        options: REALLOC,
    },
    Function {
        name: "moved",
        params: 3,
        result: ThroughMemory,
        options: REALLOC,
    },
    Function {
        name: "checked",
        params: 1,
        result: ThroughMemory,
        options: REALLOC,
    },
    Function {
        name: "lent",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "given",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "bytes",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "points",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "counters",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "later",
        params: 1,
        result: Directly,
        options: MEMORY,
    },
    Function {
        name: "rows",
        params: 1,
        result: ThroughMemory,
        options: MEMORY,
    },
];

/// What a call lowered with `async` needs besides, to wait for its end.
const WAITING: [(&str, &str, &str); 5] = [
    ("set-new", "waitable-set.new", "(result i32)"),
    (
        "set-wait",
        "waitable-set.wait (memory $memory)",
        "(param i32 i32) (result i32)",
    ),
    ("set-drop", "waitable-set.drop", "(param i32)"),
    ("join", "waitable.join", "(param i32 i32)"),
    ("subtask-drop", "subtask.drop", "(param i32)"),
];

fn stackful_link(lower: Lower) -> Vec<u8> {
    let (mut lowered, mut imports, mut calls, mut exports) = Default::default();
    let mut define = |name: &str, canon: &str, signature: &str| {
        push_line(&mut lowered, &format!("(core func ${name} (canon {canon}))"));
        push_line(
            &mut imports,
            &format!(r#"(import "" "{name}" (func ${name} {signature}))"#),
        );
        push_line(&mut exports, &format!(r#"(export "{name}" (func ${name}))"#));
    };
    for Function {
        name,
        params,
        result,
        options,
    } in FUNCTIONS
    {
        let values = "i32 ".repeat(params + 1);
        let arguments: String = (0..=params).map(|at| format!("(local.get {at}) ")).collect();
        let canon = format!(r#"lower (func $next "{name}") {options}"#);
        match (lower, result) {
            (Lower::Async, _) => {
                define(
                    &format!("call-{name}"),
                    &format!("{canon} async"),
                    &format!("(param {values}) (result i32)"),
                );
                push_line(&mut calls, &format!("(func $next-{name} (param {values})"));
                push_line(&mut calls, &format!("(call $wait (call $call-{name} {arguments})))"));
            }
            (Lower::Sync, ThroughMemory) => define(&format!("next-{name}"), &canon, &format!("(param {values})")),
            // These have one parameter each.
            (Lower::Sync, Directly) => {
                define(&format!("call-{name}"), &canon, "(param i32) (result i32)");
                push_line(&mut calls, &format!("(func $next-{name} (param i32 i32)"));
                push_line(
                    &mut calls,
                    &format!("(i32.store (local.get 1) (call $call-{name} (local.get 0))))"),
                );
            }
        }
    }
    if let Lower::Async = lower {
        for (name, canon, signature) in WAITING {
            define(name, canon, signature);
        }
        calls.push_str(include_str!("matrix/wait.wat"));
    }
    let text = include_str!("matrix/stackful-link.wat")
        .replace(";;LOWERED", &lowered)
        .replace(";;IMPORTS", &imports)
        .replace(";;CALLS", &calls)
        .replace(";;EXPORTS", &exports);
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

//! The command line: environment, exit, standard streams, terminals.

use crate::report::Report;
use crate::text::kebab;
use crate::wasi::cli::{environment, exit as cli_exit, stdin, stdout};
use crate::wasi::cli::{terminal_stderr, terminal_stdin, terminal_stdout};
use crate::wasi::clocks::monotonic_clock;
use crate::wit_stream;
use futures_util::join;
use wit_bindgen::{StreamReader, StreamResult};

/// Bytes per read or write.
const CHUNK_BYTES: usize = 64 * 1024;

/// The arguments behind the program's name.
fn arguments() -> Vec<String> {
    environment::get_arguments().into_iter().skip(1).collect()
}

/// Prints all it was given.
pub async fn environment() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    for argument in environment::get_arguments() {
        report.line(format!("argument {argument:?}")).await;
    }
    for (name, value) in environment::get_environment() {
        report.line(format!("variable {name:?} {value:?}")).await;
    }
    report
        .line(format!("directory {:?}", environment::get_initial_cwd()))
        .await;
    report.close().await
}

/// Ends in the way its argument names.
pub async fn exit() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    report.line("before").await;
    let arguments = arguments();
    match arguments[0].as_str() {
        "return-ok" => return report.close().await,
        "return-err" => return Err(()),
        "exit-ok" => cli_exit::exit(Ok(())),
        "exit-err" => cli_exit::exit(Err(())),
        "exit-with-code" => cli_exit::exit_with_code(arguments[1].parse().unwrap()),
        "trap" => middle_of_the_trap(arguments.len()),
        "panic" => panic!("on purpose"),
        "exhaust-the-stack" => exhaust_the_stack(arguments.len()),
        other => panic!("{other} is no way to end"),
    }
    report.line("after").await;
    Ok(())
}

/// Two functions whose names the backtrace must hold; the argument keeps them from being folded away.
#[inline(never)]
fn middle_of_the_trap(depth: usize) {
    innermost_of_the_trap(depth);
}

#[inline(never)]
fn innermost_of_the_trap(depth: usize) {
    if depth > 0 {
        core::arch::wasm32::unreachable();
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "the point of it")]
fn exhaust_the_stack(depth: usize) {
    let frame = core::hint::black_box([depth; 16]);
    exhaust_the_stack(frame[0] + 1);
    core::hint::black_box(frame);
}

/// Copies standard input to standard output in the way its argument names, and tells on standard error how each end
/// closed.
pub async fn copy() -> Result<(), ()> {
    let mut report = Report::on_stderr();
    let arguments = arguments();
    match arguments[0].as_str() {
        "splice" => splice(&mut report).await,
        "chunks" => copy_chunks(&mut report).await,
        "twice" => copy_twice(&mut report, arguments[1].parse().unwrap()).await,
        other => panic!("{other} is no way to copy"),
    }
    report.close().await
}

/// Hands the host's own stream back to it: the guest touches no byte.
async fn splice(report: &mut Report) {
    let (data, read) = stdin::read_via_stream();
    let written = stdout::write_via_stream(data).await;
    report.line(format!("written {}", end(written))).await;
    report.line(format!("read {}", end(read.await))).await;
}

async fn copy_chunks(report: &mut Report) {
    let (mut data, read) = stdin::read_via_stream();
    let (mut copy, copied) = wit_stream::new();
    let written = stdout::write_via_stream(copied);
    loop {
        let (result, chunk) = data.read(Vec::with_capacity(CHUNK_BYTES)).await;
        if !copy.write_all(chunk).await.is_empty() || result == StreamResult::Dropped {
            break;
        }
    }
    drop(copy);
    drop(data);
    report.line(format!("written {}", end(written.await))).await;
    report.line(format!("read {}", end(read.await))).await;
}

/// The first `bytes` through one pair of streams, the rest through another.
async fn copy_twice(report: &mut Report, bytes: usize) {
    let (mut data, read) = stdin::read_via_stream();
    let first = read_exactly(&mut data, bytes).await;
    drop(data);
    report.line(format!("read {}", end(read.await))).await;

    let (mut copy, copied) = wit_stream::new();
    let written = stdout::write_via_stream(copied);
    copy.write_all(first).await;
    drop(copy);
    report.line(format!("written {}", end(written.await))).await;

    splice(report).await;
}

async fn read_exactly(data: &mut StreamReader<u8>, bytes: usize) -> Vec<u8> {
    let mut read = Vec::with_capacity(bytes);
    while read.len() < bytes {
        // A byte at a time, so that the host has no room to take more than was asked for.
        match data.next().await {
            Some(byte) => read.push(byte),
            None => break,
        }
    }
    read
}

fn end(result: Result<(), impl core::fmt::Debug>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(code) => format!("err {}", kebab(code)),
    }
}

/// Answers every line of standard input on both output streams before it reads the next one.
pub async fn lines() -> Result<(), ()> {
    let mut out = Report::on_stdout();
    let mut err = Report::on_stderr();
    let (mut data, read) = stdin::read_via_stream();
    let mut line = Vec::new();
    while let Some(byte) = data.next().await {
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
        out.line(format!("out {text}")).await;
        err.line(format!("err {text}")).await;
    }
    read.await.map_err(|_| ())?;
    out.line("end").await;
    out.close().await?;
    err.close().await
}

/// Writes BYTES to standard output while it counts on standard error: a reader who stalls one must not stall the
/// other.
pub async fn stalled_output() -> Result<(), ()> {
    let bytes: usize = arguments()[0].parse().unwrap();
    let (mut output, data) = wit_stream::new();
    let written = stdout::write_via_stream(data);
    let write = async move {
        let unsent = output.write_all(vec![b'x'; bytes]).await;
        assert!(unsent.is_empty(), "standard output closed early");
        drop(output);
        written.await.map_err(|_| ())
    };
    let count = async {
        let mut report = Report::on_stderr();
        for number in 1..=5 {
            monotonic_clock::wait_for(10_000_000).await;
            report.line(format!("tick {number}")).await;
        }
        report.close().await
    };
    let (written, counted) = join!(write, count);
    written.and(counted)
}

/// Says which of the standard streams are terminals, on the stream that stays a pipe in every test.
pub async fn terminal() -> Result<(), ()> {
    let mut report = Report::on_stderr();
    report
        .line(format!("stdin {}", terminal_stdin::get_terminal_stdin().is_some()))
        .await;
    report
        .line(format!("stdout {}", terminal_stdout::get_terminal_stdout().is_some()))
        .await;
    report
        .line(format!("stderr {}", terminal_stderr::get_terminal_stderr().is_some()))
        .await;
    report.close().await
}

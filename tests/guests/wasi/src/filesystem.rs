//! Files in bulk, and file operations that overlap with others.

use crate::report::Report;
use crate::wasi::cli::environment::get_arguments;
use crate::wasi::cli::stdin;
use crate::wasi::clocks::monotonic_clock;
use crate::wasi::filesystem::preopens;
use crate::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use crate::wit_stream;
use futures_util::future::{Either, select};
use std::pin::pin;
use wit_bindgen::StreamResult;

/// Bytes per read or write.
const CHUNK_BYTES: usize = 64 * 1024;

fn first_directory() -> Descriptor {
    let (directory, _) = preopens::get_directories().into_iter().next().unwrap();
    directory
}

/// Writes MEBIBYTES to a file, reads them back and waits for the end of standard input, so that the test can look at
/// the host meanwhile.
pub async fn bulk() -> Result<(), ()> {
    let mebibytes: u64 = get_arguments()[1].parse().unwrap();
    let bytes = mebibytes << 20;
    let directory = first_directory();
    let file = directory
        .open_at(
            PathFlags::empty(),
            "bulk".to_owned(),
            OpenFlags::CREATE | OpenFlags::TRUNCATE,
            DescriptorFlags::READ | DescriptorFlags::WRITE,
        )
        .await
        .unwrap();
    let mut report = Report::on_stdout();

    write_pattern(&file, bytes).await;
    report.line(format!("written {bytes}")).await;
    report.line(format!("read {}", read_pattern(&file).await)).await;

    let (rest, _) = stdin::read_via_stream();
    rest.collect().await;
    report.close().await
}

async fn write_pattern(file: &Descriptor, bytes: u64) {
    let (mut output, data) = wit_stream::new();
    let written = file.write_via_stream(data, 0);
    let mut offset = 0;
    while offset < bytes {
        let unsent = output.write_all(pattern(offset, CHUNK_BYTES)).await;
        assert!(unsent.is_empty(), "the file took only {offset} bytes");
        offset += CHUNK_BYTES as u64;
    }
    drop(output);
    written.await.unwrap();
}

/// How many bytes the file gave, each of them checked.
async fn read_pattern(file: &Descriptor) -> u64 {
    let (mut data, read) = file.read_via_stream(0);
    let mut offset = 0;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let (result, filled) = data.read(chunk).await;
        assert!(filled == pattern(offset, filled.len()), "other bytes at {offset}");
        offset += filled.len() as u64;
        if result == StreamResult::Dropped {
            break;
        }
        chunk = filled;
        chunk.clear();
    }
    read.await.unwrap();
    offset
}

/// Prime to every power of two, so that a chunk in the wrong place shows.
fn pattern(offset: u64, length: usize) -> Vec<u8> {
    (offset..offset + length as u64).map(|at| (at % 251) as u8).collect()
}

/// Opens a named pipe, which takes until somebody opens its other end, and counts meanwhile. With `abandon` it ends
/// while the opening is still going on.
pub async fn overlap() -> Result<(), ()> {
    let abandon = get_arguments().get(1).is_some_and(|argument| argument == "abandon");
    let directory = first_directory();
    let opening = pin!(directory.open_at(
        PathFlags::empty(),
        "pipe".to_owned(),
        OpenFlags::empty(),
        DescriptorFlags::READ,
    ));
    let counting = pin!(count(Report::on_stdout()));
    let (mut report, opened) = match select(opening, counting).await {
        Either::Left(_) => panic!("the pipe opened before the test opened its other end"),
        Either::Right((report, _)) if abandon => return report.close().await,
        Either::Right((report, opening)) => (report, opening.await),
    };
    report.line(format!("opened {}", opened.is_ok())).await;
    report.close().await
}

async fn count(mut report: Report) -> Report {
    for number in 1..=5 {
        monotonic_clock::wait_for(10_000_000).await;
        report.line(format!("tick {number}")).await;
    }
    report
}

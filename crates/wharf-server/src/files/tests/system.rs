//! What happens to the folder meanwhile, and crowds.

use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wharf_host::http::ErrorCode;

use super::super::READS_MAX;
use super::super::content::blocking;
use super::{BODY, Scratch, ask, check, get, pattern, read, run};

#[test]
fn a_folder_may_be_replaced_while_it_is_served() {
    let scratch = Scratch::with(&[("a.txt", "old")]);
    let files = scratch.files();
    check(&files, "GET /a.txt", &[], 200, &[(BODY, "old")]);
    fs::rename(scratch.public(), scratch.path.join("old")).unwrap();
    // Whoever runs the server is to hear of it.
    check(&files, "GET /a.txt", &[], 500, &[]);
    scratch.write("a.txt", "new");
    check(&files, "GET /a.txt", &[], 200, &[(BODY, "new")]);
}

#[test]
fn large_files_are_read_in_pieces() {
    let scratch = Scratch::new();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_003] {
        let contents = pattern(length);
        scratch.write("a.bin", &contents);
        let files = scratch.files();
        run(async {
            let mut body = get(&files, "/a.bin", &[]).await.into_body();
            let mut received = Vec::new();
            while let Some(frame) = body.frame().await {
                let left = body.size_hint().exact().unwrap();
                let piece = frame.unwrap().into_data().unwrap();
                assert!(
                    !piece.is_empty() && piece.len() <= 65_536,
                    "{length}: {} bytes",
                    piece.len()
                );
                received.extend_from_slice(&piece);
                assert_eq!(received.len() as u64 + left, length as u64);
            }
            assert!(body.is_end_stream(), "{length}");
            assert!(received == contents, "{length}");
        });
    }
}

/// A response has announced a length: what is missing breaks it off, what is more is not sent.
#[test]
fn a_file_that_changes_its_length_while_it_is_sent() {
    let scratch = Scratch::new();
    let contents = pattern(300_000);
    let check = |change: &dyn Fn(&File), expected: Result<&[u8], usize>| {
        let path = scratch.write("a.bin", &contents);
        let files = scratch.files();
        let (received, error) = run(async {
            let response = get(&files, "/a.bin", &[]).await;
            assert_eq!(response.headers()["content-length"], "300000");
            let mut body = response.into_body();
            let mut received = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
            change(&File::options().read(true).append(true).open(&path).unwrap());
            loop {
                match body.frame().await {
                    None => return (received, None),
                    Some(Ok(frame)) => received.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(error)) => {
                        assert!(body.frame().await.is_none(), "an error is the last");
                        return (received, Some(error));
                    }
                }
            }
        });
        match expected {
            Ok(expected) => assert!(error.is_none() && received == expected, "{error:?}"),
            Err(bytes) => {
                assert!(matches!(error, Some(ErrorCode::HttpResponseIncomplete)), "{error:?}");
                assert!(received == contents[..bytes], "{}", received.len());
            }
        }
    };
    check(&|_| {}, Ok(&contents));
    check(&|file| file.set_len(600_000).unwrap(), Ok(&contents));
    check(&|file| file.set_len(0).unwrap(), Err(65_536));
    check(&|file| file.set_len(299_999).unwrap(), Err(262_144));
    check(&|file| file.set_len(131_072).unwrap(), Err(131_072));
}

/// A file that is removed or replaced is sent as it was when it was opened.
#[test]
fn a_file_that_is_replaced_while_it_is_sent() {
    let scratch = Scratch::new();
    let contents = pattern(300_000);
    let path = scratch.write("a.bin", &contents);
    let files = scratch.files();
    run(async {
        let mut body = get(&files, "/a.bin", &[]).await.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        fs::rename(scratch.write("b.bin", "other"), &path).unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        assert!([first, rest].concat() == contents);
    });
    check(&files, "GET /a.bin", &[], 200, &[(BODY, "other")]);
}

/// No more at once than is said, and no fewer.
#[test]
fn turns_are_given_to_so_many_at_once() {
    const TURNS: usize = 4;
    let (working, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let permits = Arc::new(Semaphore::new(TURNS));
    run(async {
        let mut asking = JoinSet::new();
        for _ in 0..100 {
            let (working, most, permits) = (working.clone(), most.clone(), permits.clone());
            let work = move || {
                most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                working.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            };
            asking.spawn(async move { blocking(&permits, work).await });
        }
        while let Some(done) = asking.join_next().await {
            done.unwrap().unwrap();
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), TURNS);
    assert_eq!(permits.available_permits(), TURNS);
}

/// A crowd waits for its turn, and holds no thread meanwhile.
#[test]
fn ten_thousand_requests_leave_threads_to_others() {
    const CROWD: usize = 10_000;
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    let files = scratch.files();
    let (begun, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    run(async {
        let others = files.site.reads.acquire_many(READS_MAX as u32).await.unwrap();
        let mut asking = JoinSet::new();
        for _ in 0..CROWD {
            let (files, begun, answered) = (files.clone(), begun.clone(), answered.clone());
            asking.spawn(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                let (status, _, body) = read(ask(&files, "GET", "/a.txt", &[]).await).await;
                assert_eq!((status, body.as_slice()), (200, b"hello".as_slice()));
                answered.fetch_add(1, Ordering::Relaxed);
            });
        }
        while begun.load(Ordering::Relaxed) < CROWD {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            answered.load(Ordering::Relaxed),
            0,
            "there are {READS_MAX} turns, all taken"
        );
        drop(others);
        while let Some(done) = asking.join_next().await {
            done.unwrap();
        }
    });
}

/// Who does not read holds no turn: neither between two pieces nor before the first.
#[test]
fn clients_that_do_not_read_hold_nobody_up() {
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    scratch.write("a.bin", pattern(300_000));
    let files = scratch.files();
    run(async {
        let mut unread = Vec::new();
        for _ in 0..2 * READS_MAX {
            let mut body = get(&files, "/a.bin", &[]).await.into_body();
            body.frame().await.unwrap().unwrap();
            unread.push(body);
            unread.push(get(&files, "/a.bin", &[]).await.into_body());
        }
        let (status, _, body) = read(ask(&files, "GET", "/a.txt", &[]).await).await;
        assert_eq!((status, body.as_slice()), (200, b"hello".as_slice()));
        // A piece that has begun and whose client leaves is read to its end, and the turn given back.
        for mut body in unread {
            let _ = tokio::time::timeout(Duration::ZERO, body.frame()).await;
        }
        let (status, _, body) = read(ask(&files, "GET", "/a.bin", &[]).await).await;
        assert_eq!((status, body.len()), (200, 300_000));
        while files.site.reads.available_permits() < READS_MAX {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

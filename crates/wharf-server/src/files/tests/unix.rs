//! What Unix has beside files: rights, links, pipes, handles that run out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::open::Folder;
use super::super::{Answer, Files, FilesOptions};
use super::{BODY, Scratch, check};

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let scratch = Scratch::with(&[("a.txt", "secret"), ("b.txt", "seen")]);
    let path = scratch.public().join("a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    // The superuser reads everything.
    let status = if File::open(&path).is_ok() { 200 } else { 403 };
    check(&scratch.files(), "GET /a.txt", &[], status, &[]);
    check(&scratch.files(), "GET /b.txt", &[], 200, &[(BODY, "seen")]);
}

#[test]
fn a_server_without_handles_is_busy() {
    for (errno, expected) in [
        (rustix::io::Errno::MFILE, true),
        (rustix::io::Errno::NFILE, true),
        (rustix::io::Errno::IO, false),
    ] {
        assert_eq!(Answer::Failed(errno.into()).is_busy(), expected, "{errno}");
    }
    assert!(!Answer::Failed(io::Error::other("other")).is_busy());
    assert!(!Answer::NotFound.is_busy());
}

/// Links, and whether they lead somewhere that is served.
fn linked() -> (Scratch, Vec<(&'static str, bool)>) {
    let scratch = Scratch::with(&[("real/a.txt", "seen"), ("real/deep/b.txt", "seen")]);
    let outside = scratch.path.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a.txt"), "secret").unwrap();
    let public = scratch.public();
    let link = |target: &Path, name: &str| symlink(target, public.join(name)).unwrap();
    link(Path::new("real/a.txt"), "file");
    link(Path::new("real"), "folder");
    link(Path::new("../public/real/a.txt"), "out-and-in");
    link(&public.join("real/a.txt"), "absolute");
    link(&public.join("real"), "absolute-folder");
    link(Path::new("file"), "twice");
    link(Path::new("../a.txt"), "real/deep/up");
    link(Path::new("../outside/a.txt"), "out");
    link(&outside.join("a.txt"), "absolute-out");
    link(Path::new("../outside"), "folder-out");
    link(Path::new(".."), "above");
    link(Path::new("/"), "root");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("circle"), "circle");
    link(Path::new("out"), "twice-out");
    link(Path::new("/proc/self/cwd/Cargo.toml"), "magic");
    let cases = vec![
        ("file", true),
        ("folder/a.txt", true),
        ("folder/deep/b.txt", true),
        ("absolute", true),
        ("absolute-folder/a.txt", true),
        ("out-and-in", true),
        ("twice", true),
        ("real/deep/up", true),
        ("folder/deep/up", true),
        ("out", false),
        ("absolute-out", false),
        ("folder-out/a.txt", false),
        ("above/outside/a.txt", false),
        ("above/public/real/a.txt", true),
        ("root/etc/passwd", false),
        ("dangling", false),
        ("circle", false),
        ("twice-out", false),
        ("magic", false),
        ("file/more", false),
    ];
    (scratch, cases)
}

#[test]
fn links_are_followed_inside_the_folder() {
    let (scratch, cases) = linked();
    let files = scratch.files();
    for (path, is_served) in &cases {
        let (status, body) = if *is_served { (200, "seen") } else { (404, "") };
        check(&files, &format!("GET /{path}"), &[], status, &[(BODY, body)]);
    }
    // And by the steps that are taken where the system has no one call for it.
    let folder = Folder::open(&scratch.public()).unwrap();
    for (path, is_served) in &cases {
        let walked = folder.walk(path).and_then(io::read_to_string);
        match is_served {
            true => assert_eq!(walked.unwrap(), "seen", "{path}"),
            false => assert_eq!(walked.unwrap_err().kind(), io::ErrorKind::NotFound, "{path}"),
        }
    }
    assert!(folder.walk("").unwrap().metadata().unwrap().is_dir());
    // The folder itself may be reached by a link: the operator named it.
    symlink(scratch.public(), scratch.path.join("current")).unwrap();
    let files = Files::new(FilesOptions::new(scratch.path.join("current"))).unwrap();
    check(&files, "GET /file", &[], 200, &[(BODY, "seen")]);
    check(&files, "GET /out", &[], 404, &[]);
}

/// Somebody who may write into the folder turns a part of the path into a link to the outside, at every moment.
#[test]
fn a_link_that_is_put_there_meanwhile_leads_nowhere() {
    let scratch = Scratch::with(&[("real/a.txt", "seen"), ("file", "seen")]);
    let outside = scratch.path.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a.txt"), "secret").unwrap();
    let public = scratch.public();
    symlink(&outside, public.join("real-link")).unwrap();
    symlink(outside.join("a.txt"), public.join("file-link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let turns = std::thread::spawn({
        let (public, stop) = (public.clone(), stop.clone());
        let swap = move |name: &str| {
            let [link, kept] = ["link", "kept"].map(|end| public.join(format!("{name}-{end}")));
            let own = public.join(name);
            for (from, to) in [(&own, &kept), (&link, &own), (&own, &link), (&kept, &own)] {
                fs::rename(from, to).unwrap();
            }
        };
        move || {
            while !stop.load(Ordering::Relaxed) {
                swap("real");
                swap("file");
            }
        }
    });
    let folder = Folder::open(&public).unwrap();
    let mut seen = [0; 4];
    for turn in 0..80_000 {
        let case = turn % seen.len();
        let file = match case {
            0 => folder.walk("real/a.txt"),
            1 => folder.walk("file"),
            2 => folder.open_below("real/a.txt"),
            _ => folder.open_below("file"),
        };
        if let Ok(file) = file {
            assert_eq!(io::read_to_string(file).unwrap(), "seen");
            seen[case] += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    turns.join().unwrap();
    assert!(
        seen.iter().all(|count| *count > 0),
        "they were there now and then: {seen:?}"
    );
}

/// Opening a pipe waits for its writer; nothing of that here.
#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_is_not_found() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let scratch = Scratch::with(&[("a.js", "plain")]);
    let public = scratch.public();
    for pipe in ["pipe", "a.js.br"] {
        mknodat(CWD, public.join(pipe), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(public.join("socket")).unwrap();
    let files = scratch.files();
    check(&files, "GET /pipe", &[], 404, &[]);
    check(&files, "GET /socket", &[], 404, &[]);
    check(
        &files,
        "GET /a.js",
        &[("accept-encoding", "br")],
        200,
        &[(BODY, "plain")],
    );
}

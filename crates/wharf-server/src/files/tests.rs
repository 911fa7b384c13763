//! Files over a folder of their own: every rule through [`Files::answer`]. What others do to the folder meanwhile is in
//! `tests/system.rs`, what only Unix has in `tests/unix.rs`.

mod system;
#[cfg(unix)]
mod unix;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use wharf_host::http::Payload;

use super::condition::Validators;
use super::{Answer, Files, FilesError, FilesOptions, path, redirect_to_folder};

/// 2023-11-14T22:13:20.5Z.
const MODIFIED: Duration = Duration::from_millis(1_700_000_000_500);
const LAST_MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const SECOND_BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const SECOND_AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

/// The tag of a file of five bytes that was modified then.
const TAG_OF_5: &str = "\"6553f100.1dcd6500-5\"";

/// Far beyond anything that a working server needs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A folder that is removed when the test ends, with `public` in it and what lies beside that.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wharf-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("public")).unwrap();
        Self { path }
    }

    /// One with files in `public`.
    fn with(files: &[(&str, &str)]) -> Self {
        let scratch = Self::new();
        for (name, contents) in files {
            scratch.write(name, contents);
        }
        scratch
    }

    fn public(&self) -> PathBuf {
        self.path.join("public")
    }

    /// Writes a file of `public` that was last modified at [`MODIFIED`].
    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.public().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        set_modified(&path, UNIX_EPOCH + MODIFIED);
        path
    }

    fn files(&self) -> Files {
        self.files_with(|_| {})
    }

    fn files_with(&self, set: impl FnOnce(&mut FilesOptions)) -> Files {
        let mut options = FilesOptions::new(self.public());
        set(&mut options);
        Files::new(options).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// As many bytes, of which no part looks like another.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|index| ((index % 251) ^ (index / 65_536)) as u8)
        .collect()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await });
    // A thread that hangs is no reason to wait for it.
    runtime.shutdown_background();
    done.expect("the test does not hang")
}

async fn ask(files: &Files, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        map.append(name, HeaderValue::try_from(*value).unwrap());
    }
    files.answer(&Method::try_from(method).unwrap(), path, &map).await
}

/// A GET whose answer must be a response.
async fn get(files: &Files, path: &str, headers: &[(&str, &str)]) -> http::Response<Payload> {
    match ask(files, "GET", path, headers).await {
        Answer::Response(response) => response,
        other => panic!("{path}: {other:?}"),
    }
}

/// A whole answer; those that the dispatcher writes have a status only.
async fn read(answer: Answer) -> (u16, HeaderMap, Vec<u8>) {
    let status = match answer {
        Answer::Response(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            return (head.status.as_u16(), head.headers, body.to_vec());
        }
        Answer::NotFound => 404,
        Answer::MethodNotAllowed => 405,
        Answer::BadPath(_) => 400,
        Answer::Forbidden => 403,
        Answer::Failed(_) => 500,
    };
    (status, HeaderMap::new(), Vec::new())
}

/// What stands for the content among the headers that [`check`] expects.
const BODY: &str = "body";

/// Asks for `METHOD PATH` with `headers`, and compares status and some headers; what is expected to be "" must not be there.
#[track_caller]
fn check(files: &Files, line: &str, headers: &[(&str, &str)], status: u16, expected: &[(&str, &str)]) {
    let (method, path) = line.split_once(' ').unwrap();
    let (found, fields, body) = run(async { read(ask(files, method, path, headers).await).await });
    assert_eq!(found, status, "{line} {headers:?}");
    for (name, value) in expected {
        let found = match *name {
            BODY => String::from_utf8_lossy(&body).into_owned(),
            name => {
                let values: Vec<_> = fields
                    .get_all(name)
                    .iter()
                    .map(|value| value.to_str().unwrap())
                    .collect();
                values.join(", ")
            }
        };
        assert_eq!(found, *value, "{name} of {line} {headers:?}");
    }
}

#[test]
fn a_file_is_sent_with_what_is_known_of_it() {
    let scratch = Scratch::with(&[("hello.txt", "hello")]);
    let files = scratch.files();
    let head = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "5"),
        ("etag", TAG_OF_5),
        ("last-modified", LAST_MODIFIED),
        ("accept-ranges", "bytes"),
        ("vary", "accept-encoding"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", ""),
        ("content-encoding", ""),
    ];
    let with_body = |body| [&head[..], &[(BODY, body)]].concat();
    check(&files, "GET /hello.txt", &[], 200, &with_body("hello"));
    check(&files, "GET /hello.txt?v=2", &[], 200, &with_body("hello"));
    check(&files, "GET /h%65llo%2Etxt", &[], 200, &with_body("hello"));
    // RFC 9110 section 9.3.2.
    check(&files, "HEAD /hello.txt", &[], 200, &with_body(""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        check(&files, &format!("{method} /hello.txt"), &[], 405, &[]);
        check(&files, &format!("{method} /none"), &[], 405, &[]);
    }
    check(&files, "GET /none", &[], 404, &[]);
    check(&files, "GET /hello.txt/", &[], 404, &[]);
    check(&files, "GET /hello.txt/more", &[], 404, &[]);
    check(&files, &format!("GET /{}", "n".repeat(10_000)), &[], 404, &[]);
}

#[test]
fn options_choose_what_is_said() {
    let scratch = Scratch::with(&[("a.txt", "hello"), ("a.txt.gz", "gzip!")]);
    let files = scratch.files_with(|options| {
        options.precompressed = false;
        options.cache_control = Some(HeaderValue::from_static("max-age=60"));
    });
    let expected = [("vary", ""), ("cache-control", "max-age=60"), (BODY, "hello")];
    check(&files, "GET /a.txt", &[("accept-encoding", "gzip")], 200, &expected);
}

#[test]
fn types_are_told_by_extensions() {
    for (name, expected) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.xml", "text/xml"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.woff2", "font/woff2"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.ico", "image/x-icon"),
        ("a.pdf", "application/pdf"),
        ("a.gz", "application/gzip"),
        ("a.unheard-of", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ] {
        let scratch = Scratch::with(&[(name, "x")]);
        check(
            &scratch.files(),
            &format!("GET /{name}"),
            &[],
            200,
            &[("content-type", expected)],
        );
    }
}

#[test]
fn folders_answer_with_their_index() {
    let scratch = Scratch::with(&[
        ("index.html", "root"),
        ("docs/index.html", "docs"),
        ("docs/deep/index.html", "deep"),
        ("empty/other.txt", ""),
        ("odd/index.html/file", ""),
        ("a b/index.html", ""),
        ("ü/index.html", ""),
        #[cfg(unix)]
        ("x?y#z/index.html", ""),
        #[cfg(unix)]
        ("https:evil.test/index.html", ""),
    ]);
    let files = scratch.files();
    for (path, status, location, body) in [
        ("/", 200, "", "root"),
        ("/index.html", 200, "", "root"),
        ("/docs/", 200, "", "docs"),
        ("/docs/deep/", 200, "", "deep"),
        // Relative, so that it holds below any prefix.
        ("/docs", 308, "docs/", ""),
        ("/docs?a=b&c", 308, "docs/?a=b&c", ""),
        ("/docs/deep", 308, "deep/", ""),
        ("/docs/%64eep", 308, "deep/", ""),
        ("/a%20b", 308, "a%20b/", ""),
        ("/%C3%BC", 308, "%C3%BC/", ""),
        #[cfg(unix)]
        ("/x%3Fy%23z?//evil.test", 308, "x%3Fy%23z/?//evil.test", ""),
        #[cfg(unix)]
        ("/https:evil.test", 308, "https%3Aevil.test/", ""),
        ("/empty", 404, "", ""),
        ("/empty/", 404, "", ""),
        ("/odd/", 404, "", ""),
        ("/odd", 404, "", ""),
        // Nothing that a browser would take for another host's address.
        ("//docs", 404, "", ""),
        ("//", 404, "", ""),
        ("/docs//", 404, "", ""),
        ("//evil.test/..", 404, "", ""),
        ("/%2F/evil.test", 400, "", ""),
    ] {
        let expected = [("location", location), (BODY, body)];
        check(&files, &format!("GET {path}"), &[], status, &expected);
    }
    let without = scratch.files_with(|options| options.index = None);
    for path in ["/", "/docs", "/docs/"] {
        check(&without, &format!("GET {path}"), &[], 404, &[]);
    }
    let other = scratch.files_with(|options| options.index = Some("other.txt".to_owned()));
    check(&other, "GET /empty/", &[], 200, &[]);
    check(&other, "GET /", &[], 404, &[]);
}

/// What a route without anything behind its prefix answers.
#[test]
fn a_prefix_alone_is_sent_to_its_folder() {
    for (path, expected) in [
        ("/assets", Some("assets/")),
        ("/a/assets?x=1", Some("assets/?x=1")),
        ("/assets/", None),
        ("/", None),
        ("//evil.test", None),
        ("/\\evil.test", None),
    ] {
        let response = redirect_to_folder(path);
        let location = response
            .as_ref()
            .map(|response| response.headers()["location"].to_str().unwrap());
        assert_eq!(location, expected, "{path}");
    }
}

#[test]
fn paths_that_look_for_a_hole_find_none() {
    let scratch = Scratch::with(&[
        ("a.txt", ""),
        (".env", "secret"),
        (".git/config", "secret"),
        ("docs/.hidden/a.txt", "secret"),
        ("docs/.well-known/a.txt", "secret"),
        (".well-known/security.txt", "seen"),
        (".well-known/.secret", "secret"),
    ]);
    fs::write(scratch.path.join("beside.txt"), "secret").unwrap();
    fs::create_dir(scratch.path.join("public-too")).unwrap();
    fs::write(scratch.path.join("public-too/a.txt"), "secret").unwrap();
    let files = scratch.files();
    for (path, status) in [
        ("/a.txt", 200),
        ("/.well-known/security.txt", 200),
        // A name that begins with a dot (RFC 8615 for the one exception).
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/.git/config", 404),
        ("/.git/", 404),
        ("/docs/.hidden/a.txt", 404),
        ("/docs/.well-known/a.txt", 404),
        ("/.well-known/.secret", 404),
        ("/.well-known", 404),
        // Upwards, however it is written (RFC 3986 section 6.2.2).
        ("/../beside.txt", 400),
        ("/%2e%2e/beside.txt", 400),
        ("/.%2E/beside.txt", 400),
        ("/docs/../../beside.txt", 400),
        ("/..%2fbeside.txt", 400),
        ("/..%5cbeside.txt", 400),
        ("/..\\beside.txt", 400),
        ("/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400),
        ("/./a.txt", 400),
        ("/..", 400),
        ("/../public-too/a.txt", 400),
        ("/%252e%252e/beside.txt", 404),
        ("//etc/passwd", 404),
        ("/%2Fetc/passwd", 400),
        ("/docs%2Fa.txt", 400),
        // What no name holds.
        ("/a.txt%00", 400),
        ("/a.txt%00.html", 400),
        ("/a%0d%0ab", 400),
        ("/%7f", 400),
        ("/%ff", 400),
        ("/%c0%ae%c0%ae/beside.txt", 400),
        ("/%", 400),
        ("/%2", 400),
        ("/%zz", 400),
        ("/a.txt%", 400),
        ("/%%30%30", 400),
        // No path.
        ("", 400),
        ("*", 400),
        ("a.txt", 400),
        ("?a", 400),
        ("http://a.test/a.txt", 400),
    ] {
        check(&files, &format!("GET {path}"), &[], status, &[]);
    }
}

#[test]
fn names_that_windows_takes_for_others_are_known() {
    for (name, expected) in [
        ("a.txt", false),
        ("a b.txt", false),
        ("console.js", false),
        ("com.js", false),
        ("com10", false),
        ("nullable.ts", false),
        ("a~b.txt", false),
        ("con", true),
        ("CON", true),
        ("Con.txt", true),
        ("con .txt", true),
        ("nul.tar.gz", true),
        ("COM1", true),
        ("com¹", true),
        ("lpt9.txt", true),
        ("CONIN$", true),
        ("a.txt.", true),
        ("a.txt ", true),
        ("a.txt::$DATA", true),
        ("c:", true),
        ("a*", true),
        ("GIT~1", true),
        ("ENV~2.TXT", true),
    ] {
        assert_eq!(path::means_another_file(name), expected, "{name}");
    }
}

/// RFC 9110 section 13.
#[test]
fn conditions_are_judged_in_their_order() {
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    let files = scratch.files();
    let weak = format!("W/{TAG_OF_5}");
    let list = format!("\"a,b\", W/\"c\" ,,{TAG_OF_5}");
    let cut = format!("\"a, {TAG_OF_5}");
    let (matches, none, since, unmodified) = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since");
    let other = "\"other\"";
    let cases: &[(&[(&str, &str)], u16)] = &[
        // Section 13.1.2.
        (&[(none, TAG_OF_5)], 304),
        (&[(none, &weak)], 304),
        (&[(none, "*")], 304),
        (&[(none, &list)], 304),
        (&[(none, other), (none, TAG_OF_5)], 304),
        (&[(none, other)], 200),
        (&[(none, "")], 200),
        (&[(none, "6553f100.1dcd6500-5")], 200),
        (&[(none, &cut)], 200),
        // Section 13.1.3.
        (&[(since, LAST_MODIFIED)], 304),
        (&[(since, SECOND_AFTER)], 304),
        (&[(since, SECOND_BEFORE)], 200),
        (&[(since, "Tuesday, 14-Nov-23 22:13:20 GMT")], 304),
        (&[(since, "Tue Nov 14 22:13:20 2023")], 304),
        (&[(since, "yesterday")], 200),
        (&[(since, LAST_MODIFIED), (since, LAST_MODIFIED)], 200),
        (&[(since, LAST_MODIFIED), (none, other)], 200),
        (&[(since, SECOND_BEFORE), (none, TAG_OF_5)], 304),
        // Section 13.1.1.
        (&[(matches, TAG_OF_5)], 200),
        (&[(matches, "*")], 200),
        (&[(matches, &list)], 200),
        (&[(matches, &weak)], 412),
        (&[(matches, other)], 412),
        (&[(matches, "")], 412),
        // Section 13.1.4.
        (&[(unmodified, LAST_MODIFIED)], 200),
        (&[(unmodified, SECOND_AFTER)], 200),
        (&[(unmodified, SECOND_BEFORE)], 412),
        (&[(unmodified, "yesterday")], 200),
        (&[(unmodified, SECOND_BEFORE), (matches, TAG_OF_5)], 200),
        // Section 13.2.2.
        (&[(matches, other), (none, TAG_OF_5)], 412),
        (&[(matches, TAG_OF_5), (none, TAG_OF_5)], 304),
        (&[(unmodified, SECOND_BEFORE), (since, LAST_MODIFIED)], 412),
        (&[(none, TAG_OF_5), ("range", "bytes=0-1")], 304),
        (&[(matches, other), ("range", "bytes=9-")], 412),
    ];
    for (headers, status) in cases {
        let body = if *status == 200 { "hello" } else { "" };
        check(
            &files,
            "GET /a.txt",
            headers,
            *status,
            &[(BODY, body), ("etag", TAG_OF_5)],
        );
        let without_range: Vec<_> = headers.iter().filter(|(name, _)| *name != "range").copied().collect();
        check(&files, "HEAD /a.txt", &without_range, *status, &[(BODY, "")]);
        check(&files, "GET /none", headers, 404, &[]);
    }
    // Section 15.4.5: what 200 would have said for caches, and nothing of content.
    let files = scratch.files_with(|options| options.cache_control = Some(HeaderValue::from_static("no-cache")));
    let expected = [
        ("etag", TAG_OF_5),
        ("vary", "accept-encoding"),
        ("cache-control", "no-cache"),
        ("content-type", ""),
        ("content-length", ""),
        ("last-modified", ""),
    ];
    check(&files, "GET /a.txt", &[(none, "*")], 304, &expected);
}

/// RFC 9110 section 8.8: a time of modification tells two states apart only once it is past.
#[test]
fn validators_are_sent_where_they_are_safe() {
    let now = UNIX_EPOCH + MODIFIED;
    let check = |time: Option<SystemTime>, etag: Option<&str>, last_modified: Option<&str>| {
        let validators = Validators::new(time, 5, None, now);
        let text = |value: Option<HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text(validators.etag()).as_deref(), etag, "{time:?}");
        assert_eq!(text(validators.last_modified()).as_deref(), last_modified, "{time:?}");
    };
    let ago = |millis| Some(now - Duration::from_millis(millis));
    check(
        ago(2_000),
        Some("\"6553f0fe.1dcd6500-5\""),
        Some("Tue, 14 Nov 2023 22:13:18 GMT"),
    );
    check(ago(1_999), Some("W/\"6553f0fe.1ddca740-5-new\""), None);
    check(ago(0), Some("W/\"6553f100.1dcd6500-5-new\""), None);
    check(
        Some(now + Duration::from_secs(60)),
        Some("W/\"6553f13c.1dcd6500-5-new\""),
        None,
    );
    // Written by archives and package managers into all files alike.
    for seconds in [0, 1, 315_532_800, 315_532_801] {
        check(Some(UNIX_EPOCH + Duration::from_secs(seconds)), None, None);
    }
    check(Some(UNIX_EPOCH - Duration::from_secs(1)), None, None);
    check(None, None, None);

    // Without validators, conditions that name one do not hold, and dates are ignored.
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    set_modified(&scratch.public().join("a.txt"), UNIX_EPOCH + Duration::from_secs(1));
    let files = scratch.files();
    for (name, value, status) in [
        ("if-none-match", TAG_OF_5, 200),
        ("if-none-match", "*", 304),
        ("if-match", TAG_OF_5, 412),
        ("if-match", "*", 200),
        ("if-modified-since", SECOND_AFTER, 200),
        ("if-unmodified-since", SECOND_BEFORE, 200),
    ] {
        self::check(
            &files,
            "GET /a.txt",
            &[(name, value)],
            status,
            &[("etag", ""), ("last-modified", "")],
        );
    }
    self::check(
        &files,
        "GET /a.txt",
        &[("range", "bytes=0-1"), ("if-range", TAG_OF_5)],
        200,
        &[(BODY, "hello")],
    );
}

/// A new state has a new tag, also where length and second are those of the old one.
#[test]
fn a_file_that_changes_has_another_tag() {
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    let files = scratch.files();
    let path = scratch.write("a.txt", "HELLO");
    set_modified(&path, UNIX_EPOCH + MODIFIED + Duration::from_nanos(100));
    check(
        &files,
        "GET /a.txt",
        &[("if-none-match", TAG_OF_5)],
        200,
        &[(BODY, "HELLO")],
    );
    // Just written: whoever asks again with this tag later gets the file.
    fs::write(&path, "hello").unwrap();
    let etag = run(async {
        get(&files, "/a.txt", &[]).await.headers()["etag"]
            .to_str()
            .unwrap()
            .to_owned()
    });
    assert!(etag.starts_with("W/"), "{etag}");
    std::thread::sleep(Duration::from_millis(2_100));
    check(
        &files,
        "GET /a.txt",
        &[("if-none-match", &etag)],
        200,
        &[(BODY, "hello")],
    );
}

/// RFC 9110 section 14.
#[test]
fn ranges() {
    let scratch = Scratch::with(&[("ten.txt", "0123456789"), ("empty.txt", "")]);
    let files = scratch.files();
    for (range, status, place, body) in [
        // Section 14.1.2.
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=0-", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=8-100", 206, "bytes 8-9/10", "89"),
        ("bytes=9-99999999999999999999999999", 206, "bytes 9-9/10", "9"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=-100", 206, "bytes 0-9/10", "0123456789"),
        ("BYTES=1-1", 206, "bytes 1-1/10", "1"),
        ("bytes= 1-1 ", 206, "bytes 1-1/10", "1"),
        ("bytes=,1-1,,", 206, "bytes 1-1/10", "1"),
        // Section 15.5.17.
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=10-20", 416, "bytes */10", ""),
        ("bytes=-0", 416, "bytes */10", ""),
        ("bytes=10-,-0", 416, "bytes */10", ""),
        ("bytes=99999999999999999999999999-", 416, "bytes */10", ""),
        // Of several, those there are; one is none of a multipart (section 15.3.7.2).
        ("bytes=20-30,2-3", 206, "bytes 2-3/10", "23"),
        // Section 14.2: ignored.
        ("bytes=4-2", 200, "", "0123456789"),
        ("bytes=", 200, "", "0123456789"),
        ("bytes=-", 200, "", "0123456789"),
        ("bytes=a-b", 200, "", "0123456789"),
        ("bytes=1", 200, "", "0123456789"),
        ("bytes=+1-2", 200, "", "0123456789"),
        ("bytes=1-2,x", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
        ("1-2", 200, "", "0123456789"),
        // Overlapping, or too many.
        ("bytes=0-5,5-9", 200, "", "0123456789"),
        ("bytes=0-,0-,0-", 200, "", "0123456789"),
        ("bytes=4-5,-8", 200, "", "0123456789"),
        ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8", 200, "", "0123456789"),
    ] {
        let length = match status {
            416 => String::new(),
            _ => body.len().to_string(),
        };
        let expected = [
            ("content-range", place),
            (BODY, body),
            ("content-length", &length),
            ("accept-ranges", "bytes"),
        ];
        check(&files, "GET /ten.txt", &[("range", range)], status, &expected);
        // Section 14.2: for GET alone.
        let expected = [("content-range", ""), ("content-length", "10")];
        check(&files, "HEAD /ten.txt", &[("range", range)], 200, &expected);
    }
    check(
        &files,
        "GET /ten.txt",
        &[("range", "bytes=1-1"), ("range", "bytes=2-2")],
        200,
        &[],
    );
    for range in ["bytes=0-", "bytes=-5", "bytes=0-0,1-1"] {
        let expected = [("content-range", ""), ("content-length", "0")];
        check(&files, "GET /empty.txt", &[("range", range)], 200, &expected);
    }
}

/// RFC 9110 section 13.1.5.
#[test]
fn a_range_is_sent_while_the_file_is_what_the_client_has_of_it() {
    let scratch = Scratch::with(&[("a.txt", "hello")]);
    let files = scratch.files();
    let weak = format!("W/{TAG_OF_5}");
    let two = format!("{TAG_OF_5}, {TAG_OF_5}");
    for (if_range, status) in [
        (TAG_OF_5, 206),
        (LAST_MODIFIED, 206),
        (weak.as_str(), 200),
        ("\"other\"", 200),
        (SECOND_BEFORE, 200),
        (SECOND_AFTER, 200),
        ("*", 200),
        ("", 200),
        (two.as_str(), 200),
    ] {
        check(
            &files,
            "GET /a.txt",
            &[("range", "bytes=1-2"), ("if-range", if_range)],
            status,
            &[],
        );
        // What does not hold makes the range ignored, not refused.
        let status = if status == 206 { 416 } else { 200 };
        check(
            &files,
            "GET /a.txt",
            &[("range", "bytes=9-"), ("if-range", if_range)],
            status,
            &[],
        );
    }
    let twice = [("range", "bytes=1-2"), ("if-range", TAG_OF_5), ("if-range", TAG_OF_5)];
    check(&files, "GET /a.txt", &twice, 200, &[]);
    check(&files, "GET /a.txt", &[("if-range", "\"other\"")], 200, &[]);
}

/// RFC 9110 section 14.6.
#[test]
fn several_ranges_travel_in_parts() {
    let large = pattern(1_000_000);
    let scratch = Scratch::with(&[("ten.txt", "0123456789")]);
    scratch.write("large.bin", &large);
    let files = scratch.files();
    let check = |path: &str, range: &str, kind: &str, parts: &[(&str, &[u8])]| {
        let (status, headers, body) = run(async { read(ask(&files, "GET", path, &[("range", range)]).await).await });
        assert_eq!(status, 206, "{range}");
        let multipart = headers["content-type"].to_str().unwrap();
        let boundary = multipart
            .strip_prefix("multipart/byteranges; boundary=")
            .expect(multipart);
        assert!(!headers.contains_key("content-range"), "{range}");
        assert_eq!(headers["content-length"], body.len().to_string(), "{range}");
        let mut expected = Vec::new();
        for (place, bytes) in parts {
            let head = format!("\r\n--{boundary}\r\ncontent-type: {kind}\r\ncontent-range: {place}\r\n\r\n");
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(bytes);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(body == expected, "{range}: {}", String::from_utf8_lossy(&body));
    };
    let text = "text/plain; charset=utf-8";
    check(
        "/ten.txt",
        "bytes=0-1,8-",
        text,
        &[("bytes 0-1/10", b"01"), ("bytes 8-9/10", b"89")],
    );
    // In the order asked for; what is not there is left out.
    check(
        "/ten.txt",
        "bytes=-1, 50-60, 0-0",
        text,
        &[("bytes 9-9/10", b"9"), ("bytes 0-0/10", b"0")],
    );
    check(
        "/ten.txt",
        "bytes=0-4,5-9",
        text,
        &[("bytes 0-4/10", b"01234"), ("bytes 5-9/10", b"56789")],
    );
    check(
        "/large.bin",
        "bytes=-300000,1-400000",
        "application/octet-stream",
        &[
            ("bytes 700000-999999/1000000", &large[700_000..]),
            ("bytes 1-400000/1000000", &large[1..=400_000]),
        ],
    );
}

#[test]
fn compressed_variants_are_sent_to_those_who_decode_them() {
    let scratch = Scratch::with(&[
        ("all.js", "plain"),
        ("all.js.br", "brotl"),
        ("all.js.zst", "zstd!"),
        ("all.js.gz", "gzip!"),
        ("one.js", "plain"),
        ("one.js.gz", "gzip!"),
        ("none.js", "plain"),
        ("folder.js", "plain"),
        ("folder.js.br/file", ""),
        ("orphan.js.br", "brotl"),
        ("docs/index.html", "plain"),
        ("docs/index.html.br", "brotl"),
    ]);
    let files = scratch.files();
    for (path, accepted, coding) in [
        // RFC 9110 section 12.5.3.
        ("/all.js", "br", "br"),
        ("/all.js", "zstd", "zstd"),
        ("/all.js", "gzip", "gzip"),
        ("/all.js", "GZip", "gzip"),
        ("/all.js", "x-gzip", "gzip"),
        ("/all.js", "gzip, deflate, br, zstd", "br"),
        ("/all.js", "gzip, deflate", "gzip"),
        ("/all.js", "gzip;q=1.0, br;q=0.9", "gzip"),
        ("/all.js", "gzip;q=0.5, zstd;q=0.501", "zstd"),
        ("/all.js", "gzip ; Q=0.5 , zstd ; q=0.6", "zstd"),
        ("/all.js", "*", "br"),
        ("/all.js", "*;q=0.1, br;q=0", "zstd"),
        ("/all.js", "br;q=0, *", "zstd"),
        ("/all.js", "gzip;q=0", ""),
        ("/all.js", "br;q=0.000, gzip;q=0.001", "gzip"),
        ("/all.js", "identity", ""),
        ("/all.js", "identity, gzip;q=0.5", ""),
        ("/all.js", "identity;q=0.5, gzip;q=0.5", "gzip"),
        ("/all.js", "identity;q=0, gzip;q=0.1", "gzip"),
        ("/all.js", "deflate", ""),
        ("/all.js", "", ""),
        // A weight that is none is nobody's.
        ("/all.js", "br;q=2, gzip", "gzip"),
        ("/all.js", "br;q=0.5555, gzip", "gzip"),
        ("/all.js", "br;q=, gzip", "gzip"),
        ("/all.js", "br;q=-1, gzip;q=1.001", ""),
        ("/one.js", "br, zstd, gzip;q=0.1", "gzip"),
        ("/one.js", "br", ""),
        ("/one.js", "identity;q=0", ""),
        ("/none.js", "br, gzip", ""),
        ("/folder.js", "br, gzip", ""),
        ("/docs/", "br", "br"),
    ] {
        let body = match coding {
            "br" => "brotl",
            "zstd" => "zstd!",
            "gzip" => "gzip!",
            _ => "plain",
        };
        let kind = match path {
            "/docs/" => "text/html; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        // Distinct though all have one length and time (RFC 9110 section 8.8.3.3).
        let etag = match coding {
            "" => TAG_OF_5.to_owned(),
            coding => TAG_OF_5.replace("-5", &format!("-5-{coding}")),
        };
        let expected = [
            ("content-encoding", coding),
            ("content-type", kind),
            ("content-length", "5"),
            ("vary", "accept-encoding"),
            ("etag", &etag),
            (BODY, body),
        ];
        check(
            &files,
            &format!("GET {path}"),
            &[("accept-encoding", accepted)],
            200,
            &expected,
        );
        // The tag of one is not the other's.
        let again = [("accept-encoding", accepted), ("if-none-match", etag.as_str())];
        check(
            &files,
            &format!("GET {path}"),
            &again,
            304,
            &[("vary", "accept-encoding")],
        );
    }
    check(
        &files,
        "GET /all.js",
        &[],
        200,
        &[("content-encoding", ""), (BODY, "plain")],
    );
    check(&files, "GET /orphan.js", &[("accept-encoding", "br")], 404, &[]);
    let both = [("accept-encoding", "br;q=0.1"), ("accept-encoding", "gzip")];
    check(&files, "GET /all.js", &both, 200, &[("content-encoding", "gzip")]);
    // Ranges are of what is sent (RFC 9110 section 14.2).
    let range = [("accept-encoding", "br"), ("range", "bytes=1-2")];
    let expected = [
        ("content-range", "bytes 1-2/5"),
        ("content-encoding", "br"),
        (BODY, "ro"),
    ];
    check(&files, "GET /all.js", &range, 206, &expected);
    let of_another = [
        ("accept-encoding", "br"),
        ("range", "bytes=1-2"),
        ("if-range", TAG_OF_5),
    ];
    check(&files, "GET /all.js", &of_another, 200, &[(BODY, "brotl")]);
}

#[test]
fn a_variant_of_another_state_is_passed_over() {
    let scratch = Scratch::with(&[("a.js", "plain"), ("a.js.br", "brotl")]);
    let files = scratch.files();
    for (seconds, body) in [(0, "brotl"), (60, "brotl"), (61, "plain"), (86_400, "plain")] {
        set_modified(
            &scratch.public().join("a.js.br"),
            UNIX_EPOCH + MODIFIED - Duration::from_secs(seconds),
        );
        check(&files, "GET /a.js", &[("accept-encoding", "br")], 200, &[(BODY, body)]);
    }
}

#[test]
fn the_fallback_answers_those_who_look_for_a_page() {
    let scratch = Scratch::with(&[
        ("app.html", "app"),
        ("app.html.br", "brotl"),
        ("a.txt", "text"),
        ("sub/b.txt", ""),
    ]);
    let files = scratch.files_with(|options| {
        options.fallback = Some("app.html".into());
        options.cache_control = Some(HeaderValue::from_static("max-age=60"));
    });
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (path, accept, status, body) in [
        ("/users/7", browser, 200, "app"),
        ("/", browser, 200, "app"),
        ("/sub", browser, 200, "app"),
        ("/sub/", browser, 200, "app"),
        ("/gone.js", "TEXT/HTML", 200, "app"),
        ("/a.txt/", browser, 200, "app"),
        ("/a.txt", browser, 200, "text"),
        ("/gone.js", "*/*", 404, ""),
        ("/gone.js", "", 404, ""),
        ("/gone.png", "image/avif,image/webp,*/*;q=0.8", 404, ""),
        ("/users/7", "text/html;q=0", 404, ""),
        ("/users/7", "text/html;level=1;q=0.3", 200, "app"),
        ("/users/7", "application/json", 404, ""),
        ("/.git/config", browser, 404, ""),
        ("/..", browser, 400, ""),
    ] {
        check(
            &files,
            &format!("GET {path}"),
            &[("accept", accept)],
            status,
            &[(BODY, body)],
        );
    }
    check(&files, "GET /users/7", &[], 404, &[]);
    check(&files, "POST /users/7", &[("accept", browser)], 405, &[]);
    let expected = [
        ("content-type", "text/html; charset=utf-8"),
        ("vary", "accept, accept-encoding"),
        ("cache-control", "no-cache"),
        ("content-length", "3"),
        (BODY, ""),
    ];
    check(&files, "HEAD /users/7", &[("accept", browser)], 200, &expected);
    let compressed = [("accept", browser), ("accept-encoding", "br")];
    check(
        &files,
        "GET /users/7",
        &compressed,
        200,
        &[("content-encoding", "br"), (BODY, "brotl")],
    );
    check(&files, "GET /app.html", &[], 200, &[("cache-control", "max-age=60")]);
    // Taken away while the server runs.
    fs::remove_file(scratch.public().join("app.html")).unwrap();
    check(&files, "GET /users/7", &[("accept", browser)], 404, &[]);
}

#[test]
fn options_that_cannot_be_served_are_refused() {
    let scratch = Scratch::with(&[("a.txt", "x"), ("sub/app.html", "x")]);
    fs::write(scratch.path.join("beside.txt"), "secret").unwrap();
    let check = |set: &dyn Fn(&mut FilesOptions), expected: Option<&str>| {
        let mut options = FilesOptions::new(scratch.public());
        set(&mut options);
        let told = Files::new(options).err().map(|error: FilesError| error.to_string());
        match (told, expected) {
            (Some(told), Some(expected)) => assert!(told.contains(expected), "{told}"),
            (told, expected) => assert_eq!(told.as_deref(), expected),
        }
    };
    let fallback = |name: &'static str| move |options: &mut FilesOptions| options.fallback = Some(name.into());
    let index = |name: &'static str| move |options: &mut FilesOptions| options.index = Some(name.into());
    check(&|_| {}, None);
    check(&fallback("a.txt"), None);
    check(&fallback("sub/app.html"), None);
    check(&fallback("./sub/app.html"), None);
    check(&fallback("none.html"), Some("cannot read the fallback none.html below"));
    check(&fallback("sub"), Some("cannot read the fallback sub"));
    check(&fallback(""), Some("cannot read the fallback"));
    check(&fallback("../beside.txt"), Some("not below the folder"));
    check(&fallback("/etc/passwd"), Some("not below the folder"));
    for name in ["", ".", "..", "a/b", "/a", "a/", "a\\b", "a\0"] {
        check(&index(name), Some("is not a file's name"));
    }
    check(&|options| options.folder.push("none"), Some("cannot read the folder"));
    check(&|options| options.folder.push("a.txt"), Some("cannot read the folder"));
}

//! Files and directories: every function, and what keeps a guest inside its directories.
//!
//! A case is a list of calls with what each must give (see `filesystem_calls.rs` among the guests), made in a fresh folder:
//! `/work` is writable, `/other` too, `/read` is the same folder as `/work` but read-only, and `outside` lies beside them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use wharf_tests::Scratch;

use crate::run::{lines, versions};

/// Where the guest has no business: neither its content nor its change may ever show.
const OUTSIDE: &str = "outside";

/// The folders of one case.
pub struct Folders(Scratch);

impl Folders {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("outside/secret", "secret");
        scratch.write("work/file", "hello world");
        scratch.write("work/directory/inner", "inner");
        scratch.write("other/file", "other");
        Self(scratch)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn flags(&self) -> Vec<String> {
        let directory = |folder: &str, name: &str| format!("{}::{name}", self.0.join(folder).display());
        let [work, other, read] =
            [("work", "/work"), ("other", "/other"), ("work", "/read")].map(|(folder, name)| directory(folder, name));
        ["--dir", &work, "--dir", &other, "--dir-ro", &read]
            .map(str::to_owned)
            .to_vec()
    }

    fn lines(&self, name: &str, calls: &[&str]) -> Vec<String> {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        lines(name, &flags, calls)
    }

    /// The folder outside is as it was.
    fn outside_is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.path(OUTSIDE))
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        let secret = self.path("outside/secret");
        assert_eq!(fs::read_to_string(&secret).expect("it is there"), "secret");
        assert_eq!(
            fs::metadata(&secret).expect("it is there").nlink(),
            1,
            "somebody linked to it"
        );
    }
}

/// Makes the calls on both versions. In what is expected, ` or ` stands between alternatives.
fn check(calls: &[(&str, &str)]) {
    check_in(|_| {}, calls);
}

/// Like [`check`], in folders that were prepared further.
pub fn check_in(prepare: impl Fn(&Folders), calls: &[(&str, &str)]) {
    let (arguments, expected): (Vec<&str>, Vec<&str>) = calls.iter().copied().unzip();
    for name in versions("filesystem-calls") {
        let folders = Folders::new();
        prepare(&folders);
        let lines = folders.lines(&name, &arguments);
        let ok = lines.len() == expected.len()
            && lines
                .iter()
                .zip(&expected)
                .all(|(line, expected)| expected.split(" or ").any(|one| line == one));
        let table: Vec<_> = arguments.iter().zip(&expected).zip(&lines).collect();
        assert!(ok, "{name}: (call, expected), result: {table:#?}");
        folders.outside_is_untouched();
    }
}

#[test]
fn preopened_directories_have_their_names() {
    check(&[
        ("preopens", "ok /other /read /work"),
        ("get-type /work", "ok directory"),
    ]);
}

#[test]
fn reading() {
    check(&[
        ("f=open-at /work file read", "ok"),
        ("read f 0", "ok hello world"),
        ("read f 6", "ok world"),
        ("read f 0 5", "ok hello"),
        ("read f 4 3", "ok o w"),
        ("read f 11", "ok ''"),
        ("read f 1000000", "ok ''"),
        // A descriptor that was opened for reading only.
        ("write f 0 x", "err bad-descriptor or err not-permitted"),
        ("append f x", "err bad-descriptor or err not-permitted"),
        ("set-size f 0", "err bad-descriptor or err invalid or err not-permitted"),
        ("read f 0", "ok hello world"),
        ("read /work 0", "err is-directory"),
    ]);
}

#[test]
fn writing() {
    check(&[
        ("f=open-at /work new create read write", "ok"),
        ("write f 0 hello", "ok"),
        ("write f 3 p!", "ok"),
        ("read f 0", "ok help!"),
        ("append f more", "ok"),
        ("read f 0", "ok help!more"),
        ("write f 12 end", "ok"),
        ("read f 0", "ok help!more\\0\\0\\0end"),
        ("write f 0 ''", "ok"),
        ("set-size f 4", "ok"),
        ("append f *100000", "ok"),
        ("stat f", "ok regular-file links:1 size:100004"),
        ("read f 4", "ok *100000"),
        ("set-size f 2", "ok"),
        ("set-size f 5", "ok"),
        ("read f 0", "ok he\\0\\0\\0"),
        ("sync f", "ok"),
        ("sync-data f", "ok"),
        ("sync /work", "ok"),
        ("sync-data /work", "ok"),
        ("w=open-at /work new write", "ok"),
        ("write w 0 HE", "ok"),
        ("read w 0", "err bad-descriptor or err not-permitted"),
        ("read f 0 2", "ok HE"),
    ]);
}

#[test]
fn opening_takes_its_flags() {
    check(&[
        ("open-at /work file read", "ok"),
        ("open-at /work file", "ok"),
        ("open-at /work absent read", "err no-entry"),
        ("open-at /work absent read write", "err no-entry"),
        ("open-at /work file create read write", "ok"),
        ("open-at /work file create exclusive read write", "err exist"),
        ("open-at /work new1 create exclusive write", "ok"),
        ("open-at /work new1 create exclusive write", "err exist"),
        ("open-at /work directory read", "ok"),
        ("open-at /work directory directory read", "ok"),
        ("open-at /work file directory read", "err not-directory"),
        ("open-at /work directory write", "err is-directory"),
        ("open-at /work absent directory read", "err no-entry"),
        ("open-at /work new2 create directory read write", "err invalid"),
        ("stat-at /work new2", "err no-entry"),
        ("t=open-at /work file truncate read write", "ok"),
        ("read t 0", "ok ''"),
        ("open-at /work file/inner read", "err not-directory"),
        ("open-at /work '' read", "err no-entry or err invalid"),
        ("d=open-at /work directory directory read", "ok"),
        ("i=open-at d inner read", "ok"),
        ("read i 0", "ok inner"),
        ("open-at i inner read", "err not-directory"),
        ("j=open-at /work ./directory/../directory//inner read", "ok"),
        ("read j 0", "ok inner"),
        ("open-at /work file/ read", "err not-directory"),
        ("open-at /work . directory read", "ok"),
    ]);
}

#[test]
fn what_no_filesystem_holds_is_an_error() {
    let huge = u64::MAX.to_string();
    check(&[
        ("open-at /work *300 create write", "err name-too-long"),
        ("create-directory-at /work *300", "err name-too-long"),
        ("f=open-at /work file read write", "ok"),
        (&format!("set-size f {huge}"), "err invalid or err file-too-large"),
        (
            &format!("write f {huge} x"),
            "err invalid or err file-too-large or err overflow",
        ),
        (&format!("read f {huge}"), "err invalid or err overflow or ok ''"),
        ("read f 0", "ok hello world"),
    ]);
}

#[test]
fn synchronous_writing_is_a_request() {
    for flag in ["file-integrity-sync", "data-integrity-sync", "requested-write-sync"] {
        check(&[
            (&format!("f=open-at /work new create write {flag}"), "ok"),
            ("write f 0 text", "ok"),
            ("stat f", "ok regular-file links:1 size:4"),
        ]);
    }
}

#[test]
fn descriptors_tell_their_flags() {
    check(&[
        ("r=open-at /work file read", "ok"),
        ("get-flags r", "ok read"),
        ("w=open-at /work file write", "ok"),
        ("get-flags w", "ok write"),
        ("rw=open-at /work file read write", "ok"),
        ("get-flags rw", "ok read write"),
        ("get-flags /work", "ok read mutate-directory"),
        ("get-flags /read", "ok read"),
    ]);
}

#[test]
fn types_are_told_apart() {
    let prepare = |folders: &Folders| {
        symlink("file", folders.path("work/link")).expect("a link can be made");
        let pipe = folders.path("work/pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
        std::os::unix::net::UnixListener::bind(folders.path("work/socket")).expect("a socket can be bound");
    };
    check_in(
        prepare,
        &[
            ("stat-at /work file", "ok regular-file links:1 size:11"),
            ("stat-at /work link", "ok symbolic-link links:1 size:4"),
            ("stat-at /work link follow", "ok regular-file links:1 size:11"),
            ("f=open-at /work file read", "ok"),
            ("get-type f", "ok regular-file"),
            ("d=open-at /work directory read", "ok"),
            ("get-type d", "ok directory"),
            ("stat-at /work pipe", "ok fifo links:1 size:0"),
            ("stat-at /work socket", "ok socket links:1 size:0"),
            (
                "read-directory /work",
                "ok directory:directory file:regular-file link:symbolic-link pipe:fifo socket:socket",
            ),
        ],
    );
}

#[test]
fn directories_are_listed_whole() {
    let prepare = |folders: &Folders| {
        for number in 0..1000 {
            folders.0.write(format!("work/many/{number}"), "");
        }
        folders.0.write("work/names/ü", "");
        folders.0.write("work/names/.hidden", "");
    };
    check_in(
        prepare,
        &[
            (
                "read-directory /work",
                "ok directory:directory file:regular-file many:directory names:directory",
            ),
            ("many=open-at /work many directory read", "ok"),
            ("count-directory many", "ok 1000"),
            ("count-directory many", "ok 1000"),
            ("names=open-at /work names directory read", "ok"),
            ("read-directory names", "ok .hidden:regular-file ü:regular-file"),
            ("create-directory-at /work empty", "ok"),
            ("empty=open-at /work empty directory read", "ok"),
            ("read-directory empty", "ok"),
            ("f=open-at /work file read", "ok"),
            ("read-directory f", "err not-directory"),
        ],
    );
}

#[test]
fn directories_are_made_and_removed() {
    check(&[
        ("create-directory-at /work new", "ok"),
        ("create-directory-at /work new", "err exist"),
        ("create-directory-at /work file", "err exist"),
        ("create-directory-at /work absent/new", "err no-entry"),
        ("create-directory-at /work new/inner", "ok"),
        ("remove-directory-at /work new", "err not-empty"),
        ("remove-directory-at /work new/inner", "ok"),
        ("remove-directory-at /work new", "ok"),
        ("remove-directory-at /work new", "err no-entry"),
        ("remove-directory-at /work file", "err not-directory"),
        ("stat-at /work new", "err no-entry"),
    ]);
}

#[test]
fn files_are_removed() {
    check(&[
        ("f=open-at /work file read", "ok"),
        ("unlink-file-at /work file", "ok"),
        ("unlink-file-at /work file", "err no-entry"),
        // The name is gone, what was opened stays.
        ("read f 0", "ok hello world"),
        (
            "unlink-file-at /work directory",
            "err is-directory or err access or err not-permitted",
        ),
        ("stat-at /work file", "err no-entry"),
    ]);
}

#[test]
fn files_are_renamed() {
    check(&[
        ("rename-at /work file /work renamed", "ok"),
        ("stat-at /work file", "err no-entry"),
        ("f=open-at /work renamed read", "ok"),
        ("read f 0", "ok hello world"),
        ("rename-at /work renamed /work directory/moved", "ok"),
        ("rename-at /work absent /work new", "err no-entry"),
        ("rename-at /work directory /work directory/inside", "err invalid"),
        ("rename-at /work directory /work moved-directory", "ok"),
        ("read-directory /work", "ok moved-directory:directory"),
        // Onto another: it is replaced.
        (
            "rename-at /work moved-directory/moved /work moved-directory/inner",
            "ok",
        ),
        ("g=open-at /work moved-directory/inner read", "ok"),
        ("read g 0", "ok hello world"),
        // From one preopened directory to another.
        ("rename-at /work moved-directory/inner /other file", "ok"),
        ("h=open-at /other file read", "ok"),
        ("read h 0", "ok hello world"),
    ]);
}

#[test]
fn links_are_hard() {
    check(&[
        ("link-at /work file /work same", "ok"),
        ("stat-at /work file", "ok regular-file links:2 size:11"),
        ("a=open-at /work file read", "ok"),
        ("b=open-at /work same read", "ok"),
        ("is-same-object a b", "ok true"),
        ("link-at /work file /work same", "err exist"),
        ("link-at /work absent /work new", "err no-entry"),
        ("link-at /work directory /work new", "err not-permitted"),
        ("link-at /work file /other linked", "ok"),
        ("c=open-at /other linked read", "ok"),
        ("read c 0", "ok hello world"),
        ("unlink-file-at /work file", "ok"),
        ("stat b", "ok regular-file links:2 size:11"),
    ]);
}

#[test]
fn links_are_symbolic() {
    check(&[
        ("symlink-at /work file link", "ok"),
        ("readlink-at /work link", "ok file"),
        ("readlink-at /work file", "err invalid"),
        ("readlink-at /work absent", "err no-entry"),
        ("symlink-at /work file link", "err exist"),
        ("l=open-at /work link follow read", "ok"),
        ("read l 0", "ok hello world"),
        ("open-at /work link read", "err loop"),
        ("symlink-at /work absent dangling", "ok"),
        ("open-at /work dangling follow read", "err no-entry"),
        ("symlink-at /work circle circle", "ok"),
        ("open-at /work circle follow read", "err loop"),
        ("stat-at /work circle", "ok symbolic-link links:1 size:6"),
        ("symlink-at /work directory way", "ok"),
        ("i=open-at /work way/inner read", "ok"),
        ("read i 0", "ok inner"),
        ("symlink-at /work ../file directory/up", "ok"),
        ("u=open-at /work directory/up follow read", "ok"),
        ("read u 0", "ok hello world"),
        ("symlink-at /work link second", "ok"),
        ("s=open-at /work second follow read", "ok"),
        ("read s 0", "ok hello world"),
        ("unlink-file-at /work link", "ok"),
        ("open-at /work second follow read", "err no-entry"),
        ("stat-at /work file", "ok regular-file links:1 size:11"),
    ]);
}

#[test]
fn objects_are_compared() {
    check(&[
        ("a=open-at /work file read", "ok"),
        ("b=open-at /work file read write", "ok"),
        ("c=open-at /other file read", "ok"),
        ("is-same-object a b", "ok true"),
        ("is-same-object a c", "ok false"),
        ("is-same-object /work /read", "ok true"),
        ("is-same-object /work /other", "ok false"),
        ("is-same-object a /work", "ok false"),
    ]);
}

#[test]
fn metadata_hashes_tell_objects_apart() {
    for name in versions("filesystem-calls") {
        let lines = Folders::new().lines(
            &name,
            &[
                "a=open-at /work file read",
                "metadata-hash a",
                "metadata-hash-at /work file",
                "metadata-hash-at /other file",
                "metadata-hash /work",
                "symlink-at /work file link",
                "metadata-hash-at /work link",
                "metadata-hash-at /work link follow",
                "metadata-hash-at /work absent",
            ],
        );
        let [_, file, again, other, directory, _, link, followed, absent] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert!(file.starts_with("ok "), "{lines:?}");
        assert_eq!((file, file), (again, followed), "{lines:?}");
        assert!(![other, directory, link].contains(&file), "{lines:?}");
        assert_eq!(absent, "err no-entry");
    }
}

#[test]
fn every_advice_is_taken() {
    for advice in ["normal", "sequential", "random", "will-need", "dont-need", "no-reuse"] {
        check(&[
            ("f=open-at /work file read", "ok"),
            (&format!("advise f 0 0 {advice}"), "ok"),
            (&format!("advise f 2 5 {advice}"), "ok"),
            (
                &format!("advise /work 0 0 {advice}"),
                "err bad-descriptor or err is-directory",
            ),
        ]);
    }
}

/// The three timestamps that the last of `calls` prints: accessed, modified, changed.
fn times(name: &str, folders: &Folders, calls: &[&str]) -> [String; 3] {
    let lines = folders.lines(name, calls);
    let last = lines.last().and_then(|line| line.strip_prefix("ok "));
    let times: Vec<String> = last
        .unwrap_or_else(|| panic!("{lines:?}"))
        .split(' ')
        .map(str::to_owned)
        .collect();
    times.try_into().unwrap_or_else(|_| panic!("{lines:?}"))
}

#[test]
fn timestamps_are_set() {
    for name in versions("filesystem-calls") {
        let folders = Folders::new();
        let set = |calls: &[&str]| times(&name, &folders, calls);

        let [accessed, modified, _] = set(&["f=open-at /work file read write", "set-times f 10:1 20:2", "times f"]);
        assert_eq!((accessed.as_str(), modified.as_str()), ("10:1", "20:2"));
        let metadata = fs::metadata(folders.path("work/file")).expect("it is there");
        assert_eq!(
            metadata.modified().expect("it is kept"),
            UNIX_EPOCH + Duration::new(20, 2)
        );

        let [accessed, modified, _] = set(&["set-times-at /work file no-change 30:0", "times-at /work file"]);
        assert_eq!((accessed.as_str(), modified.as_str()), ("10:1", "30:0"));

        let [accessed, modified, _] = set(&["set-times-at /work file now no-change", "times-at /work file"]);
        assert!(is_recent(&accessed), "{accessed}");
        assert_eq!(modified, "30:0");

        // Half a second before 1970: nanoseconds always count forwards.
        let [_, modified, _] = set(&["set-times-at /work file no-change -1:500000000", "times-at /work file"]);
        assert_eq!(modified, "-1:500000000");
        let metadata = fs::metadata(folders.path("work/file")).expect("it is there");
        assert_eq!(
            metadata.modified().expect("it is kept"),
            UNIX_EPOCH - Duration::from_millis(500)
        );

        let [accessed, modified, _] = set(&["set-times /work 40:0 50:0", "times /work"]);
        assert_eq!((accessed.as_str(), modified.as_str()), ("40:0", "50:0"));
    }
}

#[test]
fn timestamps_of_a_link_are_not_those_of_its_target() {
    for name in versions("filesystem-calls") {
        let folders = Folders::new();
        symlink("file", folders.path("work/link")).expect("a link can be made");
        let calls = ["set-times-at /work link 10:0 20:0", "times-at /work link"];
        assert_eq!(times(&name, &folders, &calls)[1], "20:0");
        assert!(is_recent(&times(&name, &folders, &["times-at /work link follow"])[1]));
        let calls = ["set-times-at /work link 30:0 40:0 follow", "times-at /work file"];
        assert_eq!(times(&name, &folders, &calls)[1], "40:0");
    }
}

#[test]
fn the_status_changes_when_the_metadata_does() {
    for name in versions("filesystem-calls") {
        let folders = Folders::new();
        let file = folders.path("work/file");
        let [.., before] = times(&name, &folders, &["times-at /work file"]);
        std::thread::sleep(Duration::from_millis(20));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let [.., after] = times(&name, &folders, &["times-at /work file"]);
        assert_ne!(before, after);
        let metadata = fs::metadata(&file).expect("it is there");
        assert_eq!(after, format!("{}:{}", metadata.ctime(), metadata.ctime_nsec()));
    }
}

/// Within the last minute, by the host's clock.
fn is_recent(time: &str) -> bool {
    let (seconds, _) = time.split_once(':').expect("seconds and nanoseconds");
    let then = UNIX_EPOCH + Duration::from_secs(seconds.parse().expect("a number"));
    then.elapsed().is_ok_and(|age| age < Duration::from_secs(60))
}

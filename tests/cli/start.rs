//! The guide: whoever types what `docs/start.md` says gets what it says.
//!
//! Blocks of `sh` are typed line by line; `wharf serve` goes on beside what follows, on a free port; comments below a command are what it
//! prints. Of other blocks, the last path in the paragraph before is the file that they are.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use wharf_tests::{Finished, Scratch, Server, finish, toolchain, wharf};

const GUIDE: &str = include_str!("../../docs/start.md");

/// The first commands of the blocks that are not run: one builds Wharf, the other speaks to a host that nobody has here.
const NOT_RUN: [&str; 2] = ["cargo xtask dist", "scp target/wharf host:"];

/// A server takes what was built as soon as it is compiled: Python's components take their time.
const TAKEN: Duration = Duration::from_secs(120);

/// Fewer than these, and the guide is not read as it is meant.
const COMMANDS_MIN: usize = 25;
const FILES_MIN: usize = 9;

#[test]
fn the_guide_leads_where_it_says() {
    let Some(mut reader) = Reader::new() else {
        return;
    };
    let (mut commands, mut files, mut not_run) = (0, 0, Vec::new());
    for block in blocks(GUIDE) {
        match block.language {
            "sh" => commands += reader.types(block.content),
            "sh not-run" => not_run.push(block.content),
            _ => {
                reader.writes(&block);
                files += 1;
            }
        }
    }
    assert!(
        commands >= COMMANDS_MIN && files >= FILES_MIN,
        "{commands} commands, {files} files"
    );
    assert_eq!(not_run.len(), NOT_RUN.len(), "{not_run:?}");
    for (block, expected) in not_run.iter().zip(NOT_RUN) {
        assert!(block.starts_with(expected), "{block}");
    }
}

/// A block of the guide.
struct Block<'a> {
    /// What stands behind its fence.
    language: &'a str,
    content: &'a str,
    /// The paragraph before it.
    before: &'a str,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = guide;
    while let Some((text, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').expect("a fence ends");
        let (content, after) = after.split_once("```\n").expect("a block ends");
        let before = text.trim().rsplit("\n\n").next().unwrap_or_default();
        blocks.push(Block {
            language,
            content,
            before,
        });
        rest = after;
    }
    blocks
}

/// Somebody who does what the guide says.
struct Reader {
    _home: Scratch,
    folder: PathBuf,
    path: OsString,
    server: Option<Server>,
}

impl Reader {
    /// `None` where a tool that the guide needs is known to be absent.
    fn new() -> Option<Self> {
        let paths: Option<Vec<_>> = ["rust", "go", "python"].into_iter().map(toolchain::path).collect();
        let home = Scratch::new();
        fs::create_dir(home.join("bin")).unwrap();
        let program = Path::new(wharf().get_program()).canonicalize().unwrap();
        symlink(program, home.join("bin/wharf")).unwrap();
        let paths = paths?;
        let folders = paths.iter().flat_map(std::env::split_paths);
        let path = std::env::join_paths([home.join("bin")].into_iter().chain(folders)).unwrap();
        let folder = home.join("home");
        fs::create_dir(&folder).unwrap();
        Some(Self {
            _home: home,
            folder,
            path,
            server: None,
        })
    }

    /// Types all commands of a block; how many there are.
    fn types(&mut self, block: &str) -> usize {
        let mut lines = block.lines().peekable();
        let mut commands = 0;
        while let Some(command) = lines.next() {
            let printed = std::iter::from_fn(|| lines.next_if(|line| line.starts_with("# ")));
            let printed: String = printed.map(|line| format!("{}\n", &line[2..])).collect();
            self.type_one(command, &printed);
            commands += 1;
        }
        commands
    }

    fn type_one(&mut self, command: &str, printed: &str) {
        if let Some(folder) = command.strip_prefix("cd ") {
            self.folder = self.folder.join(folder).canonicalize().unwrap();
        } else if let Some(arguments) = command.strip_prefix("wharf serve ") {
            // What ran before ends first: nobody has two at one address.
            self.server = None;
            let serve = self.shell(&format!("exec wharf serve --addr 127.0.0.1:0 {arguments}"));
            self.server = Some(Server::spawn(serve));
        } else if command.starts_with("curl ") {
            self.asks(command, printed);
        } else {
            let done = self.run(command);
            assert_eq!(done.code(), Some(0), "{command}: {done:?}");
            assert!(printed.is_empty() || done.stdout == printed, "{command}: {done:?}");
        }
    }

    /// Until the answer is what the guide says: the server may be about to take what was just built.
    fn asks(&self, command: &str, printed: &str) {
        let server = self.server.as_ref().expect("the guide serves before it asks");
        let command = command.replace("127.0.0.1:8080", &server.addr().to_string());
        let quiet = command.replacen("curl", "curl -s", 1);
        let deadline = Instant::now() + TAKEN;
        loop {
            let said = self.run(&quiet).stdout;
            if said == printed {
                return;
            }
            assert!(Instant::now() < deadline, "{command} prints {said:?}, not {printed:?}");
            sleep(Duration::from_millis(100));
        }
    }

    fn run(&self, command: &str) -> Finished {
        finish(&mut self.shell(command), "")
    }

    fn shell(&self, command: &str) -> Command {
        self.share_what_is_compiled();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder);
        shell.env("PATH", &self.path).env("PYTHONPATH", toolchain::python());
        shell.env_remove("CARGO_TARGET_DIR");
        shell
    }

    /// Gives packages of Cargo's a target folder that all runs share, in the place where they expect one.
    fn share_what_is_compiled(&self) {
        let shared = toolchain::cargo_target().join("guide");
        fs::create_dir_all(&shared).unwrap();
        let below = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        for package in below.chain([self.folder.clone()]) {
            let target = package.join("target");
            if package.join("Cargo.toml").is_file() && !target.exists() {
                symlink(&shared, target).unwrap();
            }
        }
    }

    /// Writes the file that a block is, or what is to be added to it.
    fn writes(&self, block: &Block<'_>) {
        let quoted = block.before.split('`').skip(1).step_by(2);
        let file = quoted.filter(|word| word.contains('.') && !word.contains(' ')).last();
        let file = self
            .folder
            .join(file.unwrap_or_else(|| panic!("no file is named before {}", block.content)));
        let before = match block.before.starts_with("At the end of ") {
            true => fs::read_to_string(&file).unwrap(),
            false => String::new(),
        };
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, before + block.content).unwrap();
    }
}

#[test]
fn blocks_are_found_with_what_stands_before() {
    let guide = "# A\n\nWords\nof `a.toml`:\n\n```toml\nx = 1\n```\n\nMore.\n\n```sh not-run\nrm\n```\n";
    let blocks = blocks(guide);
    let found: Vec<_> = blocks
        .iter()
        .map(|block| (block.language, block.content, block.before))
        .collect();
    assert_eq!(
        found,
        [
            ("toml", "x = 1\n", "Words\nof `a.toml`:"),
            ("sh not-run", "rm\n", "More.")
        ]
    );
}

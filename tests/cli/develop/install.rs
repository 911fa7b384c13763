//! `--install`, and the question at a terminal: what is missing is installed among the project's files. The tools that install are
//! stand-ins here, which write down how they were called; what they install is one, too.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use wharf_tests::{Finished, Scratch, finish, wharf};

use super::project;
use super::terminal::Terminal;

/// Makes an environment whose `pip` installs what writes a component, unless it is to look elsewhere for what is installed already.
const PYTHON: &str = r#"#!/bin/sh
echo "$PWD: python3 $*" >> "$LOG"
mkdir -p "$3/bin"
cat > "$3/bin/pip" << 'END'
#!/bin/sh
echo "$PWD: pip $*" >> "$LOG"
test -z "$PYTHONPATH" || exit 0
test -z "$BROKEN" || { echo "no such package" >&2; exit 1; }
cp "$TOOL" "${0%/*}/componentize-py"
END
chmod +x "$3/bin/pip"
"#;

const NPM: &str = r#"#!/bin/sh
echo "$PWD: npm $*" >> "$LOG"
mkdir -p node_modules/.bin
cp "$TOOL" node_modules/.bin/componentize-qjs
"#;

/// What both install: its last argument is where the component goes.
const TOOL: &str = "#!/bin/sh\nfor last; do :; done\ncase $last in *.wasm) cp \"$COMPONENT\" \"$last\";; esac\n";

/// A machine that has what installs, and none of what is installed.
struct Machine(Scratch);

impl Machine {
    fn new() -> Self {
        let scratch = Scratch::new();
        for (name, text) in [
            ("bin/python3", PYTHON),
            ("bin/npm", NPM),
            ("bin/node", "#!/bin/sh\necho v20\n"),
            ("tool", TOOL),
        ] {
            let file = scratch.write(name, text);
            fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
        }
        Self(scratch)
    }

    fn wharf(&self, words: &[&str], folder: &Path) -> Command {
        let mut command = wharf();
        let path: OsString =
            std::env::join_paths([&*self.0.join("bin"), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        command
            .args(words)
            .arg(folder)
            .env("PATH", path)
            .env_remove("VIRTUAL_ENV")
            .env("PYTHONPATH", self.0.join("elsewhere"))
            .env("LOG", self.0.join("log"))
            .env("TOOL", self.0.join("tool"))
            .env("COMPONENT", wharf_tests::guest("http-hello"));
        command
    }

    fn run(&self, words: &[&str], folder: &Path) -> Finished {
        finish(&mut self.wharf(words, folder), "")
    }

    /// How the tools were called, without the folders above the project.
    fn log(&self, scratch: &Scratch) -> String {
        let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
        log.replace(&format!("{}/", scratch.display()), "")
    }
}

const BY_PIP: &str = "greeter: python3 -m venv .venv\ngreeter: pip install -r greeter/requirements.txt\n";
const BY_NPM: &str = "greeter: npm install --prefix .\n";

#[test]
fn what_is_missing_is_installed_among_the_projects_files() {
    for (language, tool, expected) in [
        ("python", ".venv/bin/componentize-py", BY_PIP),
        ("javascript", "node_modules/.bin/componentize-qjs", BY_NPM),
    ] {
        for command in ["build", "doctor"] {
            let (machine, scratch) = (Machine::new(), project("greeter", "http", language));
            let folder = scratch.join("greeter");
            let without = machine.run(&[command], &folder);
            assert_eq!(without.code(), Some(1), "{without:?}");
            let hint = format!("`wharf {command} --install` installs componentize-");
            assert!(without.stderr.contains(&hint), "{without:?}");
            assert_eq!(machine.log(&scratch), "");

            let with = machine.run(&[command, "--install"], &folder);
            assert_eq!(with.code(), Some(0), "{with:?}");
            assert!(with.stderr.contains("installing componentize-"), "{with:?}");
            assert_eq!(machine.log(&scratch), expected);
            assert!(folder.join(tool).is_file());
            assert_eq!(folder.join("greeter.wasm").is_file(), command == "build");

            // What is there is not installed again.
            let again = machine.run(&[command, "--install"], &folder);
            assert_eq!(again.code(), Some(0), "{again:?}");
            assert_eq!(machine.log(&scratch), expected);
        }
    }
}

#[test]
fn what_cannot_be_installed_is_said() {
    let (machine, scratch) = (Machine::new(), project("greeter", "http", "python"));
    let folder = scratch.join("greeter");
    let broken = finish(machine.wharf(&["build", "--install"], &folder).env("BROKEN", "yes"), "");
    assert_eq!(broken.code(), Some(1), "{broken:?}");
    let said = [
        "error: componentize-py is not installed: ",
        "no such package",
        "not all tools are there",
    ];
    assert!(
        said.iter().all(|said| broken.stderr.contains(said)),
        "{}",
        broken.stderr
    );

    // What wants the rights of root is left to who has them.
    let (machine, scratch) = (Machine::new(), project("greeter", "http", "c"));
    let folder = scratch.join("greeter");
    let mut build = machine.wharf(&["build", "--install"], &folder);
    let build = finish(build.env("PATH", machine.0.join("bin")), "");
    assert_eq!(build.code(), Some(1), "{build:?}");
    assert!(
        build.stderr.contains("install it: apt-get install clang-19"),
        "{}",
        build.stderr
    );
    assert!(!build.stderr.contains("--install"), "{}", build.stderr);
    assert_eq!(machine.log(&scratch), "");

    // Nobody's project.
    let nowhere = Scratch::new();
    let doctor = finish(wharf().args(["doctor", "--install"]).current_dir(&nowhere), "");
    assert_eq!(doctor.code(), Some(1), "{doctor:?}");
    assert!(
        doctor.stderr.contains("there is no wharf.toml here"),
        "{}",
        doctor.stderr
    );
}

/// Whoever sits at a terminal is asked, and only a yes is one.
#[test]
fn at_a_terminal_one_is_asked() {
    for (answer, expected) in [("y\n", BY_PIP), ("Yes\n", BY_PIP), ("\n", ""), ("no\n", "")] {
        let (machine, scratch) = (Machine::new(), project("greeter", "http", "python"));
        let folder = scratch.join("greeter");
        let mut terminal = Terminal::start(machine.wharf(&["build"], &folder));
        let said = terminal.asked("[y/N]");
        assert!(
            said.contains("python3 -m venv .venv && .venv/bin/pip install"),
            "{said}"
        );
        terminal.answer(answer);
        let status = terminal.end();
        assert_eq!(machine.log(&scratch), expected, "{answer:?}");
        assert_eq!(status.success(), !expected.is_empty(), "{answer:?}");
    }
}

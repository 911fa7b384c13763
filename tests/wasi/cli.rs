//! The command line: arguments, environment, exit codes, standard streams, terminals.

use std::io::Write;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::process::Stdio;

#[cfg(target_os = "linux")]
use wharf_tests::Scratch;
use wharf_tests::{finish, guest, wharf};

use crate::run::{Conversation, command, lines, run, values, versions};

fn check_environment(flags: &[&str], arguments: &[&str], expected: &[&str]) {
    for name in versions("cli-environment") {
        let mut all = vec![format!("argument \"{name}.wasm\"")];
        all.extend(expected.iter().map(|line| line.to_string()));
        all.push("directory None".to_owned());
        assert_eq!(lines(&name, flags, arguments), all, "{flags:?} {arguments:?}");
    }
}

#[test]
fn the_guest_sees_its_flags_environment_and_arguments_and_nothing_else() {
    check_environment(&[], &[], &[]);
    check_environment(
        &[
            "--env",
            "A=1",
            "--env",
            "EMPTY=",
            "--env",
            "EQUALS=x=y",
            "--env",
            "UMLAUT=ü b",
        ],
        &[],
        &[
            r#"variable "A" "1""#,
            r#"variable "EMPTY" """#,
            r#"variable "EQUALS" "x=y""#,
            r#"variable "UMLAUT" "ü b""#,
        ],
    );
    // Behind the file all words are the guest's, whatever they look like.
    check_environment(
        &["--env", "A=1"],
        &["one", "--env", "B=2", "-h", "", "two words", "--", "ü"],
        &[
            r#"argument "one""#,
            r#"argument "--env""#,
            r#"argument "B=2""#,
            r#"argument "-h""#,
            r#"argument """#,
            r#"argument "two words""#,
            r#"argument "--""#,
            r#"argument "ü""#,
            r#"variable "A" "1""#,
        ],
    );
}

#[test]
fn a_variable_that_is_given_twice_has_its_last_value() {
    for name in versions("cli-environment") {
        let lines = lines(&name, &["--env", "A=1", "--env", "B=2", "--env", "A=3"], &[]);
        assert_eq!(values(&lines, "variable"), [r#""A" "3""#, r#""B" "2""#], "{lines:?}");
    }
}

#[test]
fn the_hosts_environment_stays_outside() {
    let mut command = command("cli-environment", &[], &[]);
    command.env("SECRET_OF_THE_HOST", "1");
    let finished = finish(&mut command, "");
    assert!(!finished.stdout.contains("variable"), "{finished:?}");
}

#[test]
fn the_first_argument_is_the_files_name_without_its_folder() {
    let file = guest("cli-environment");
    let folder = file.parent().expect("a file is in a folder");
    let mut command = wharf();
    command.current_dir(folder).args(["run", "./cli-environment.wasm"]);
    let finished = finish(&mut command, "");
    assert_eq!(
        finished.stdout.lines().next(),
        Some("argument \"cli-environment.wasm\"")
    );
}

/// `errors` are parts of standard error; without any it must be empty.
fn check_exit(arguments: &[&str], code: i32, errors: &[&str]) {
    for name in versions("cli-exit") {
        let finished = run(&name, &[], arguments);
        assert_eq!(finished.code(), Some(code), "{arguments:?}: {finished:?}");
        assert_eq!(finished.stdout, "before\n", "{arguments:?}: {finished:?}");
        for part in errors {
            assert!(
                finished.stderr.contains(part),
                "{arguments:?}: no {part:?} in {}",
                finished.stderr
            );
        }
        assert!(
            !errors.is_empty() || finished.stderr.is_empty(),
            "{arguments:?}: {finished:?}"
        );
    }
}

#[test]
fn the_exit_code_tells_how_the_guest_ended() {
    check_exit(&["return-ok"], 0, &[]);
    check_exit(&["return-err"], 1, &[]);
    check_exit(&["exit-ok"], 0, &[]);
    check_exit(&["exit-err"], 1, &[]);
    check_exit(&["exit-with-code", "0"], 0, &[]);
    check_exit(&["exit-with-code", "1"], 1, &[]);
    check_exit(&["exit-with-code", "7"], 7, &[]);
    check_exit(&["exit-with-code", "255"], 255, &[]);
}

#[test]
fn a_trap_has_its_own_exit_code_and_names_the_guests_functions() {
    check_exit(
        &["trap"],
        134,
        &["unreachable", "innermost_of_the_trap", "middle_of_the_trap"],
    );
    check_exit(&["panic"], 134, &["on purpose", "exit"]);
    check_exit(&["exhaust-the-stack"], 134, &["exhaust_the_stack"]);
}

/// Bytes of all values and of no period that a buffer's size could hide.
fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 253 + at / 65_521) as u8).collect()
}

fn check_copy(arguments: &[&str], input: &[u8], errors: &str) {
    for name in versions("cli-copy") {
        let mut child = command(&name, &[], arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let bytes = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let output = child.wait_with_output().expect("the output can be read");
        writer
            .join()
            .expect("the writer ends")
            .expect("the guest takes all input");
        assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
        // Not assert_eq: ten mebibytes in a message help nobody.
        assert!(
            output.stdout == input,
            "{name} {arguments:?}: {} other bytes",
            output.stdout.len()
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), errors, "{name} {arguments:?}");
    }
}

#[test]
fn standard_streams_carry_every_byte() {
    let whole = "written ok\nread ok\n";
    for bytes in [0, 1, 10 << 20] {
        check_copy(&["splice"], &sample(bytes), whole);
        check_copy(&["chunks"], &sample(bytes), whole);
    }
}

#[test]
fn standard_streams_can_be_opened_again() {
    let twice = "read ok\nwritten ok\nwritten ok\nread ok\n";
    check_copy(&["twice", "0"], b"one two", twice);
    check_copy(&["twice", "4"], b"one two", twice);
    check_copy(&["twice", "7"], b"one two", twice);
    check_copy(&["twice", "100000"], &sample(1 << 20), twice);
}

#[test]
fn lines_are_delivered_as_they_are_written() {
    for name in versions("cli-lines") {
        let mut guest = Conversation::start(&name, &[], &[]);
        for text in ["one", "two", "three"] {
            guest.say(&format!("{text}\n"));
            assert_eq!(guest.line(), format!("out {text}"));
            assert_eq!(guest.error_line(), format!("err {text}"));
        }
        guest.close_stdin();
        assert_eq!(guest.line(), "end");
        assert!(guest.end().success());
    }
}

#[test]
fn a_line_without_its_end_is_delivered_too() {
    for name in versions("cli-copy") {
        let mut guest = Conversation::start(&name, &[], &["chunks"]);
        guest.say("no newline");
        // The rest comes only when the reader of the first part asks for more.
        assert_eq!(guest.first_byte(), b'n');
        assert!(guest.end().success());
    }
}

#[test]
fn a_reader_that_closes_is_a_broken_pipe_to_the_guest() {
    for name in versions("cli-copy") {
        let mut guest = Conversation::start(&name, &[], &["chunks"]);
        guest.close_stdout();
        guest.say("to nobody\n");
        assert_eq!(guest.error_line(), "written err pipe");
        assert_eq!(guest.error_line(), "read ok");
        assert!(guest.end().success());
    }
}

#[test]
fn a_reader_that_stalls_holds_up_one_stream_and_nothing_else() {
    for name in versions("cli-stalled-output") {
        let bytes = 1 << 20;
        let mut guest = Conversation::start(&name, &[], &[&bytes.to_string()]);
        for number in 1..=5 {
            assert_eq!(guest.error_line(), format!("tick {number}"));
        }
        assert_eq!(guest.rest().trim_end().len(), bytes);
        assert!(guest.end().success());
    }
}

#[test]
fn pipes_are_no_terminals() {
    for name in versions("cli-terminal") {
        let finished = run(&name, &[], &[]);
        assert_eq!(finished.stderr, "stdin false\nstdout false\nstderr false\n");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn terminals_are_told_from_pipes() {
    for name in versions("cli-terminal") {
        let scratch = Scratch::new();
        let said = scratch.join("said");
        // `script` gives a command a terminal of its own; the words come from the environment, so that none needs quotes.
        let run = command(&name, &[], &[]);
        let mut script = Command::new("script");
        script.args([
            "--quiet",
            "--return",
            "--command",
            r#""$PROGRAM" run "$GUEST" 2> "$SAID""#,
            "/dev/null",
        ]);
        script
            .env("PROGRAM", run.get_program())
            .env("GUEST", guest(&name))
            .env("SAID", &said);
        let finished = finish(&mut script, "");
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        assert_eq!(said, "stdin true\nstdout true\nstderr false\n", "{finished:?}");
    }
}

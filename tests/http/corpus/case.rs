//! How a case is written.
//!
//! ```text
//! # Why, or what the rule leaves open: for readers.
//! === what is sent (RFC 9112 5.1)
//! GET / HTTP/1.1\r\n
//! host: a.test\r\n
//! \r\n
//! => 200 GET a.test /
//! => open
//! ```
//!
//! Lines are sent one after the other as they are, without the file's own line ends, at once. In them `\r`, `\n`,
//! `\t`, `\0`, `\\` and `\xHH` are bytes, and `\(TEXT*COUNT)` is the text so many times. Lines that begin with `~`
//! come in between: `~ await STATUS` reads an answer first, and `~ finish` sends no more.
//!
//! Each `=>` with a status is an answer: with several, as in `400|none`, any of them will do, and `none` is an end
//! without an answer. What follows is the line of the guest `http-seen` about the request that was answered with 200;
//! an answer without one is the server's own, and no guest saw anything. `SERVER` stands for its address. The last
//! `=>` says whether the connection is then `closed` or `open`, with `either` where the rules allow both.

/// Bytes, and what must come of them.
pub struct Case {
    /// File, name and rule.
    pub name: String,
    pub steps: Vec<Step>,
    pub answers: Vec<Answer>,
    pub end: End,
}

pub enum Step {
    Send(Vec<u8>),
    Await(u16),
    Finish,
}

pub struct Answer {
    /// Those that will do; `None` is an end without an answer.
    pub statuses: Vec<Option<u16>>,
    /// What the guest says of the request, if it saw one.
    pub line: Option<String>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Closed,
    Either,
}

impl Answer {
    /// Answers to HEAD have a head alone.
    pub fn is_head_alone(&self) -> bool {
        self.line.as_deref().is_some_and(|line| line.starts_with("HEAD "))
    }
}

/// The cases of a file.
///
/// # Panics
///
/// When it is not written as above.
pub fn read(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut ended = true;
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{file}.txt:{}: {line:?}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("=== ") {
            assert!(
                ended,
                "{}: the case before says nothing of the connection's end",
                place()
            );
            assert!(
                name.contains(" (RFC ") && name.ends_with(')'),
                "{}: names no rule",
                place()
            );
            cases.push(Case {
                name: format!("{file}: {name}"),
                steps: Vec::new(),
                answers: Vec::new(),
                end: End::Either,
            });
            ended = false;
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{}: belongs to no case", place()));
        if let Some(expected) = line.strip_prefix("=> ") {
            ended |= expect(case, expected).unwrap_or_else(|| panic!("{}: expects nothing known", place()));
        } else if let Some(step) = line.strip_prefix("~ ") {
            case.steps
                .push(directive(step).unwrap_or_else(|| panic!("{}: is no step", place())));
        } else {
            let bytes = bytes(&repeated(line)).unwrap_or_else(|| panic!("{}: has a wrong escape", place()));
            match case.steps.last_mut() {
                Some(Step::Send(sent)) => sent.extend(bytes),
                _ => case.steps.push(Step::Send(bytes)),
            }
        }
    }
    assert!(ended && !cases.is_empty(), "{file}.txt ends within a case");
    cases
}

/// Adds an expectation; whether it was the one of the connection's end.
fn expect(case: &mut Case, expected: &str) -> Option<bool> {
    case.end = match expected {
        "open" => End::Open,
        "closed" => End::Closed,
        "either" => End::Either,
        answer => {
            let (statuses, line) = answer.split_once(' ').unwrap_or((answer, ""));
            let statuses = statuses.split('|').map(|status| match status {
                "none" => Some(None),
                status => status.parse().ok().map(Some),
            });
            case.answers.push(Answer {
                statuses: statuses.collect::<Option<_>>()?,
                line: (!line.is_empty()).then(|| repeated(line)),
            });
            return Some(false);
        }
    };
    Some(true)
}

fn directive(step: &str) -> Option<Step> {
    match step.split_once(' ') {
        Some(("await", status)) => status.parse().ok().map(Step::Await),
        None if step == "finish" => Some(Step::Finish),
        _ => None,
    }
}

/// Writes out `\(TEXT*COUNT)`, the innermost first.
fn repeated(line: &str) -> String {
    let mut line = line.to_owned();
    while let Some((before, rest)) = line.rsplit_once("\\(") {
        let (inside, after) = rest.split_once(')').unwrap_or_else(|| panic!("{rest:?} has no end"));
        let (text, count) = inside
            .rsplit_once('*')
            .unwrap_or_else(|| panic!("{inside:?} has no count"));
        let count = count.parse().unwrap_or_else(|_| panic!("{count:?} is no count"));
        line = format!("{before}{}{after}", text.repeat(count));
    }
    line
}

/// Replaces escapes by their bytes.
fn bytes(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let (&kind, tail) = tail.split_first()?;
        let (byte, length) = match kind {
            b'r' => (b'\r', 0),
            b'n' => (b'\n', 0),
            b't' => (b'\t', 0),
            b'0' => (0, 0),
            b'\\' => (b'\\', 0),
            b'x' => (u8::from_str_radix(str::from_utf8(tail.get(..2)?).ok()?, 16).ok()?, 2),
            _ => return None,
        };
        bytes.push(byte);
        rest = &tail[length..];
    }
    Some(bytes)
}

#[test]
fn a_case_is_read_as_it_is_written() {
    let text = "# Why.\n=== both (RFC 1 2)\nA\\r\\n\n b\\x41\\0\\(c\\(d*2)*2)\n~ await 100\nx\n~ finish\n\
                => 200|none GET a.test /\\(y*3)\n=> 400\n=> closed\n";
    let cases = read("file", text);
    let [case] = &cases[..] else { panic!("one case") };
    assert_eq!(case.name, "file: both (RFC 1 2)");
    let [Step::Send(first), Step::Await(100), Step::Send(second), Step::Finish] = &case.steps[..] else {
        panic!("four steps");
    };
    assert_eq!((&first[..], &second[..]), (&b"A\r\n bA\0cddcdd"[..], &b"x"[..]));
    let [first, second] = &case.answers[..] else {
        panic!("two answers")
    };
    assert_eq!(first.statuses, [Some(200), None]);
    assert_eq!(first.line.as_deref(), Some("GET a.test /yyy"));
    assert_eq!((&second.statuses[..], &second.line), (&[Some(400)][..], &None));
    assert_eq!(case.end, End::Closed);
}

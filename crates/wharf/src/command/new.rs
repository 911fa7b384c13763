//! `wharf new`: a project from a template.

use std::fmt::Write as _;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wharf_host::wit::Packages;

use crate::cli::New;
use crate::command::check::{say, wrong};
use crate::equip::is_attended;
use crate::kinds::Kinds;
use crate::template::{LANGUAGES, TEMPLATES, Template, is_free, refusal, refusal_in};

/// The status of wrong usage, as of what the command line alone tells.
const WRONG_USAGE: u8 = 2;

/// What one gets who does not say, and is not asked.
const USUAL_KIND: &str = "http";

/// What is below the table: why there is not every kind in every language.
const WHY_NOT: &str = "
JavaScript has no database and no middleware: its toolchain cannot call async
functions yet but some of WASI's own. C has what is async as state machines,
written by hand: the HTTP service shows one. What else is missing nobody has
written yet.
";

/// Why nothing is made in a folder.
const NOT_EMPTY: &str = "there is something in it; name a folder that is empty or not there";

/// Makes a project, or lists the templates.
pub fn new(new: &New, kinds: &Kinds) -> ExitCode {
    if new.list {
        say(&mut io::stdout(), &list());
        return ExitCode::SUCCESS;
    }
    let named = new.name.clone().or_else(|| is_attended().then(ask_name).flatten());
    let Some(folder) = named else {
        return misused("NAME has to say what the project is called, such as my-shop; --list shows the templates");
    };
    let folder = with_a_name(folder);
    let name = name_of(&folder);
    if let Some(refusal) = refusal(&name) {
        return misused(&refusal);
    }
    // Before anybody answers questions for nothing.
    if !is_free(&folder) {
        return wrong(&format!("cannot make {}: {NOT_EMPTY}", folder.display()));
    }
    let template = match choose(new) {
        Ok(template) => template,
        Err(message) => return misused(&message),
    };
    if let Some(refusal) = refusal_in(template.language, &name) {
        return misused(&refusal);
    }
    if let Err(error) = template.write(&Packages::new(kinds.sections()), &folder, &name) {
        return wrong(&format!("cannot make {}: {error}", folder.display()));
    }
    let last = match template.kind {
        "command" => format!("wharf run {name}.wasm"),
        "library" => format!("wharf call {name}.wasm    # its functions; with a name and values, a call"),
        // It serves nothing by itself.
        "middleware" => format!("wharf serve --middleware {name}.wasm SERVICE.wasm"),
        _ => "wharf serve .   # or, instead of both, and again with each change: wharf dev".to_owned(),
    };
    let enter = match std::env::current_dir().is_ok_and(|here| here == folder) {
        true => String::new(),
        false => format!("  cd {}\n", folder.display()),
    };
    let next = format!(
        "Made {name}: {}, in {}. Go on with\n\n{enter}  wharf doctor    # are all tools there?\n  wharf build\n  {last}\n",
        template.about,
        called(template.language),
    );
    say(&mut io::stdout(), &next);
    ExitCode::SUCCESS
}

/// The folder by a name of its own, where it is called `.`.
fn with_a_name(folder: PathBuf) -> PathBuf {
    match folder.file_name() {
        Some(_) => folder,
        None => folder.canonicalize().unwrap_or(folder),
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Asks for the project's name until there is one; `None` where the asked one has gone.
fn ask_name() -> Option<PathBuf> {
    let mut text = String::new();
    loop {
        say(
            &mut io::stderr(),
            &format!("{text}What is the project called, such as my-shop? "),
        );
        let folder = with_a_name(PathBuf::from(answer()?));
        text = match refusal(&name_of(&folder)) {
            Some(refusal) => format!("{refusal}\n"),
            None if !is_free(&folder) => format!("cannot make {}: {NOT_EMPTY}\n", folder.display()),
            None => return Some(folder),
        }
    }
}

/// A line from the terminal; `None` where no more will come.
fn answer() -> Option<String> {
    let mut answer = String::new();
    let is_over = io::stdin().lock().read_line(&mut answer).is_ok_and(|bytes| bytes == 0);
    (!is_over).then(|| answer.trim().to_owned())
}

/// The template that flags name, or that is asked for on a terminal.
fn choose(new: &New) -> Result<&'static Template, String> {
    let kinds = kinds();
    let kind = match &new.template {
        Some(kind) => known(kind, &kinds, "template")?,
        None if new.language.is_some() || !is_attended() => USUAL_KIND,
        None => ask("Which template?", &kinds, &about)
            .ok_or("--template has to say what it is to be; --list shows the templates")?,
    };
    let languages = languages(kind);
    let language = match &new.language {
        Some(language) => known(language, &languages, "language of this template")?,
        None if languages.len() == 1 => languages[0],
        None => is_attended()
            .then(|| ask("In which language?", &languages, &called))
            .flatten()
            .ok_or_else(|| format!("--language has to say in which language: {}", languages.join(", ")))?,
    };
    Template::find(kind, language).ok_or_else(|| format!("there is no template {kind} in {language}"))
}

fn known(asked: &str, known: &[&'static str], what: &str) -> Result<&'static str, String> {
    let found = known.iter().find(|known| **known == asked);
    found
        .copied()
        .ok_or_else(|| format!("`{asked}` is no {what}: there are {}", known.join(", ")))
}

/// Asks until one of `choices` is named, by its number or itself; the first one, for who only presses return. `None` where the asked one
/// has gone.
fn ask(question: &str, choices: &[&'static str], about: &dyn Fn(&str) -> &'static str) -> Option<&'static str> {
    let width = choices.iter().map(|choice| choice.len()).max().unwrap_or_default();
    let mut text = format!("{question}\n");
    for (nth, choice) in choices.iter().enumerate() {
        let _ = writeln!(text, "  {}  {choice:width$}  {}", nth + 1, about(choice));
    }
    let mut complaint = String::new();
    loop {
        say(&mut io::stderr(), &format!("{complaint}{text}[1] "));
        let answer = answer()?;
        if answer.is_empty() {
            return choices.first().copied();
        }
        let by_number = answer
            .parse::<usize>()
            .ok()
            .and_then(|number| choices.get(number.checked_sub(1)?));
        if let Some(choice) = by_number.or_else(|| choices.iter().find(|choice| **choice == answer)) {
            return Some(choice);
        }
        complaint = format!("`{answer}` is none of them.\n");
    }
}

/// The templates as a table: a line for each kind, a column for each language.
fn list() -> String {
    let kinds = kinds();
    let width = kinds.iter().map(|kind| kind.len()).max().unwrap_or_default();
    let mut text = format!("{:width$}  {}\n", "", LANGUAGES.join("  "));
    for kind in kinds {
        let _ = write!(text, "{kind:width$}");
        for language in LANGUAGES {
            let mark = Template::find(kind, language).map_or("-", |_| "yes");
            let _ = write!(text, "  {mark:width$}", width = language.len());
        }
        let _ = writeln!(text, "  {}", about(kind));
    }
    text + WHY_NOT
}

/// The kinds of templates, the usual one first.
fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<_> = TEMPLATES.iter().map(|template| template.kind).collect();
    kinds.dedup();
    kinds.sort_by_key(|kind| *kind != USUAL_KIND);
    kinds
}

/// The languages that there is a template of this kind in.
fn languages(kind: &str) -> Vec<&'static str> {
    let mut languages = LANGUAGES.to_vec();
    languages.retain(|language| Template::find(kind, language).is_some());
    languages
}

/// A language as people write it.
fn called(language: &str) -> &'static str {
    match language {
        "rust" => "Rust",
        "go" => "Go",
        "python" => "Python",
        "javascript" => "JavaScript",
        _ => "C",
    }
}

/// What a template of this kind is.
fn about(kind: &str) -> &'static str {
    let template = TEMPLATES.iter().find(|template| template.kind == kind);
    template.map_or("", |template| template.about)
}

fn misused(message: &str) -> ExitCode {
    wrong(&format!("error: {message}"));
    ExitCode::from(WRONG_USAGE)
}

//! The modules of a project in Python, and which class a name in one of them means: by `class`, imports and assignments.
//!
//! This reads text and runs nothing. Where a name may mean more than one thing, or comes about in another way, it is not known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::exports::{is_of_word, mentions};

/// Which imports and assignments are followed one after the other: more than anybody writes, and an end where they lead in a circle.
const STEPS_MAX: usize = 32;

/// The module of the bindings, which is made in passing.
const GENERATED: &str = "wit_world";

/// The modules below a folder, each read once.
pub(super) struct Modules<'a> {
    folder: &'a Path,
    known: RefCell<BTreeMap<String, Option<Rc<Module>>>>,
}

/// A module of the project's own.
pub(super) struct Module {
    pub file: PathBuf,
    /// What is in it, with blanks for what stands in texts and comments: the lines are those of the file.
    pub code: String,
    /// The name of the package that relative imports begin at.
    package: String,
    statements: Vec<Statement>,
}

/// A line, with those that go on where brackets are open.
struct Statement {
    /// From 0.
    line: usize,
    text: String,
    /// Whether it is one of the module's own, and is always run.
    is_certain: bool,
}

/// A class that is written in a module of the project's.
#[derive(Clone)]
pub(super) struct Class {
    pub module: Rc<Module>,
    statement: usize,
}

/// What a name means.
#[derive(Clone)]
pub(super) enum Meaning {
    Class(Class),
    /// A module of the project's, or a package.
    Module(String),
    /// Something outside of the project, by its full name.
    Outside(String),
    /// The module has no such name.
    Nothing,
    /// The text does not tell.
    Unknown,
}

/// How a module comes by a name.
enum Binding {
    Class(usize),
    /// What this is called in the same module.
    Same(String),
    Module(String),
    Member(String, String),
    Unknown,
}

impl Class {
    /// Its name where it is written.
    pub fn name(&self) -> &str {
        word(self.text().strip_prefix("class ").unwrap_or_default())
    }

    /// Its line, from 1.
    pub fn line(&self) -> usize {
        self.module.statements[self.statement].line + 1
    }

    /// What a decorator returns may be another class.
    pub fn is_decorated(&self) -> bool {
        let before = self
            .statement
            .checked_sub(1)
            .map(|before| &self.module.statements[before]);
        before.is_some_and(|before| before.is_certain && before.text.starts_with('@'))
    }

    /// What it derives from, and its keywords.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        let list = self.text().split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        let bases = list.map_or("", |(list, _)| list).split(',').map(str::trim);
        bases.filter(|base| !base.is_empty())
    }

    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.module, &other.module) && self.statement == other.statement
    }

    fn text(&self) -> &str {
        &self.module.statements[self.statement].text
    }
}

impl<'a> Modules<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            known: RefCell::default(),
        }
    }

    /// The module of this name, as `shop.app`.
    pub fn read(&self, name: &str) -> Option<Rc<Module>> {
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone();
        }
        let path = self.folder.join(name.replace('.', "/"));
        let package = name.rsplit_once('.').map_or("", |(package, _)| package);
        let places = [(path.with_extension("py"), package), (path.join("__init__.py"), name)];
        let read = places.into_iter().find_map(|(file, package)| {
            let source = fs::read_to_string(&file).ok()?;
            Some(Rc::new(Module::new(file, &source, package)))
        });
        self.known.borrow_mut().insert(name.to_owned(), read.clone());
        read
    }

    /// What a name means in a module; one with dots is an attribute.
    pub fn meaning(&self, module: &Rc<Module>, name: &str) -> Meaning {
        self.within(module, name, STEPS_MAX)
    }

    fn within(&self, module: &Rc<Module>, name: &str, steps: usize) -> Meaning {
        let Some(steps) = steps.checked_sub(1) else {
            return Meaning::Unknown;
        };
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let meaning = match module.binding(first) {
            None => Meaning::Nothing,
            Some(Binding::Class(statement)) => Meaning::Class(Class {
                module: module.clone(),
                statement,
            }),
            Some(Binding::Same(name)) => self.within(module, &name, steps),
            Some(Binding::Module(name)) => self.module(name),
            Some(Binding::Member(of, name)) => self.member(&of, &name, steps),
            Some(Binding::Unknown) => Meaning::Unknown,
        };
        let attributes = rest.split('.').filter(|attribute| !attribute.is_empty());
        attributes.fold(meaning, |meaning, attribute| match meaning {
            Meaning::Module(name) => self.member(&name, attribute, steps),
            Meaning::Outside(name) => Meaning::Outside(format!("{name}.{attribute}")),
            _ => Meaning::Unknown,
        })
    }

    fn module(&self, name: String) -> Meaning {
        let first = name.split('.').next().unwrap_or_default();
        let path = self.folder.join(first);
        match first != GENERATED && (path.is_dir() || path.with_extension("py").is_file()) {
            true => Meaning::Module(name),
            false => Meaning::Outside(name),
        }
    }

    fn member(&self, of: &str, name: &str, steps: usize) -> Meaning {
        let full_name = format!("{of}.{name}");
        if let Meaning::Outside(_) = self.module(of.to_owned()) {
            return Meaning::Outside(full_name);
        }
        let module = self.read(of);
        let meaning = module.as_ref().map(|module| self.within(module, name, steps));
        match meaning {
            Some(Meaning::Nothing) | None if self.read(&full_name).is_some() => Meaning::Module(full_name),
            // Python says so itself.
            Some(Meaning::Nothing) | None => Meaning::Unknown,
            Some(meaning) => meaning,
        }
    }
}

impl Module {
    fn new(file: PathBuf, source: &str, package: &str) -> Self {
        let code = without_texts(source);
        Self {
            file,
            statements: statements(&code),
            code,
            package: package.to_owned(),
        }
    }

    fn binding(&self, name: &str) -> Option<Binding> {
        let mut bindings = Vec::new();
        for (nth, statement) in self.statements.iter().enumerate() {
            let binding = self.binding_by(nth, &statement.text, name);
            bindings.extend(binding.map(|binding| match statement.is_certain {
                true => binding,
                false => Binding::Unknown,
            }));
        }
        let is_global = |line: &str| word(line) == "global" && mentions(line, name);
        match bindings.len() {
            0 if is_open(&self.code) => Some(Binding::Unknown),
            _ if self.code.lines().any(is_global) => Some(Binding::Unknown),
            // Which of them holds is the interpreter's to know.
            2.. => Some(Binding::Unknown),
            _ => bindings.pop(),
        }
    }

    fn binding_by(&self, nth: usize, text: &str, name: &str) -> Option<Binding> {
        let first = word(text);
        let rest = text[first.len()..].trim_start();
        match first {
            "class" => (word(rest) == name).then_some(Binding::Class(nth)),
            "def" => (word(rest) == name).then_some(Binding::Unknown),
            "async" => mentions(rest, name).then_some(Binding::Unknown),
            "import" => rest.split(',').find_map(|import| {
                let (module, called) = renamed(import);
                match called {
                    Some(called) => (called == name).then(|| Binding::Module(module.to_owned())),
                    None => (module.split('.').next() == Some(name)).then(|| Binding::Module(name.to_owned())),
                }
            }),
            "from" => {
                let (module, names) = rest.split_once(" import")?;
                let names = names.trim().trim_start_matches('(').trim_end_matches(')');
                names.split(',').find_map(|import| {
                    let (member, called) = renamed(import);
                    (called.unwrap_or(member) == name).then(|| match self.absolute(module.trim()) {
                        Some(module) => Binding::Member(module, member.to_owned()),
                        None => Binding::Unknown,
                    })
                })
            }
            "if" | "elif" | "else" | "try" | "except" | "finally" | "for" | "while" | "with" | "match" | "case"
            | "del" | "global" | "type" => mentions(text, name).then_some(Binding::Unknown),
            _ => assigned(text, name),
        }
    }

    /// The full name of a module that is imported here.
    fn absolute(&self, module: &str) -> Option<String> {
        let name = module.trim_start_matches('.');
        let dots = module.len() - name.len();
        if dots == 0 {
            return Some(name.to_owned());
        }
        let mut package = &*self.package;
        for _ in 1..dots {
            package = package.rsplit_once('.').map_or("", |(above, _)| above);
        }
        match (package, name) {
            ("", _) => None,
            (package, "") => Some(package.to_owned()),
            (package, name) => Some(format!("{package}.{name}")),
        }
    }
}

/// Whether a statement may make any name.
fn is_open(text: &str) -> bool {
    text.contains("import *")
        || ["globals", "exec", "setattr", "__getattr__"]
            .iter()
            .any(|word| mentions(text, word))
}

/// `a as b` as the two, or `a`.
fn renamed(import: &str) -> (&str, Option<&str>) {
    let mut words = import.split_whitespace();
    let name = words.next().unwrap_or_default();
    (name, words.nth(1))
}

/// What `name = other` makes of the name.
fn assigned(text: &str, name: &str) -> Option<Binding> {
    if text.contains(":=") {
        return mentions(text, name).then_some(Binding::Unknown);
    }
    let mut parts = assignment(text);
    let value = parts.pop().unwrap_or_default().trim();
    if !parts.iter().any(|target| mentions(target, name)) {
        return None;
    }
    let target = parts[0].split(':').next().unwrap_or_default();
    let is_name = !value.is_empty() && value.chars().all(|c| is_of_word(c) || c == '.');
    Some(match parts.len() == 1 && target.trim() == name && is_name {
        true => Binding::Same(value.to_owned()),
        // Of several at once nobody looks which is which.
        false => Binding::Unknown,
    })
}

/// The targets of an assignment, and its value as the last; that alone where it is none.
fn assignment(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut open) = (Vec::new(), 0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '=' if open == 0 => {
                let compares = text[..at].ends_with(['=', '!', '<', '>']) || text[at + 1..].starts_with('=');
                if !compares {
                    parts.push(&text[begin..at]);
                    begin = at + 1;
                }
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// The first word.
fn word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c| !is_of_word(c)).unwrap_or(text.len());
    &text[..end]
}

/// The statements of a module, without those of functions and classes, which have names of their own.
fn statements(code: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    // Whether the lines that are indented are another's.
    let mut is_within = false;
    let mut lines = code.lines().enumerate();
    while let Some((line, text)) = lines.next() {
        let mut text = text.to_owned();
        let goes_on = |text: &str| text.ends_with('\\') || open_brackets(text) > 0;
        while goes_on(&text)
            && let Some((_, more)) = lines.next()
        {
            if text.ends_with('\\') {
                text.pop();
            }
            text = format!("{text} {}", more.trim());
        }
        let is_indented = text.starts_with([' ', '\t']);
        let text = text.trim();
        if text.is_empty() || (is_indented && is_within) {
            continue;
        }
        if !is_indented {
            is_within = matches!(word(text), "class" | "def" | "async");
        }
        statements.extend(text.split(';').map(|part| Statement {
            line,
            text: part.trim().to_owned(),
            is_certain: !is_indented,
        }));
    }
    statements
}

fn open_brackets(text: &str) -> usize {
    let count = |of: [char; 3]| text.matches(of).count();
    count(['(', '[', '{']).saturating_sub(count([')', ']', '}']))
}

/// The source with blanks for comments and for what stands in quotes.
fn without_texts(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    // The quotes that end a text.
    let mut until: Option<&str> = None;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let is_code = match until {
            Some(end) if rest.starts_with(end) => {
                length = end.len();
                until = None;
                false
            }
            // What goes on is one with three quotes.
            Some(end) if c == '\n' && end.len() == 1 => {
                until = None;
                true
            }
            Some(_) => {
                if c == '\\' {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                }
                false
            }
            None if c == '#' => {
                length = rest.find('\n').unwrap_or(rest.len());
                false
            }
            None => {
                let quotes = ["\"\"\"", "'''", "\"", "'"];
                until = quotes.into_iter().find(|quotes| rest.starts_with(quotes));
                length = until.map_or(length, str::len);
                until.is_none()
            }
        };
        let piece = &rest[..length];
        match is_code {
            true => code.push_str(piece),
            false => code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
        }
        rest = &rest[length..];
    }
    code
}

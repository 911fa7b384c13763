//! What `wharf inspect` says to people.

use std::fmt::Write as _;
use std::path::Path;

use wharf_host::describe::{
    Changes, CompiledCode, Description, Effect, Group, Item, Kind, Part, PartKind, Plain, PlainCommand, SectionSize,
    Source, Tool,
};

use crate::size::size;

/// Sections and groups past so many are put together.
const ROWS_MAX: usize = 8;

/// How wide the first column of names is, at most.
const NAME_WIDTH_MAX: usize = 44;

/// What a file is.
pub fn description(file: &Path, described: &Description) -> String {
    let mut said = Text::default();
    said.line(format!("{}: {}", file.display(), headline(described)));
    if let Some(invalid) = &described.invalid {
        said.line(format!("  not valid, {invalid}; build it again"));
    }
    said.line(format!("  {}{}", size(described.bytes), versions(described)));
    let (languages, tools) = (listed(&described.languages), listed(&described.tools));
    if !languages.is_empty() {
        said.line(format!("  written in {languages}"));
    }
    if !tools.is_empty() {
        said.line(format!("  made with {tools}"));
    }
    needs(&mut said, described);
    offers(&mut said, described);
    if let Some(plain) = &described.wasmtime {
        wasmtime(&mut said, file, plain);
    }
    if let Some(compiled) = &described.compiled {
        compiled_code(&mut said, compiled);
    }
    if let Some(part) = &described.part {
        said.heading("Size");
        part.each(0, &mut |part, depth| sizes(&mut said, part, depth));
    }
    said.0
}

/// What is different between two files.
pub fn changes(old: &Path, new: &Path, changes: &Changes) -> String {
    let mut said = Text::default();
    let [before, after] = changes.bytes;
    said.line(format!("{} -> {}", old.display(), new.display()));
    said.line(match changes.breaks {
        true => "  those who use the first break with the second".to_owned(),
        false if changes.changes.is_empty() => "  the same imports and exports".to_owned(),
        false => "  those who use the first can use the second".to_owned(),
    });
    for (effect, heading) in [
        (Effect::Breaks, "Breaks"),
        (Effect::Needs, "Needs, of what every app has"),
        (Effect::Compatible, "Does not break"),
    ] {
        let of_it: Vec<_> = changes
            .changes
            .iter()
            .filter(|change| change.effect == effect)
            .collect();
        if !of_it.is_empty() {
            said.heading(heading);
        }
        for change in of_it {
            said.line(format!("  {} {}", change.place, change.what));
        }
    }
    said.heading("Size");
    said.line(format!("  {:>10} -> {:>10}  in all", size(before), size(after)));
    let rows = changes.sections.iter().map(|(name, a, b)| (name.clone(), *a, *b));
    let crates = changes
        .code
        .iter()
        .map(|(name, a, b)| (format!("code of {}", group_name(name)), *a, *b));
    for rows in [rows.collect::<Vec<_>>(), crates.collect()] {
        for (name, before, after) in rows.into_iter().take(ROWS_MAX) {
            said.line(format!("  {:>10} -> {:>10}  {name}", size(before), size(after)));
        }
    }
    said.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: String) {
        // A `String` takes whatever there is.
        let _ = writeln!(self.0, "{}", line.trim_end());
    }

    fn heading(&mut self, heading: &str) {
        self.line(String::new());
        self.line(heading.to_owned());
    }
}

fn headline(described: &Description) -> String {
    match described.kind {
        Kind::Compiled => match described.uses.is_empty() {
            true => "compiled code".to_owned(),
            false => format!("compiled code of {}", described.uses.join(" and ")),
        },
        Kind::Module => "a core module, which Wharf does not run; wrap it as a component".to_owned(),
        Kind::WitPackage => "a WIT package in binary form: it declares interfaces and has no code".to_owned(),
        Kind::Component => described.uses.join(" and "),
    }
}

fn versions(described: &Description) -> String {
    match described.wasi.is_empty() {
        true => String::new(),
        false => format!(", WASI {}", described.wasi.join(" and ")),
    }
}

fn listed(tools: &[Tool]) -> String {
    let tools = tools.iter().map(|tool| {
        // What follows in parentheses is where a compiler's own sources are.
        let version = tool.version.split(" (").next().unwrap_or_default();
        format!("{} {version}", tool.name).trim().to_owned()
    });
    tools.collect::<Vec<_>>().join(", ")
}

fn needs(said: &mut Text, described: &Description) {
    let required: Vec<_> = described.imports.iter().filter(|need| need.required).collect();
    if described.kind == Kind::Component && required.is_empty() {
        said.heading("Needs nothing");
        return;
    }
    if required.is_empty() {
        return;
    }
    said.heading("Needs");
    let width = required
        .iter()
        .map(|need| need.name.len())
        .max()
        .unwrap_or(0)
        .min(NAME_WIDTH_MAX);
    for need in required {
        said.line(format!("  {:width$}  {}", need.name, need.from));
        if let Source::Nothing { help, .. } = &need.from {
            let functions: Vec<_> = need
                .items
                .iter()
                .filter(|item| item.is_function)
                .map(|item| &*item.name)
                .collect();
            if !functions.is_empty() {
                said.line(format!("  {:width$}  for {}", "", functions.join(", ")));
            }
            said.line(format!("  {:width$}  help: {help}", ""));
        }
    }
}

fn offers(said: &mut Text, described: &Description) {
    if described.exports.is_empty() {
        return;
    }
    said.heading("Offers");
    for offer in &described.exports {
        let functions: Vec<&Item> = offer.items.iter().filter(|item| item.is_function).collect();
        match functions[..] {
            // A function of the world itself.
            [only] if only.name == offer.name => said.line(format!("  {}: {}", offer.name, only.text)),
            _ => {
                said.line(format!("  {}", offer.name));
                functions
                    .iter()
                    .for_each(|item| said.line(format!("    {}: {}", item.name, item.text)));
            }
        }
    }
    if let Some(untold) = &described.untold {
        said.line(format!("  their functions cannot be told: {untold}"));
    }
}

fn wasmtime(said: &mut Text, file: &Path, plain: &Plain) {
    let commands = [("serve", &plain.serve), ("run", &plain.run)];
    let commands: Vec<_> = commands
        .iter()
        .filter_map(|(name, command)| Some((*name, command.as_ref()?)))
        .collect();
    if commands.is_empty() {
        return;
    }
    said.heading("On plain Wasmtime 48");
    for (name, command) in commands {
        let PlainCommand { flags, in_the_way, .. } = command;
        let flags: String = flags.iter().map(|flag| format!(" {flag}")).collect();
        match command.runs {
            true => said.line(format!("  runs: wasmtime {name}{flags} {}", file.display())),
            false => said.line(format!("  does not run with `wasmtime {name}`:")),
        }
        for way in in_the_way {
            said.line(format!("    {}: {}", way.import, way.reason));
        }
    }
}

fn compiled_code(said: &mut Text, compiled: &CompiledCode) {
    said.heading("Compiled code");
    let wasmtime = compiled.wasmtime.as_deref().unwrap_or("of an unknown version");
    said.line(format!(
        "  of a {} for {}, for Wasmtime {wasmtime}",
        compiled.of, compiled.processor
    ));
    match &compiled.component {
        Some(note) => {
            let target = match &note.target {
                Some(target) => format!("for {target}"),
                None => "for the processor it was compiled on".to_owned(),
            };
            said.line(format!(
                "  by Wharf {} {target}, from a component of {}",
                note.wharf,
                size(note.bytes)
            ));
            said.line("  runs with `wharf serve --allow-precompiled` and `wharf run --allow-precompiled`".to_owned());
        }
        None => said.line(
            "  not by `wharf compile`: what it imports and exports cannot be told, and Wharf does not run it"
                .to_owned(),
        ),
    }
    rows(said, "  ", &compiled.sections, |section| {
        (section.name.clone(), section.bytes, String::new())
    });
}

fn sizes(said: &mut Text, part: &Part, depth: usize) {
    let indent = "  ".repeat(depth + 1);
    let kind = match part.kind {
        PartKind::Component => "component",
        PartKind::Module => "module",
    };
    let name = part.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    said.line(format!("{indent}{:>10}  {kind}{name}", size(part.bytes)));
    let indent = format!("{indent}  ");
    let sections = together(&part.sections);
    rows(said, &indent, &sections, |section| {
        (section.name.clone(), section.bytes, String::new())
    });
    if !part.code.is_empty() {
        said.line(format!("{indent}code, by whose it is"));
        rows(said, &format!("{indent}  "), &part.code, |group: &Group| {
            (
                group_name(&group.name),
                group.bytes,
                format!(", {} functions", group.functions),
            )
        });
    }
}

fn group_name(name: &str) -> String {
    match name {
        "" => "others".to_owned(),
        name => name.to_owned(),
    }
}

/// All sections of debug information as one.
fn together(sections: &[SectionSize]) -> Vec<SectionSize> {
    let is_debug = |section: &&SectionSize| section.name.starts_with(".debug_");
    let debug: u64 = sections.iter().filter(is_debug).map(|section| section.bytes).sum();
    let mut sections: Vec<_> = sections.iter().filter(|section| !is_debug(section)).cloned().collect();
    if debug > 0 {
        sections.push(SectionSize {
            name: "debug information (DWARF)".to_owned(),
            bytes: debug,
        });
    }
    sections.sort_by_key(|section| std::cmp::Reverse(section.bytes));
    sections
}

/// The largest, and the others as one row.
fn rows<T>(said: &mut Text, indent: &str, rows: &[T], row: impl Fn(&T) -> (String, u64, String)) {
    for of_it in rows.iter().take(ROWS_MAX) {
        let (name, bytes, more) = row(of_it);
        said.line(format!("{indent}{:>10}  {name}{more}", size(bytes)));
    }
    let rest: Vec<_> = rows.iter().skip(ROWS_MAX).map(row).collect();
    if !rest.is_empty() {
        let bytes = rest.iter().map(|(_, bytes, _)| bytes).sum();
        said.line(format!("{indent}{:>10}  {} more", size(bytes), rest.len()));
    }
}

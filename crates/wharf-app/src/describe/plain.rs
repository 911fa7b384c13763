//! Whether Wasmtime's own commands run a component as it is, and which imports stand in the way.
//!
//! Read from the sources of Wasmtime 48: `wasmtime serve` links the interfaces of `wasi:http/proxy` 0.2 and of 0.3 beside all of
//! `wasi:cli` 0.3, `wasmtime run` all of `wasi:cli/command` of both; some flags of `-S` link more.

use serde::Serialize;

use crate::inspect::{Inspection, InterfaceName, World};

/// Whether Wasmtime's commands run a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plain {
    /// `wasmtime serve`; of a component that answers HTTP requests.
    pub serve: Option<PlainCommand>,
    /// `wasmtime run`; of a component that is a program.
    pub run: Option<PlainCommand>,
}

/// Whether a command of Wasmtime's runs a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlainCommand {
    /// Whether it does, with the flags.
    pub runs: bool,
    /// Flags that it takes, as `-S cli`.
    pub flags: Vec<&'static str>,
    /// What it would have to link, and does not.
    pub in_the_way: Vec<InTheWay>,
}

/// An import that Wasmtime's command does not link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InTheWay {
    /// The import's name.
    pub import: String,
    /// Why.
    pub reason: &'static str,
}

/// What links an interface.
enum Linked {
    Always,
    With(&'static str),
    Not(&'static str),
}

impl Plain {
    /// What Wasmtime's commands do with a component.
    pub fn of(inspection: &Inspection) -> Self {
        let fits = |worlds: &[World]| worlds.iter().any(|world| inspection.fits(*world));
        let command =
            |linked: fn(&InterfaceName) -> Linked, fits: bool| fits.then(|| PlainCommand::of(inspection, linked));
        Self {
            serve: command(serve, fits(&[World::Service03, World::Proxy02, World::Middleware03])),
            run: command(run, fits(&[World::Command03, World::Command02])),
        }
    }
}

impl PlainCommand {
    fn of(inspection: &Inspection, linked: impl Fn(&InterfaceName) -> Linked) -> Self {
        let (mut flags, mut in_the_way) = (Vec::new(), Vec::new());
        for import in inspection.imports.iter().filter(|import| import.required) {
            let linked = match &import.interface {
                Some(interface) => linked(interface),
                None => Linked::Not("not an interface but a bare name"),
            };
            match linked {
                Linked::Always => {}
                Linked::With(flag) if flags.contains(&flag) => {}
                Linked::With(flag) => flags.push(flag),
                Linked::Not(reason) => in_the_way.push(InTheWay {
                    import: import.name.clone(),
                    reason,
                }),
            }
        }
        Self {
            runs: in_the_way.is_empty(),
            flags,
            in_the_way,
        }
    }
}

/// What `wasmtime serve` links.
fn serve(name: &InterfaceName) -> Linked {
    let interface = name.interface.as_str();
    match (package(name).as_str(), name.track()) {
        ("wasi:io" | "wasi:clocks", Some((0, 2))) => Linked::Always,
        ("wasi:cli", Some((0, 2))) if matches!(interface, "stdin" | "stdout" | "stderr") => Linked::Always,
        ("wasi:random", Some((0, 2))) if interface == "random" => Linked::Always,
        ("wasi:http", Some((0, 2))) if matches!(interface, "types" | "outgoing-handler") => Linked::Always,
        ("wasi:http", Some((0, 3))) if matches!(interface, "types" | "client") => Linked::Always,
        ("wasi:cli" | "wasi:random", Some((0, 3))) => Linked::Always,
        ("wasi:clocks", Some((0, 3))) => clocks03(interface),
        ("wasi:cli" | "wasi:random" | "wasi:filesystem" | "wasi:sockets", Some((0, 2))) => Linked::With("-S cli"),
        ("wasi:filesystem" | "wasi:sockets", Some((0, 3))) => Linked::With("-S cli"),
        _ => beside_wasi(name),
    }
}

/// What `wasmtime run` links.
fn run(name: &InterfaceName) -> Linked {
    let interface = name.interface.as_str();
    match (package(name).as_str(), name.track()) {
        ("wasi:io" | "wasi:clocks" | "wasi:cli" | "wasi:random" | "wasi:filesystem" | "wasi:sockets", Some((0, 2))) => {
            Linked::Always
        }
        ("wasi:clocks", Some((0, 3))) => clocks03(interface),
        ("wasi:cli" | "wasi:random" | "wasi:filesystem" | "wasi:sockets", Some((0, 3))) => Linked::Always,
        ("wasi:http", Some((0, 2))) if matches!(interface, "types" | "outgoing-handler") => Linked::With("-S http"),
        ("wasi:http", Some((0, 3))) if matches!(interface, "types" | "client") => Linked::With("-S http"),
        _ => beside_wasi(name),
    }
}

fn clocks03(interface: &str) -> Linked {
    match interface {
        "timezone" => Linked::Not("unstable in WASI 0.3, and Wasmtime leaves it out"),
        _ => Linked::Always,
    }
}

fn beside_wasi(name: &InterfaceName) -> Linked {
    let version = name.version.as_ref().map(ToString::to_string);
    match (package(name).as_str(), version.as_deref()) {
        ("wasi:config", Some("0.2.0-rc.1")) => Linked::With("-S config"),
        ("wasi:keyvalue", Some("0.2.0-draft")) => Linked::With("-S keyvalue"),
        ("wasi:http", Some(_)) if name.interface == "handler" => Linked::Not("a middleware needs a service behind it"),
        (package, _) if package.starts_with("wharf:") => Linked::Not("Wharf's own"),
        (package, _) if package.starts_with("wasi:") => Linked::Not("Wasmtime 48 does not have it under this version"),
        _ => Linked::Not("nothing that Wasmtime has"),
    }
}

fn package(name: &InterfaceName) -> String {
    format!("{}:{}", name.namespace, name.package)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected = Option<(&'static [&'static str], &'static [&'static str])>;

    /// `serve` and `run`: the flags, and what is in the way.
    #[track_caller]
    fn check(export: &str, imports: &[&str], serve: Expected, run: Expected) {
        let imports: String = imports
            .iter()
            .map(|name| format!("(import {name:?} (instance (export \"f\" (func))))"))
            .collect();
        let text = format!(
            "(component {imports} (component $c) (instance $i (instantiate $c)) (export {export:?} (instance $i)))"
        );
        let plain = Plain::of(&Inspection::new(&wat::parse_str(text).unwrap()).unwrap());
        for (command, expected) in [(plain.serve, serve), (plain.run, run)] {
            let told = command.map(|command| {
                assert_eq!(command.runs, command.in_the_way.is_empty());
                let imports: Vec<_> = command.in_the_way.into_iter().map(|way| way.import).collect();
                (command.flags, imports)
            });
            let expected =
                expected.map(|(flags, ways)| (flags.to_vec(), ways.iter().map(ToString::to_string).collect()));
            assert_eq!(told, expected, "{export} with {imports}");
        }
    }

    #[test]
    fn standard_imports_run_on_wasmtime() {
        const SERVICE: &str = "wasi:http/handler@0.3.0";
        const COMMAND: &str = "wasi:cli/run@0.2.6";
        check(
            SERVICE,
            &["wasi:http/client@0.3.2", "wasi:cli/environment@0.3.0"],
            Some((&[], &[])),
            None,
        );
        check(
            SERVICE,
            &["wasi:sockets/types@0.3.0", "wasi:filesystem/types@0.3.0"],
            Some((&["-S cli"], &[])),
            None,
        );
        check(
            "wasi:http/incoming-handler@0.2.6",
            &["wasi:cli/environment@0.2.6", "wasi:io/poll@0.2.6"],
            Some((&["-S cli"], &[])),
            None,
        );
        check(
            COMMAND,
            &["wasi:http/types@0.2.6", "wasi:sockets/tcp@0.2.6"],
            None,
            Some((&["-S http"], &[])),
        );
        check("a:b/c", &["wasi:http/types@0.2.6"], None, None);
    }

    #[test]
    fn what_wasmtime_does_not_link_stands_in_the_way() {
        const SERVICE: &str = "wasi:http/handler@0.3.0";
        check(
            SERVICE,
            &["wharf:sql/database@0.1.0"],
            Some((&[], &["wharf:sql/database@0.1.0"])),
            None,
        );
        check(
            SERVICE,
            &["wasi:clocks/timezone@0.3.0"],
            Some((&[], &["wasi:clocks/timezone@0.3.0"])),
            None,
        );
        check(
            SERVICE,
            &["wasi:http/handler@0.3.0"],
            Some((&[], &["wasi:http/handler@0.3.0"])),
            None,
        );
        check(
            "wasi:cli/run@0.3.0",
            &[
                "wasi:keyvalue/store@0.2.0-draft",
                "wasi:cli/stdin@0.3.0-rc-2026-03-15",
                "f",
            ],
            None,
            Some((&["-S keyvalue"], &["wasi:cli/stdin@0.3.0-rc-2026-03-15", "f"])),
        );
    }
}

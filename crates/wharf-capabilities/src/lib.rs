//! What guests may reach beyond their sandbox: one module per capability, one pattern language for all of them.
//!
//! A capability is made once per app from its options, and grants to each instance what they say
//! ([`wharf_host::Capability`]). Bad options fail when it is made, before any guest runs. Adding one that has a section of
//! the manifest takes a module here and a line in [`kinds`].

#[macro_use]
mod writes_as;

pub mod allow;
pub mod cache;
pub mod config;
mod denials;
pub mod filesystem;
mod heap;
mod held;
pub mod http_client;
pub mod keyvalue;
pub mod logging;
mod rate;
mod redis;
pub mod resolve;
mod section;
pub mod sockets;
pub mod sql;

use std::sync::Arc;

use wharf_host::Kind;

pub use allow::{AllowList, PatternError};
pub use filesystem::{FilesystemCapability, Folder, FolderError};
pub use http_client::{HttpClientCapability, HttpClientKind, HttpClientOptions};
pub use sockets::{SocketsCapability, SocketsKind};
pub use sql::SqlKind;

/// The capabilities that apps ask for with a section of their manifest. This is the one list: what is in it is in the
/// schema, in the reference, in metrics, and in what components may import.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(HttpClientKind),
        Arc::new(SocketsKind),
        Arc::new(SqlKind),
        Arc::new(cache::CacheKind),
        Arc::new(keyvalue::KeyvalueKind),
        Arc::new(config::ConfigKind),
        Arc::new(logging::LoggingKind),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Where a capability's word is not what its part of the repository is called: the word, the part, and what that is
    /// called instead, or nothing where there is none.
    const EXCEPTIONS: [(&str, &str, Option<&str>); 5] = [
        // One policy for all that leaves the sandbox, and one page for it.
        ("http-client", "page", Some("outgoing")),
        ("sockets", "page", Some("outgoing")),
        // What a guest meets at the other end is tested from there.
        ("http-client", "tests", Some("http/outgoing")),
        ("sockets", "tests", Some("wasi/sockets")),
        // It holds nothing that could be counted.
        ("config", "metrics", None),
    ];

    fn called<'a>(word: &'a str, part: &str, usual: &'a str) -> Option<&'a str> {
        let exception = EXCEPTIONS.iter().find(|(of, what, _)| (*of, *what) == (word, part));
        exception.map_or(Some(usual), |(_, _, called)| *called)
    }

    #[test]
    fn one_word_is_everywhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let reference = text("docs/reference/manifest.md");
        for kind in kinds() {
            let word = kind.name();
            let module = word.replace('-', "_");
            let file = format!("crates/wharf-capabilities/src/{module}.rs");
            assert!(root.join(&file).is_file(), "{word}: no module {file}");
            let sections = [format!("`[{word}]`"), format!("`[{word}.NAME]`")];
            assert!(
                sections.iter().any(|section| reference.contains(section)),
                "{word}: no section"
            );
            let page = called(word, "page", word).map(|name| text(&format!("docs/concepts/{name}.md")));
            let page = page.expect("each has a page");
            assert!(
                page.contains(&format!("[{word}")),
                "{word}: no page that shows its section"
            );
            if let Some(metrics) = called(word, "metrics", &module) {
                assert!(
                    page.contains(&format!("wharf_{metrics}_")),
                    "{word}: no metrics on its page"
                );
            }
            let usual = format!("http/{module}");
            let tests = called(word, "tests", &usual).expect("each has tests");
            assert!(
                root.join(format!("tests/{tests}.rs")).is_file(),
                "{word}: no {tests}.rs"
            );
            // Those of WASI are there for every app.
            if !kind.interfaces().is_empty() {
                assert!(root.join("wit").join(word).is_dir(), "{word}: no WIT");
                assert!(!kind.wit().is_empty(), "{word}: `wharf wit` does not print its WIT");
            }
        }
    }

    #[test]
    fn what_wharf_wit_prints_is_what_a_section_provides() {
        for kind in kinds() {
            for package in kind.wit() {
                let declares = format!("package {};", package.full_name());
                assert!(package.text.contains(&declares), "{declares}");
                let provides = |name: &&str| name.contains('@') && name.starts_with(package.name);
                let of_version = |name: &&str| name.ends_with(&format!("@{}", package.version));
                let provided = kind
                    .interfaces()
                    .iter()
                    .filter(|name| provides(name) && of_version(name));
                let declared = package.interfaces();
                let names: Vec<_> = provided.filter_map(|name| name.split(['/', '@']).nth(1)).collect();
                assert!(!names.is_empty(), "{declares}");
                for name in names {
                    assert!(declared.iter().any(|own| own == name), "{declares} has no {name}");
                }
            }
        }
    }
}

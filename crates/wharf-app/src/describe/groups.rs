//! Whose code the functions of a module are, as far as their names tell: the crates of Rust, the packages of Go.

use std::collections::HashMap;

use serde::Serialize;

/// Code that belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The crate or package; empty for functions whose names tell of none.
    pub name: String,
    /// Size of the functions' code.
    pub bytes: u64,
    /// How many functions.
    pub functions: u64,
}

/// Puts functions, each with its name and the size of its code, into groups. The largest comes first.
pub fn group<'a>(functions: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<Group> {
    let mut groups: HashMap<String, (u64, u64)> = HashMap::new();
    for (name, bytes) in functions {
        let entry = groups.entry(owner(name)).or_default();
        entry.0 += bytes;
        entry.1 += 1;
    }
    let group = |(name, (bytes, functions))| Group { name, bytes, functions };
    let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
    groups.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    groups
}

/// The crate or package of a function, or nothing.
fn owner(name: &str) -> String {
    if let Ok(demangled) = rustc_demangle::try_demangle(name) {
        return crate_of(&demangled.to_string()).to_owned();
    }
    go_package(name).unwrap_or_default().to_owned()
}

/// `core` of `core::fmt::write`, of `<core::fmt::Error as alloc::string::ToString>::to_string` and of `<[core::str::Chars]>::len`.
fn crate_of(path: &str) -> &str {
    let path = path.trim_start_matches(['<', '[', '(', '&', '*']);
    let path = ["dyn ", "mut ", "const "]
        .iter()
        .fold(path, |path, word| path.strip_prefix(word).unwrap_or(path));
    let end = path
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(path.len());
    match path[end..].starts_with("::") || path[end..].starts_with('[') {
        true => &path[..end],
        // A primitive type, such as in `<u8 as core::fmt::Display>::fmt`: whose trait it is tells.
        false => path
            .split_once(" as ")
            .map(|(_, of_trait)| crate_of(of_trait))
            .unwrap_or_default(),
    }
}

/// `net/http` of `net/http.(*conn).serve`, and `runtime` of `runtime.mallocgc`.
fn go_package(name: &str) -> Option<&str> {
    let name = name.trim_start_matches(['(', '*']);
    let host_end = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = host_end + name[host_end..].find('.')?;
    let package = &name[..dot];
    let is_path = !package.is_empty() && package.chars().all(|c| c.is_alphanumeric() || "./_-".contains(c));
    // Compilers' own names, such as `.Lanon.1` and `str.0`, have nothing before the dot or a number after it.
    let rest = name[dot + 1..].chars().next()?;
    (is_path && (rest.is_alphabetic() || rest == '(' || rest == '_')).then_some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_belong_to_crates_and_packages() {
        for (name, expected) in [
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core"),
            (
                "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
                "alloc",
            ),
            (
                "_ZN41_$LT$u8$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
                "core",
            ),
            ("_RNvC6_123foo3bar", "123foo"),
            ("runtime.mallocgc", "runtime"),
            ("net/http.(*conn).serve", "net/http"),
            ("(*net/http.conn).serve", "net/http"),
            ("example.com/shop/db.Open", "example.com/shop/db"),
            ("malloc", ""),
            (".Lanon.1", ""),
            ("str.0", ""),
            ("wasi:http/handler@0.3.0#handle", ""),
            ("", ""),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn the_largest_group_comes_first() {
        let groups = group([("runtime.a", 3), ("malloc", 10), ("runtime.b", 8)]);
        let told: Vec<_> = groups
            .iter()
            .map(|group| (group.name.as_str(), group.bytes, group.functions))
            .collect();
        assert_eq!(told, [("runtime", 11, 2), ("", 10, 1)]);
    }
}

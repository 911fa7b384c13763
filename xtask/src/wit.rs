//! Prints the WIT of the standards into `wit/`, from the packages of the registry that carry it.
//!
//! What lands in the repository is declarations: comments are left out, everything else stays as it is, feature gates
//! included. This reads lines of text, not WIT, on purpose: `wit-component` would drop what is behind a gate that is off, for the
//! same declarations otherwise. That the result is WIT is shown by the builds that generate bindings from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Workspace, metadata};

/// One folder of declarations and where they come from.
struct Standard {
    /// The folder in the repository. It holds what is printed and nothing else.
    folder: &'static str,
    /// The workspace whose lock file pins the package's version.
    manifest: &'static str,
    /// The package of the registry.
    package: &'static str,
    /// The folder of WIT inside the package.
    source: &'static str,
    /// The files wanted; all of them where none is named.
    files: &'static [&'static str],
}

const STANDARDS: &[Standard] = &[
    Standard {
        folder: "wit/wasi-0.3/deps",
        manifest: "tests/guests/Cargo.toml",
        package: "wasip3",
        source: "wit/deps",
        files: &[],
    },
    // What Wharf implements itself of 0.2, and what that refers to.
    Standard {
        folder: "wit/wasi-0.2/deps",
        manifest: "Cargo.toml",
        package: "wasmtime-wasi",
        source: "src/p2/wit/deps",
        files: &["clocks.wit", "io.wit", "sockets.wit"],
    },
];

/// Writes every folder anew.
pub fn print(workspace: &Workspace) -> Result<()> {
    for standard in STANDARDS {
        let folder = workspace.root().join(standard.folder);
        let declarations = standard.declarations(workspace)?;
        for stale in difference(&folder, &declarations)? {
            let file = folder.join(&stale);
            match declarations.get(&stale) {
                Some(text) => write(&file, text)?,
                None => fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?,
            }
            println!("Updated {}/{stale}", standard.folder);
        }
    }
    Ok(())
}

/// Fails when a folder is not what `print` would make of it.
pub fn check(workspace: &Workspace) -> Result<()> {
    for standard in STANDARDS {
        let folder = workspace.root().join(standard.folder);
        let stale = difference(&folder, &standard.declarations(workspace)?)?;
        ensure!(
            stale.is_empty(),
            "not as printed from {}: {} in {} (run `cargo xtask wit`)",
            standard.package,
            stale.join(", "),
            standard.folder
        );
    }
    Ok(())
}

impl Standard {
    /// The texts of all files, by name.
    fn declarations(&self, workspace: &Workspace) -> Result<BTreeMap<String, String>> {
        let (package_folder, version) = self.locate(workspace)?;
        let mut declarations = BTreeMap::new();
        for (name, file) in files(&package_folder.join(self.source))? {
            if !self.files.is_empty() && !self.files.contains(&name.as_str()) {
                continue;
            }
            let source = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = declarations_of(&source, &format!("{} {version}", self.package))
                .with_context(|| format!("cannot print {}", file.display()))?;
            declarations.insert(name, text);
        }
        for &name in self.files {
            ensure!(
                declarations.contains_key(name),
                "{} {version} has no {}/{name}",
                self.package,
                self.source
            );
        }
        ensure!(
            !declarations.is_empty(),
            "{} {version} has no WIT in {}",
            self.package,
            self.source
        );
        Ok(declarations)
    }

    /// The package's folder and its version, without what stands after `+`.
    fn locate(&self, workspace: &Workspace) -> Result<(PathBuf, String)> {
        let metadata = metadata(&workspace.root().join(self.manifest), &[])?;
        let packages = metadata["packages"]
            .as_array()
            .context("cargo metadata lists no packages")?;
        let mut named = packages.iter().filter(|package| package["name"] == self.package);
        let (Some(package), None) = (named.next(), named.next()) else {
            bail!(
                "{} must stand on exactly one version of {}",
                self.manifest,
                self.package
            );
        };
        let folder = package["manifest_path"]
            .as_str()
            .and_then(|path| Path::new(path).parent());
        let version = package["version"]
            .as_str()
            .and_then(|version| version.split('+').next());
        match (folder, version) {
            (Some(folder), Some(version)) => Ok((folder.to_owned(), version.to_owned())),
            _ => bail!("cargo metadata does not describe {}", self.package),
        }
    }
}

/// The declarations of a WIT file, under a line that says where they come from.
fn declarations_of(source: &str, origin: &str) -> Result<String> {
    // No package uses them; WIT lets them nest, and a reader of lines would have to count.
    ensure!(!source.contains("/*"), "block comments are not understood here");
    let mut text = String::new();
    let mut package = None;
    for line in source.lines() {
        let declaration = line
            .split_once("//")
            .map_or(line, |(declaration, _)| declaration)
            .trim_end();
        let was_comment = declaration.is_empty() && !line.trim().is_empty();
        let is_second_blank = declaration.is_empty() && (text.is_empty() || text.ends_with("\n\n"));
        if was_comment || is_second_blank {
            continue;
        }
        let named = declaration
            .strip_prefix("package ")
            .and_then(|rest| rest.strip_suffix(';'));
        package = package.or(named.map(str::to_owned));
        text.push_str(declaration);
        text.push('\n');
    }
    let package = package.context("the file names no package")?;
    let header = format!("// Declarations of {package}, printed by `cargo xtask wit` from the package {origin}.\n");
    Ok(header + text.trim_end() + "\n")
}

/// The names of files in `folder` that are missing, different or too many.
fn difference(folder: &Path, wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let present = if folder.is_dir() {
        files(folder)?
    } else {
        BTreeMap::new()
    };
    let extra = present.keys().filter(|name| !wanted.contains_key(*name)).cloned();
    let stale = wanted.iter().filter(|(name, text)| {
        let file = present.get(*name);
        !file.is_some_and(|file| fs::read_to_string(file).is_ok_and(|present| present == **text))
    });
    Ok(stale.map(|(name, _)| name.clone()).chain(extra).collect())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(file.parent().context("a file is in a folder")?)
        .and_then(|()| fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The files of a folder by name.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
    });
    files
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("cannot read {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_gates_stay() {
        let source = "\
/// About the package.
package a:b@1.0.0;

/// About the interface.
@unstable(feature = x)
interface c {
  /// About the function.

  f: func(); // at the end of a line


  g: func();
}

// the end
";
        let expected = "\
// Declarations of a:b@1.0.0, printed by `cargo xtask wit` from the package p 1.
package a:b@1.0.0;

@unstable(feature = x)
interface c {

  f: func();

  g: func();
}
";
        assert_eq!(declarations_of(source, "p 1").unwrap(), expected);
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        assert!(declarations_of("package a:b;\n/* f: func(); */\n", "p 1").is_err());
        assert!(declarations_of("interface a {}\n", "p 1").is_err());
    }

    #[test]
    fn missing_changed_and_extra_files_differ() {
        let folder = std::env::temp_dir().join(format!("wharf-xtask-wit-{}", std::process::id()));
        let wanted = BTreeMap::from(["missing", "changed", "same"].map(|name| (name.to_owned(), "text".to_owned())));
        assert_eq!(difference(&folder, &wanted).unwrap().len(), 3);
        for (name, text) in [("changed", "other"), ("same", "text"), ("extra", "text")] {
            write(&folder.join(name), text).unwrap();
        }
        let difference = difference(&folder, &wanted).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(difference, ["changed", "missing", "extra"]);
    }
}

//! Which crate knows which: the architecture, in ten lines.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use wharf_tests::Scratch;

use crate::{cargo, check_none, files, root};

/// The arrows between the crates of the product. One more is a decision, and is written down in `docs/decisions`.
const ARROWS: [&str; 10] = [
    "wharf -> wharf-build",
    "wharf -> wharf-capabilities",
    "wharf -> wharf-host",
    "wharf -> wharf-server",
    "wharf-build -> wharf-app",
    "wharf-capabilities -> wharf-app",
    "wharf-capabilities -> wharf-host",
    "wharf-host -> wharf-app",
    "wharf-server -> wharf-app",
    "wharf-server -> wharf-host",
];

#[test]
fn there_are_ten_arrows_between_the_crates() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    let crates: Vec<_> = packages.iter().filter(|package| is_product(package)).collect();
    let names: BTreeSet<_> = crates.iter().filter_map(|package| package["name"].as_str()).collect();

    let mut arrows = BTreeSet::new();
    for package in &crates {
        let dependencies = package["dependencies"]
            .as_array()
            .expect("a package has a list of dependencies");
        // Tests may look further than the product: `kind` is null for what the product itself stands on.
        let own = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        let known = own
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| names.contains(name));
        arrows.extend(known.map(|name| format!("{} -> {name}", package["name"].as_str().unwrap_or_default())));
    }
    assert_eq!(arrows, ARROWS.map(str::to_owned).into());
}

/// Whether a package is one of `crates/`.
fn is_product(package: &Value) -> bool {
    let manifest = package["manifest_path"].as_str().unwrap_or_default().replace('\\', "/");
    manifest.contains("/crates/")
}

/// Whoever takes the example of a capability of somebody's own elsewhere has all that it needs, and one engine: Wharf's.
#[test]
fn a_capability_of_somebodys_own_stands_anywhere() {
    let folder = Scratch::new();
    let example = Path::new("examples/own-capability");
    for file in files().iter().filter(|file| file.starts_with(example)) {
        let text = std::fs::read_to_string(root().join(file)).expect("an example is text");
        // What its README says to change.
        let text = text.replace("../../../", &format!("{}/", root().display()));
        let name = file.strip_prefix(example).expect("it is in there");
        folder.write(name, text);
    }
    // With the versions that are here: nothing is fetched.
    let lock = std::fs::read(root().join("Cargo.lock")).expect("there is a lock file");
    folder.write("server/Cargo.lock", lock);
    let manifest = folder.join("server/Cargo.toml").display().to_string();
    let tree = [
        "tree",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--manifest-path",
    ];
    let tree = cargo(&[&tree[..], &[&manifest]].concat());
    let packages: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(tree.starts_with("own-capability-server v"), "{tree}");
    for name in ["wasmtime", "schemars", "wharf-host"] {
        let versions = packages
            .iter()
            .filter(|package| package.split(' ').next() == Some(name));
        assert_eq!(versions.count(), 1, "{name}:\n{tree}");
    }
}

/// What an app is at rest, what builds components, and automation, must build in seconds.
#[test]
fn the_engine_is_not_under_what_does_without_it() {
    for package in ["wharf-app", "wharf-build", "xtask"] {
        let tree = cargo(&[
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ]);
        let packages = tree.lines().filter_map(|line| line.split(' ').next());
        let engine = packages.filter(|name| name.starts_with("wasmtime") || name.starts_with("cranelift"));
        check_none(engine.map(str::to_owned), &format!("{package} stands on the engine"));
    }
}

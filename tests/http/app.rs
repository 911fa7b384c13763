//! An example as its folder has it: its own manifest and its own files, with the component that was built for the tests.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use wharf_tests::{Scratch, Server, guest};

use crate::operator::{ADMIN, admin};

/// A copy of an example's folder.
pub struct App {
    folder: Scratch,
}

/// A server that serves one. It ends when this value is dropped.
pub struct Served {
    pub server: Server,
    pub admin: SocketAddr,
    pub app: App,
}

impl App {
    /// The example `name`, with its component where its manifest looks for it.
    pub fn of(name: &str) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
        let folder = Scratch::new();
        let manifest = fs::read(example.join("wharf.toml")).expect("an example that is an app has a manifest");
        folder.write("wharf.toml", manifest);
        for inside in ["public", "migrations"] {
            // Not every example has both.
            for file in fs::read_dir(example.join(inside)).into_iter().flatten() {
                let file = file.expect("a folder can be read").path();
                let name = file.file_name().expect("a file has a name");
                folder.write(Path::new(inside).join(name), fs::read(&file).expect("it is a file"));
            }
        }
        let component = fs::read(guest(&format!("example-{name}"))).expect("the example is built");
        let file = format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"));
        folder.write(file, component);
        Self { folder }
    }

    /// Replaces what stands in the manifest. A server that serves it takes that up by itself.
    ///
    /// # Panics
    ///
    /// When `old` is not there exactly once: the example has changed, and the test would show something else.
    pub fn set(self, old: &str, new: &str) -> Self {
        self.change(old, new);
        self
    }

    /// As [`App::set`], while it is served.
    pub fn change(&self, old: &str, new: &str) {
        let manifest = fs::read_to_string(self.folder.join("wharf.toml")).expect("it was written");
        assert_eq!(manifest.matches(old).count(), 1, "{old} in {manifest}");
        // Whole or not at all: a server may be looking.
        let next = self.folder.write("wharf.toml.next", manifest.replace(old, new));
        fs::rename(next, self.folder.join("wharf.toml")).expect("a file can take another's place");
    }

    pub fn serve(self, flags: &[&str]) -> Served {
        let server = Server::start(self.folder.join("wharf.toml"), &[&ADMIN[..], flags].concat());
        let admin = admin(&server);
        Served {
            server,
            admin,
            app: self,
        }
    }
}

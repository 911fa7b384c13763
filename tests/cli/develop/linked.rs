//! A library of one language in a service of another, both from templates: one command builds them, and calls, errors and streams cross.

use wharf_tests::{Scratch, Server, finish, http, toolchain, wharf};

use super::check_built;

/// The service calls the library by its path.
const SERVICE: &str = r#"
use http::Response;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{http_from_wasi_request, http_into_wasi_response};

use local::my_greeter::greeter;

wasip3::wit_bindgen::generate!({
    path: "wit",
    world: "client",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

struct Service;

wasip3::http::service::export!(Service);

impl Guest for Service {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let (status, text) = match path.split_once(',') {
            Some(_) => {
                let names = path.split(',').map(str::to_owned).collect();
                (200, greeter::greet_all(names).await.collect().await.join("\n"))
            }
            None => match greeter::greet(path).await {
                Ok(text) => (200, text),
                Err(why) => (404, why),
            },
        };
        http_into_wasi_response(Response::builder().status(status).body(text).unwrap())
    }
}
"#;

const MANIFEST: &str = "
routes = [{ path = '/', component = 'service' }]

[components.service]
file = 'service.wasm'
links = { 'local:my-greeter/greeter' = 'greeter' }
build = { language = 'rust', folder = 'my-linked' }

[components.greeter]
file = 'greeter.wasm'
instance = 'INSTANCE'
build = { language = 'go', folder = 'my-greeter', world = 'library' }
";

#[test]
fn a_library_in_go_is_linked_into_a_service_in_rust() {
    let Some(path) = toolchain::path("go") else {
        return;
    };
    let scratch = Scratch::new();
    for (name, template, language) in [("my-greeter", "library", "go"), ("my-linked", "http", "rust")] {
        let mut new = wharf();
        new.arg("new").arg(scratch.join(name));
        let made = finish(new.args(["--template", template, "--language", language]), "");
        assert_eq!(made.code(), Some(0), "{made:?}");
    }
    write_service(&scratch);
    for instance in ["own", "joined"] {
        scratch.write("wharf.toml", MANIFEST.replace("INSTANCE", instance));
        check_built(&scratch, &path, "/greeter: ");
        let server = Server::start_manifest(&*scratch, &["--addr", "127.0.0.1:0"]);
        for (path, status, expected) in [
            ("/Ada", 200, "Hello, Ada!"),
            ("/", 404, "there is nobody to greet"),
            (
                "/Ada,,Grace",
                200,
                "Hello, Ada!\nthere is nobody to greet\nHello, Grace!",
            ),
        ] {
            let reply = http::get(server.addr(), path);
            assert_eq!((reply.status, &*reply.text()), (status, expected), "{instance} {path}");
        }
    }
}

/// What a template of a service becomes that imports the library.
fn write_service(scratch: &Scratch) {
    scratch.write("my-linked/src/lib.rs", SERVICE);
    let manifest = std::fs::read_to_string(scratch.join("my-linked/Cargo.toml")).unwrap();
    let features = manifest.replace("[\"http-compat\"]", "[\"http-compat\", \"wit-bindgen-macros\"]");
    assert_ne!(manifest, features);
    scratch.write("my-linked/Cargo.toml", features);
    let world = "package local:linked;\n\nworld client {\n  import local:my-greeter/greeter;\n}\n";
    scratch.write("my-linked/wit/world.wit", world);
    // As the library's README has it.
    let mut add = wharf();
    add.args(["wit", "add", "../my-greeter/wit"])
        .current_dir(scratch.join("my-linked"));
    let added = finish(&mut add, "");
    assert_eq!(added.code(), Some(0), "{added:?}");
}

//! The bindings of `wit/`, on the types of the crate wasip3.

use wasip3::wit_bindgen;

wit_bindgen::generate!({
    path: "wit",
    world: "websocket",
    runtime_path: "wasip3::wit_bindgen::rt",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
    },
    pub_export_macro: true,
    generate_all,
});

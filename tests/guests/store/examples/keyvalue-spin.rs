//! Steps with a key-value store: `wasi:keyvalue` 0.2.0-draft2 as Spin has it.

wasip3::wit_bindgen::generate!({
    path: "../../../wit/keyvalue/draft2-spin",
    world: "wasi:keyvalue/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

guests_store::keyvalue_steps!();
guests_store::keyvalue_swap!();

fn pairs(pairs: Vec<(String, Option<Vec<u8>>)>) -> String {
    let pairs = pairs.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={}", shown(value)),
        None => format!("{key} none"),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

//! Steps with a key-value store: `wasi:keyvalue` 0.2.0-draft2.

wasip3::wit_bindgen::generate!({
    path: "../../../wit/keyvalue/draft2",
    world: "wasi:keyvalue/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

guests_store::keyvalue_steps!();
guests_store::keyvalue_swap!();

fn pairs(pairs: Vec<Option<(String, Vec<u8>)>>) -> String {
    let pairs = pairs.iter().map(|pair| match pair {
        Some((key, value)) => format!("{key}={}", shown(value)),
        None => "none".to_owned(),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

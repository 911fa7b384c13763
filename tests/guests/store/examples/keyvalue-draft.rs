//! Steps with a key-value store: `wasi:keyvalue` 0.2.0-draft.

wasip3::wit_bindgen::generate!({
    path: "../../../wit/keyvalue/draft",
    world: "wasi:keyvalue/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

guests_store::keyvalue_steps!();

fn pairs(pairs: Vec<Option<(String, Vec<u8>)>>) -> String {
    let pairs = pairs.iter().map(|pair| match pair {
        Some((key, value)) => format!("{key}={}", shown(value)),
        None => "none".to_owned(),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

fn place(cursor: &Option<u64>) -> Option<u64> {
    *cursor
}

fn swap(_: &store::Bucket, _: &str, _: Vec<u8>, _: Option<Vec<u8>>) -> Result<String, store::Error> {
    Ok("this shape has none".to_owned())
}

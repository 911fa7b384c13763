//! The interface `wharf:cache/cache`.

wasip3::wit_bindgen::generate!({
    path: "../../../wit/cache",
    inline: "
        package guests:cache;
        world guest {
            import wharf:cache/cache@0.1.0;
            import wharf:cache/text@0.1.0;
        }
    ",
    world: "guests:cache/guest",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

pub use wharf::cache::cache::*;
pub use wharf::cache::text;

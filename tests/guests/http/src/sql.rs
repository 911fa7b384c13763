//! The interface `wharf:sql`.

wasip3::wit_bindgen::generate!({
    path: ["../../../wit/sql"],
    inline: "
        package guests:sql;
        world service {
            import wharf:sql/database@0.1.0;
        }
    ",
    world: "guests:sql/service",
    runtime_path: "wasip3::wit_bindgen::rt",
    with: {
        "wharf:sql/database@0.1.0": generate,
        "wharf:sql/types@0.1.0": generate,
    },
});

pub use wharf::sql::database::{Database, Transaction};
pub use wharf::sql::types::*;

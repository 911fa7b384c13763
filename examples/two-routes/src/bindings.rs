//! Wharf's interface for databases (`wit/sql/sql.wit`).

wit_bindgen::generate!({
    path: "../../wit/sql",
    world: "wharf:sql/imports",
    generate_all,
});

//! A link of the matrix: lifted without `async`, lowers with `async`.

macro_rules! call {
    ($call:expr) => {
        guests_component::wit_bindgen::block_on($call)
    };
}

macro_rules! lend {
    ($value:expr) => {
        $value
    };
}

guests_component::matrix_link! {
    lift: [],
    sync: [
        "export:wharf:guests/matrix#number",
        "export:wharf:guests/matrix#text",
        "export:wharf:guests/matrix#numbers",
        "export:wharf:guests/matrix#moved",
        "export:wharf:guests/matrix#checked",
        "export:wharf:guests/matrix#lent",
        "export:wharf:guests/matrix#given",
        "export:wharf:guests/matrix#bytes",
        "export:wharf:guests/matrix#points",
        "export:wharf:guests/matrix#counters",
        "export:wharf:guests/matrix#later",
        "export:wharf:guests/matrix#rows",
    ],
    call: call,
    lend: lend
}

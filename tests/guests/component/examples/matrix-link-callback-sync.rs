//! A link of the matrix: lifted `async` with a callback, lowers without `async`.

macro_rules! call {
    ($call:expr) => {
        $call
    };
}

macro_rules! lend {
    ($value:expr) => {
        &$value
    };
}

guests_component::matrix_link! {
    lift: [async],
    sync: [
        "import:wharf:guests/matrix#number",
        "import:wharf:guests/matrix#text",
        "import:wharf:guests/matrix#numbers",
        "import:wharf:guests/matrix#moved",
        "import:wharf:guests/matrix#checked",
        "import:wharf:guests/matrix#lent",
        "import:wharf:guests/matrix#given",
        "import:wharf:guests/matrix#bytes",
        "import:wharf:guests/matrix#points",
        "import:wharf:guests/matrix#counters",
        "import:wharf:guests/matrix#later",
        "import:wharf:guests/matrix#rows",
    ],
    call: call,
    lend: lend
}

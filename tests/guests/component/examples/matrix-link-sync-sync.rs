//! A link of the matrix: lifted and lowers without `async`.

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

//! A link of the matrix: lifted `async` with a callback, lowers with `async`.

macro_rules! call {
    ($call:expr) => {
        $call.await
    };
}

macro_rules! lend {
    ($value:expr) => {
        $value
    };
}

guests_component::matrix_link! {
    lift: [async],
    sync: [],
    call: call,
    lend: lend
}

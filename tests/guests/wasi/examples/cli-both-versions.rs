//! Exports `run` of WASI 0.3 and of WASI 0.2, as a component built for 0.3 with a standard library for 0.2 does. Only
//! the former works: a host that knows both must call it.

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package wasi:cli@0.2.6;
            interface run {
                run: func() -> result;
            }
            world command {
                export run;
            }
        ",
    });
}

struct Past;

impl bindings::exports::wasi::cli::run::Guest for Past {
    fn run() -> Result<(), ()> {
        panic!("the run of WASI 0.2 was called");
    }
}

bindings::export!(Past with_types_in bindings);

guests_wasi::command!(guests_wasi::cli::environment);

//! Bindings generated from `wit/wasi-0.3`; clocks, random and cli are Wasmtime's own.
#![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit/wasi-0.3",
    world: "wharf:host/service",
    imports: {
        "wasi:http/client.send": store | trappable,
        "wasi:http/types.[drop]request": store | trappable,
        "wasi:http/types.[drop]response": store | trappable,
        "wasi:http/types.[static]request.consume-body": store | trappable,
        "wasi:http/types.[static]request.new": store | trappable,
        "wasi:http/types.[static]response.consume-body": store | trappable,
        "wasi:http/types.[static]response.new": store | trappable,
        default: trappable,
    },
    exports: { default: async | store },
    with: {
        "wasi:cli": wasmtime_wasi::p3::bindings::cli,
        "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
        "wasi:random": wasmtime_wasi::p3::bindings::random,
        "wasi:http/types.fields": crate::http::fields::Fields,
        "wasi:http/types.request": crate::http::host::Request,
        "wasi:http/types.request-options": crate::http::host::Options,
        "wasi:http/types.response": crate::http::host::Response,
    },
});

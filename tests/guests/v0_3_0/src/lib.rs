//! The command guests of the package `guests-wasi`, from the same files, against WASI 0.3.0.

#[path = "../../wasi/src/cli.rs"]
pub mod cli;
#[path = "../../wasi/src/clocks.rs"]
pub mod clocks;
#[path = "../../wasi/src/filesystem.rs"]
pub mod filesystem;
#[path = "../../wasi/src/filesystem_calls.rs"]
pub mod filesystem_calls;
#[path = "../../wasi/src/random.rs"]
pub mod random;
#[path = "../../wasi/src/report.rs"]
mod report;
#[path = "../../wasi/src/sockets.rs"]
pub mod sockets;
#[path = "../../wasi/src/sockets_calls.rs"]
pub mod sockets_calls;
#[path = "../../wasi/src/text.rs"]
mod text;
#[path = "../../wasi/src/timezone.rs"]
pub mod timezone;

pub mod bindings {
    //! WASI 0.3.0 as a command sees it, from this package's own declarations.

    wit_bindgen::generate!({
        path: "wit",
        world: "command",
        features: ["clocks-timezone"],
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "guests_v0_3_0::bindings",
    });
}

pub use bindings::wasi;
use bindings::wasi::clocks::timezone as timezone_interface;
use bindings::wit_stream;

/// Exports an `async fn() -> Result<(), ()>` as the `run` of a command.
#[macro_export]
macro_rules! command {
    ($body:path) => {
        struct Command;

        $crate::bindings::export!(Command);

        impl $crate::bindings::exports::wasi::cli::run::Guest for Command {
            async fn run() -> Result<(), ()> {
                $body().await
            }
        }
    };
}

//! The bodies of the command guests, written once for every version of WASI 0.3.
//!
//! Each file here is one subject and each public function one guest; `examples/` only exports them. They name WASI as
//! `crate::wasi`, so that the package `guests-v0-3-0` builds the same files against version 0.3.0.

pub mod cli;
pub mod clocks;
pub mod filesystem;
pub mod filesystem_calls;
pub mod random;
mod report;
pub mod sockets;
pub mod sockets_calls;
mod text;
pub mod timezone;

use timezone_bindings::wasi::clocks::timezone as timezone_interface;
pub use wasip3 as wasi;
use wasip3::wit_stream;

mod timezone_bindings {
    //! What wasip3 leaves out because it is gated.

    wit_bindgen::generate!({
        path: "../../../wit/wasi-0.3",
        inline: "
            package wharf:guests;
            world timezone {
                @unstable(feature = clocks-timezone)
                import wasi:clocks/timezone@0.3.2;
            }
        ",
        features: ["clocks-timezone"],
        with: {
            "wasi:clocks/types@0.3.2": wasip3::clocks::types,
            "wasi:clocks/system-clock@0.3.2": wasip3::clocks::system_clock,
            "wasi:clocks/timezone@0.3.2": generate,
        },
    });
}

/// Exports an `async fn() -> Result<(), ()>` as the `run` of a command.
#[macro_export]
macro_rules! command {
    ($body:path) => {
        struct Command;

        $crate::wasi::cli::command::export!(Command);

        impl $crate::wasi::exports::cli::run::Guest for Command {
            async fn run() -> Result<(), ()> {
                $body().await
            }
        }
    };
}

//! WASI for every guest: what it sees of its environment, and the interfaces that are linked.
//!
//! Most of WASI is Wasmtime's own. Ours are `wasi:http@0.3` (`http.rs`), name lookup, whose answer depends on what the
//! operator granted, the time zone, which Wasmtime leaves out, and some functions of the filesystem, of random, and of sockets,
//! which are counted.

#[cfg(unix)]
mod filesystem;
pub(crate) mod lookup;
mod random;
mod sockets;
mod timezone;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::io::empty;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::StdinStream;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtxBuilder, p2, p3};

use crate::http::bindings::wasi::http as http3;
use crate::http::legacy;
use crate::state::InstanceState;
use crate::stdio::Output;

/// What a guest sees of its surroundings. The default is nothing: no variables, no arguments, closed streams.
#[derive(Clone)]
pub struct Environment {
    /// The guest's arguments; by custom the first is its own name.
    pub arguments: Vec<String>,
    /// The guest's whole environment, in order.
    pub variables: Vec<(String, String)>,
    /// Where it reads from.
    pub stdin: Arc<dyn StdinStream + Sync>,
    /// Where its output goes.
    pub stdout: Output,
    /// Where its messages go.
    pub stderr: Output,
    /// The zone that `wasi:clocks/timezone` tells of.
    pub time_zone: TimeZone,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            variables: Vec::new(),
            stdin: Arc::new(empty()),
            stdout: Output::discarded(),
            stderr: Output::discarded(),
            time_zone: TimeZone::UTC,
        }
    }
}

impl Environment {
    pub(crate) fn describe(&self, wasi: &mut WasiCtxBuilder) {
        wasi.args(&self.arguments).envs(&self.variables);
        wasi.stdin(self.stdin.clone())
            .stdout(self.stdout.open())
            .stderr(self.stderr.open());
    }
}

/// Adds all of WASI 0.2 and 0.3. What it reaches is decided for each instance, when it is admitted.
pub(crate) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    link_v2(linker)?;
    link_v3(linker)
}

fn link_v2(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    legacy::link(linker)?;
    // Wasmtime's own name lookup is among the above, at the same version.
    linker.allow_shadowing(true);
    lookup::link_v2(linker)?;
    sockets::link_v2(linker)?;
    #[cfg(unix)]
    filesystem::link_v2(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Interface by interface: Wasmtime's name lookup must not be among them, or components that import it at Wasmtime's
/// version of the declarations would get it instead of ours.
fn link_v3(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    p3::cli::add_to_linker(linker)?;
    p3::clocks::add_to_linker(linker)?;
    p3::filesystem::add_to_linker(linker)?;
    #[cfg(unix)]
    filesystem::link_v3(linker)?;
    p3::random::add_to_linker(linker)?;
    random::link(linker)?;
    p3::bindings::sockets::types::add_to_linker::<_, WasiSockets>(linker, InstanceState::sockets)?;
    linker.allow_shadowing(true);
    sockets::link_v3(linker)?;
    linker.allow_shadowing(false);
    lookup::link_v3(linker)?;
    timezone::link(linker)?;
    http3::types::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
    http3::client::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
    crate::websocket::client::add_to_linker(linker)
}

/// Bindings of what is ours beside HTTP.
#[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated code")]
mod bindings {
    pub mod v3 {
        wasmtime::component::bindgen!({
            path: "../../wit/wasi-0.3",
            world: "wharf:host/beside-http",
            imports: { default: trappable },
            with: {
                "wasi:clocks/types": wasmtime_wasi::p3::bindings::clocks::types,
                "wasi:clocks/system-clock": wasmtime_wasi::p3::bindings::clocks::system_clock,
                "wasi:sockets/types": wasmtime_wasi::p3::bindings::sockets::types,
            },
        });
    }
    pub mod v2 {
        wasmtime::component::bindgen!({
            path: "../../wit/wasi-0.2",
            world: "wharf:host/beside-http",
            imports: { default: trappable },
            require_store_data_send: true,
            with: {
                "wasi:io": wasmtime_wasi::p2::bindings::io,
                "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
                "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::wasi::lookup::Answers,
            },
        });
    }
}

//! Drives the engine in its own process, without a network.
//!
//! - `wharf-bench-engine count GUESTS CACHE PIECE TIMES` does one thing so many times, for a profiler that counts
//!   instructions (`cargo xtask instructions`); `pieces` lists what there is.
//! - `wharf-bench-engine FIGURE GUESTS CACHE` measures something that no load generator sees, and prints it as JSON
//!   (`cargo xtask bench`); each run is one round.
//!
//! GUESTS is the folder of components, CACHE one for compiled code.

mod ask;
mod calls;
mod cold;
mod crowd;
mod pieces;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use wharf_host::CodeCache;

use pieces::Piece;

/// Where everything is.
struct Folders {
    guests: PathBuf,
    cache: CodeCache,
}

impl Folders {
    fn new(guests: &str, cache: &str) -> Result<Self> {
        Ok(Self {
            guests: guests.into(),
            cache: CodeCache::open(cache)?,
        })
    }

    fn guest(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.guests.join(name).with_extension("wasm");
        std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // One thread: what is measured is its processor time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figure = match args[..] {
        ["pieces"] => {
            pieces::ALL.iter().for_each(|piece| println!("{}", piece.name));
            return Ok(());
        }
        ["count", guests, cache, piece, times] => {
            let folders = Folders::new(guests, cache)?;
            let times = times.parse().context("TIMES is a number")?;
            let ready = Piece::find(piece)?.prepare(&folders)?;
            return runtime.block_on(ready.repeat(times));
        }
        ["calls", guests, cache] => runtime.block_on(calls::measure(&Folders::new(guests, cache)?))?,
        ["cold", guests, cache] => runtime.block_on(cold::first_responses(&Folders::new(guests, cache)?))?,
        ["cold-python", guests, cache] => {
            runtime.block_on(cold::first_responses_of_python(&Folders::new(guests, cache)?))?
        }
        ["apps", guests, cache] => cold::many_apps(&Folders::new(guests, cache)?)?,
        ["crowd", guests, cache] => runtime.block_on(crowd::measure(&Folders::new(guests, cache)?))?,
        _ => {
            bail!(
                "usage: wharf-bench-engine count GUESTS CACHE PIECE TIMES | calls, cold, cold-python, apps or crowd GUESTS CACHE"
            )
        }
    };
    println!("{figure}");
    Ok(())
}

/// Processor time of this thread so far, in microseconds.
fn thread_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// This process's resident memory, in bytes.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).context("statm has fields")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

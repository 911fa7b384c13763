//! Takes memory: `grow` asks for pages until refused and reports how many it got; `touch` writes to each of them;
//! `abort` allocates until the allocator gives up, which traps; `fields` keeps header fields until it gets no more, and
//! says how much; `take` keeps `mib` MiB for `hold` milliseconds and answers;
//! anything else answers after `hold` milliseconds.

use std::arch::wasm32::memory_grow;
use std::hint::black_box;

use guests_http::{Query, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};

const PAGE_BYTES: usize = 64 * 1024;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let answer = match query.text("mode").unwrap_or("none") {
        "grow" => format!("grew by {} pages", grow(false)),
        "touch" => format!("touched {} pages", grow(true)),
        "abort" => abort(),
        "fields" => fields(),
        "take" => {
            let blocks: Vec<Vec<u8>> = (0..query.number("mib").unwrap_or(1)).map(|_| vec![1; MIB]).collect();
            sleep_ms(query.number("hold").unwrap_or(0)).await;
            format!("took {} MiB", black_box(blocks).len())
        }
        _ => {
            sleep_ms(query.number("hold").unwrap_or(0)).await;
            "nothing taken".to_owned()
        }
    };
    Ok(text(answer))
}

fn grow(touch: bool) -> usize {
    let mut pages = 0;
    loop {
        let previous = memory_grow(0, 1);
        if previous == usize::MAX {
            return pages;
        }
        if touch {
            // The page is new and nothing else of the guest knows of it.
            unsafe { std::ptr::write_volatile((previous * PAGE_BYTES) as *mut u8, 1) };
        }
        pages += 1;
    }
}

fn fields() -> String {
    let mut kept = Vec::new();
    loop {
        let one = Fields::new();
        for number in 0..16 {
            if let Err(error) = one.append(&format!("x-{number}"), &[b'a'; 4 * KIB]) {
                return format!("kept {} KiB of fields: {error:?}", black_box(kept).len() * 64);
            }
        }
        kept.push(one);
    }
}

fn abort() -> ! {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; MIB]));
    }
}

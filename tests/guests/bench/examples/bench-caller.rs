//! Calls another component's async function many times.

wit_bindgen::generate!({
    path: "wit",
    world: "caller",
});

use wharf::bench::hop::hop;

struct Caller;

impl exports::wharf::bench::calls::Guest for Caller {
    async fn calls(times: u32) -> u32 {
        let mut sum: u32 = 0;
        for number in 0..times {
            sum = sum.wrapping_add(hop(number).await);
        }
        sum
    }
}

export!(Caller);

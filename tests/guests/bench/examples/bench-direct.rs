//! Calls an async function of its own many times: what `bench-caller` does across a boundary.

wit_bindgen::generate!({
    path: "wit",
    world: "direct",
});

struct Direct;

impl exports::wharf::bench::calls::Guest for Direct {
    async fn calls(times: u32) -> u32 {
        let mut sum: u32 = 0;
        for number in 0..times {
            sum = sum.wrapping_add(hop(number).await);
        }
        sum
    }
}

/// Not inlined, or nothing would be called.
#[inline(never)]
async fn hop(number: u32) -> u32 {
    std::hint::black_box(number) + 1
}

export!(Direct);

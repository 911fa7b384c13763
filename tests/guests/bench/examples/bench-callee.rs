//! The smallest async function, called by another component.

wit_bindgen::generate!({
    path: "wit",
    world: "callee",
});

struct Callee;

impl exports::wharf::bench::hop::Guest for Callee {
    async fn hop(number: u32) -> u32 {
        number + 1
    }
}

export!(Callee);

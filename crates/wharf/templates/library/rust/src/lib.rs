//! The library: what other components call, as `wit/` has it.

mod greeting;

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::wit_bindgen::{self, StreamReader, spawn_local};

use exports::local::{{name_snake}}::greeter::Guest;

wit_bindgen::generate!({
    path: "wit",
    world: "library",
    runtime_path: "wasip3::wit_bindgen::rt",
});

/// What it takes to think of a greeting, in nanoseconds. In place of this, await what the library is for: a file, a request, a database.
const MOMENT: u64 = 10_000_000;

struct Library;

export!(Library);

impl Guest for Library {
    async fn greet(name: String) -> Result<String, String> {
        wait_for(MOMENT).await;
        greeting::greeting(&name).map_err(str::to_owned)
    }

    async fn greet_all(names: Vec<String>) -> StreamReader<String> {
        let (mut greetings, reader) = wit_stream::new();
        // It goes on after this call has returned: nobody reads a stream before he has it.
        spawn_local(async move {
            for name in names {
                wait_for(MOMENT).await;
                let text = greeting::greeting(&name).unwrap_or_else(str::to_owned);
                // The reader has left: no more is wanted.
                if greetings.write_one(text).await.is_some() {
                    break;
                }
            }
        });
        reader
    }
}

//! Asks a store about itself, directly and by way of another component.

use guests_http::{Query, text};
use wasip3::http::types::{ErrorCode, Request, Response};

wit_bindgen::generate!({
    path: "wit",
    world: "caller-of-both",
});

use acme::store::{relayed, store};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let said = match Query::of(&request).text("call") {
        Some("relayed") => relayed::about(0).await,
        Some("chunks") => {
            let mut chunks = relayed::chunks(100).await;
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.next().await {
                bytes.extend(chunk.collect().await);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Some("promise") => {
            let numbers = relayed::promise(1000).await.await.collect().await;
            format!("{} {}", numbers.len(), numbers.iter().sum::<u32>())
        }
        _ => store::about(0).await,
    };
    Ok(text(said))
}

//! Loads a component and calls it: `embed FILE.wasm`, where the component exports `add: func(a: u32, b: u32) -> u32`.

use std::path::Path;
use std::sync::Arc;

use wharf_host::{Component, Engine, EngineOptions, Environment, Instance, Limits};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1).ok_or("usage: embed FILE.wasm")?;
    let sum = add(Path::new(&file), 2, 3).await?;
    #[expect(clippy::print_stdout, reason = "an example shows what it did")]
    {
        println!("2 + 3 = {sum}");
    }
    Ok(())
}

/// No capabilities, no environment: the plugin can compute, and reach nothing.
pub(crate) async fn add(plugin: &Path, a: u32, b: u32) -> Result<u32> {
    let engine = Engine::new(EngineOptions::default())?;
    let component = Component::from_file(&engine, plugin, None)?;
    let mut plugin = Instance::new(&component, Arc::new([]), Environment::default(), Limits::default()).await?;
    let (sum,): (u32,) = plugin.call("add", (a, b)).await?;
    Ok(sum)
}

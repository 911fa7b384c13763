//! The engine as a library: the example of `wharf-host`, called as a program would call it.

#[path = "../../crates/wharf-host/examples/embed.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod example;

use wharf_tests::Scratch;

#[tokio::test]
async fn a_plugin_is_loaded_and_called() {
    let text = r#"(component
        (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
        (core instance $i (instantiate $m))
        (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;
    let scratch = Scratch::new();
    let plugin = scratch.write("plugin.wasm", wat::parse_str(text).unwrap());
    assert_eq!(example::add(&plugin, 2, 40).await.unwrap(), 42);
    let broken = scratch.write("broken.wasm", "no component");
    assert!(example::add(&broken, 2, 40).await.is_err());
}

//! Wharf's interface for WebSockets (`wit/websocket/websocket.wit`), on the types of the crate wasip3.

wit_bindgen::generate!({
    inline: "
        package example:chat;

        world chat {
            export wharf:websocket/handler@0.1.0;
        }
    ",
    path: ["../../wit/wasi-0.3", "../../wit/websocket"],
    world: "example:chat/chat",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
    },
    pub_export_macro: true,
    generate_all,
});

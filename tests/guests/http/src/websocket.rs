//! The interface `wharf:websocket`, and what the guests that take WebSockets share.

use wasip3::http::types::{Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter};

wasip3::wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "../../../wit/websocket"],
    inline: "
        package guests:websocket;
        world service {
            import wharf:websocket/client@0.1.0;
            export wharf:websocket/handler@0.1.0;
        }
    ",
    world: "guests:websocket/service",
    runtime_path: "wasip3::wit_bindgen::rt",
    pub_export_macro: true,
    export_macro_name: "export_websocket",
    default_bindings_module: "guests_http::websocket",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
        "wharf:websocket/client@0.1.0": generate,
        "wharf:websocket/handler@0.1.0": generate,
        "wharf:websocket/types@0.1.0": generate,
    },
});

pub use exports::wharf::websocket::handler::{Accepted, Guest};
pub use wharf::websocket::client;
pub use wharf::websocket::types::{CloseInfo, Message};

/// What a handshake is answered with.
pub type Decision = Result<Accepted, Response>;

/// What a handler is called with.
pub struct Handshake {
    pub request: Request,
    pub incoming: StreamReader<Message>,
    pub closed: FutureReader<CloseInfo>,
}

/// The guest's end of a connection that it has accepted.
pub struct Connection {
    pub outgoing: StreamWriter<Message>,
    pub close: FutureWriter<CloseInfo>,
}

impl Connection {
    /// Sends one message; false if nobody takes it any more.
    pub async fn send(&mut self, message: Message) -> bool {
        self.outgoing.write_one(message).await.is_none()
    }

    /// Ends it with a code.
    pub async fn close(self, code: u16, reason: &str) {
        drop(self.outgoing);
        let info = CloseInfo {
            code,
            reason: reason.to_owned(),
        };
        let _ = self.close.write(info).await;
    }
}

/// The ordinary end.
pub fn normal() -> CloseInfo {
    CloseInfo {
        code: 1000,
        reason: String::new(),
    }
}

/// Opens a connection.
pub async fn connect(
    url: &str,
    headers: Fields,
    subprotocols: Vec<String>,
) -> Result<(client::Connection, Connection), client::Error> {
    let (outgoing, outgoing_reader) = wit_stream::new();
    let (close, close_reader) = wit_future::new(normal);
    let url = url.to_owned();
    let opened = client::connect(url, headers, subprotocols, outgoing_reader, close_reader).await?;
    Ok((opened, Connection { outgoing, close }))
}

/// Takes a connection, with a subprotocol and further fields.
pub fn accept(subprotocol: Option<String>, headers: Fields) -> (Accepted, Connection) {
    let (outgoing, outgoing_reader) = wit_stream::new();
    let (close, close_reader) = wit_future::new(normal);
    let accepted = Accepted {
        subprotocol,
        headers,
        outgoing: outgoing_reader,
        close: close_reader,
    };
    (accepted, Connection { outgoing, close })
}

/// Exports functions as `wasi:http/handler.handle` and `wharf:websocket/handler.handle`.
#[macro_export]
macro_rules! websocket_service {
    ($handle:ident, $take:ident) => {
        $crate::service!($handle);
        $crate::websocket_service!($take);
    };
    // Without requests.
    ($take:ident) => {
        struct WebSockets;
        $crate::websocket::export_websocket!(WebSockets with_types_in $crate::websocket);
        impl $crate::websocket::Guest for WebSockets {
            async fn handle(
                request: wasip3::http::types::Request,
                incoming: wasip3::wit_bindgen::StreamReader<$crate::websocket::Message>,
                closed: wasip3::wit_bindgen::FutureReader<$crate::websocket::CloseInfo>,
            ) -> $crate::websocket::Decision {
                $take($crate::websocket::Handshake {
                    request,
                    incoming,
                    closed,
                })
                .await
            }
        }
    };
}

//! Opens a WebSocket to `url=URL`, offering `subprotocol=NAME` and sending the field `field=NAME:VALUE`; sends `text=TEXT`, or
//! `bytes=N` bytes, and answers with the subprotocol and the first message that comes. Then closes with `code=N`, unless `wait` is
//! there, and says how the connection was closed. What is wrong is `error: ...`, with status 502.

use guests_http::websocket::client::Connection;
use guests_http::websocket::{Message, connect};
use guests_http::{Query, fields, text, text_with_status};
use wasip3::http::types::{ErrorCode, Request, Response};

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let headers: Vec<_> = query
        .text("field")
        .and_then(|field| field.split_once(':'))
        .into_iter()
        .collect();
    let offered = query.text("subprotocol").map(str::to_owned).into_iter().collect();
    let url = query.text("url").unwrap_or_default();
    let (mut opened, mut connection) = match connect(url, fields(&headers), offered).await {
        Ok(opened) => opened,
        Err(error) => return Ok(text_with_status(502, format!("error: {error:?}"))),
    };
    let message = match query.number("bytes") {
        Some(bytes) => Message::Binary(vec![7; bytes as usize]),
        None => Message::Text(query.text("text").unwrap_or_default().to_owned()),
    };
    connection.send(message).await;
    let first = match opened.incoming.next().await {
        Some(Message::Text(text)) => text,
        Some(Message::Binary(bytes)) => format!("{} bytes", bytes.len()),
        // Past its end a stream may not be read.
        None => return Ok(text(closed(opened, "nothing".to_owned()).await)),
    };
    if !query.has("wait") {
        connection
            .close(query.number("code").unwrap_or(1000) as u16, "from the guest")
            .await;
    }
    while opened.incoming.next().await.is_some() {}
    Ok(text(closed(opened, first).await))
}

async fn closed(opened: Connection, first: String) -> String {
    let closed = opened.closed.await;
    let subprotocol = opened.subprotocol.unwrap_or_default();
    format!("{subprotocol} {first} {} {}", closed.code, closed.reason)
}

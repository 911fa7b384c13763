//! Takes WebSockets, as the path says: `/echo` sends back what comes; `/seen` sends what the handshake looked like; `/slow` reads
//! a message each `pause=MS`; `/flood` sends `count=N` messages of `bytes=N` without reading; `/close` closes with `code=N` after
//! the first message; `/trap` traps at the first message, `/trap-now` before it decides, `/loop` computes forever; `/busy` computes for `ms=N` at each message;
//! `/linger` prints how the connection was closed, and goes on for `ms=N`; `/refuse` answers with `status=N`; `/late` decides
//! after `ms=N`; `/state` counts the messages that this instance has seen; `/farewell` says goodbye once nothing more comes, and closes with
//! `code=N`; `/deaf` reads nothing; `/drop` drops everything at once.
//! Everything else is 404. `subprotocol=NAME` chooses one, `field=NAME:VALUE` adds a field to the answer.

use std::cell::Cell;
use std::pin::Pin;

use guests_http::websocket::{CloseInfo, Connection, Decision, Handshake, Message, accept};
use guests_http::{Query, describe, fields, sleep_ms, text, text_with_status};
use wasip3::clocks::monotonic_clock::now;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader, spawn_local};

guests_http::websocket_service!(handle, take);

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

async fn handle(_: Request) -> Result<Response, ErrorCode> {
    Ok(text("a plain request"))
}

async fn take(handshake: Handshake) -> Decision {
    let Handshake {
        request,
        incoming,
        closed,
    } = handshake;
    let query = Query::of(&request);
    let path = request.get_path_with_query().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    if path == "/refuse" {
        return Err(text_with_status(
            query.number("status").unwrap_or(403) as u16,
            "refused",
        ));
    }
    if path == "/late" {
        sleep_ms(query.number("ms").unwrap_or(1000)).await;
    }
    let subprotocol = query.text("subprotocol").map(str::to_owned);
    let extra: Vec<_> = query
        .text("field")
        .and_then(|field| field.split_once(':'))
        .into_iter()
        .collect();
    let (accepted, connection) = accept(subprotocol, fields(&extra));
    let work = Work {
        incoming,
        closed,
        connection,
        query,
    };
    let pause = work.query.number("pause").unwrap_or(100);
    let work: Pin<Box<dyn Future<Output = ()>>> = match path.as_str() {
        "/echo" | "/late" => Box::pin(work.echo(0)),
        "/slow" => Box::pin(work.echo(pause)),
        "/seen" => Box::pin(work.seen(describe_request(&request))),
        "/flood" => Box::pin(work.flood()),
        "/close" => Box::pin(work.close()),
        "/trap" => Box::pin(work.trap()),
        "/trap-now" => std::arch::wasm32::unreachable(),
        "/loop" => Box::pin(work.compute_forever()),
        "/busy" => Box::pin(work.busy()),
        "/linger" => Box::pin(work.linger()),
        "/state" => Box::pin(work.state()),
        "/farewell" => Box::pin(work.farewell()),
        "/deaf" => Box::pin(work.deaf()),
        "/drop" => Box::pin(async { drop(work) }),
        _ => return Err(text_with_status(404, "no such behaviour")),
    };
    spawn_local(work);
    Ok(accepted)
}

fn describe_request(request: &Request) -> String {
    format!(
        "{:?} {:?} {} {}\n{}",
        request.get_method(),
        request.get_scheme(),
        request.get_authority().unwrap_or_default(),
        request.get_path_with_query().unwrap_or_default(),
        describe(&request.get_headers())
    )
}

struct Work {
    incoming: StreamReader<Message>,
    closed: FutureReader<CloseInfo>,
    connection: Connection,
    query: Query,
}

impl Work {
    async fn echo(mut self, pause: u64) {
        while let Some(message) = self.incoming.next().await {
            if pause > 0 {
                sleep_ms(pause).await;
            }
            if !self.connection.send(message).await {
                break;
            }
        }
    }

    async fn seen(mut self, seen: String) {
        self.connection.send(Message::Text(seen)).await;
        self.incoming.next().await;
    }

    async fn flood(mut self) {
        let (count, bytes) = (
            self.query.number("count").unwrap_or(1000),
            self.query.number("bytes").unwrap_or(1024) as usize,
        );
        for nth in 0..count {
            if !self.connection.send(Message::Binary(vec![nth as u8; bytes])).await {
                println!("flood: stopped after {nth}");
                return;
            }
        }
        println!("flood: sent all");
    }

    async fn close(mut self) {
        self.incoming.next().await;
        let code = self.query.number("code").unwrap_or(1000) as u16;
        let reason = self.query.text("reason").unwrap_or_default().to_owned();
        self.connection.close(code, &reason).await;
        while self.incoming.next().await.is_some() {}
        let closed = self.closed.await;
        println!("closed: {} {}", closed.code, closed.reason);
    }

    async fn trap(mut self) {
        self.incoming.next().await;
        std::arch::wasm32::unreachable();
    }

    async fn compute_forever(mut self) {
        self.incoming.next().await;
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(number + 1);
        }
    }

    async fn busy(mut self) {
        let ms = self.query.number("ms").unwrap_or(1);
        while let Some(message) = self.incoming.next().await {
            let until = now() + ms * 1_000_000;
            while now() < until {}
            self.connection.send(message).await;
        }
    }

    async fn linger(mut self) {
        while self.incoming.next().await.is_some() {}
        let closed = self.closed.await;
        println!("closed: {} {}", closed.code, closed.reason);
        sleep_ms(self.query.number("ms").unwrap_or(0)).await;
        println!("lingered");
    }

    async fn state(mut self) {
        while self.incoming.next().await.is_some() {
            let seen = SEEN.get() + 1;
            SEEN.set(seen);
            self.connection.send(Message::Text(seen.to_string())).await;
        }
    }

    async fn farewell(mut self) {
        while self.incoming.next().await.is_some() {}
        let closed = self.closed.await;
        let farewell = Message::Text(format!("goodbye: {}", closed.code));
        self.connection.send(farewell).await;
        let code = self.query.number("code").unwrap_or(1000) as u16;
        self.connection.close(code, "").await;
    }

    /// Reads nothing, and hears of nothing but the end.
    async fn deaf(self) {
        let closed = self.closed.await;
        println!("closed: {} {}", closed.code, closed.reason);
        drop((self.incoming, self.connection));
    }
}

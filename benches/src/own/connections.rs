//! A connection for each request, with TLS or without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Asks, gather, microseconds};
use crate::certificate::{self, NAME};
use crate::client::Outcome;
use crate::get::connect;
use crate::workloads::Session;

/// Nobody takes long for a request.
const DEADLINE: Duration = Duration::from_secs(60);

/// So many clients, each with one connection at a time, and with tickets of its own.
pub async fn run(asks: &Asks, session: Session) -> Result<Outcome> {
    let mut visitors = Vec::new();
    for _ in 0..asks.connections {
        let visitor = Visitor::new(asks, session)?;
        // After which it has a ticket, if it is to have one.
        visitor.visit(None).await?;
        visitors.push(visitor);
    }
    let begin = Instant::now();
    let end = begin + asks.duration;
    let mut tasks = JoinSet::new();
    for visitor in visitors {
        tasks.spawn_local(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let begin = Instant::now();
                timeout(DEADLINE, visitor.visit(visitor.expected)).await??;
                times.push(microseconds(begin.elapsed()));
            }
            Ok(times)
        });
    }
    gather(tasks, begin, asks.duration).await
}

struct Visitor {
    addr: std::net::SocketAddr,
    request: String,
    connector: Option<TlsConnector>,
    expected: Option<HandshakeKind>,
}

impl Visitor {
    fn new(asks: &Asks, session: Session) -> Result<Self> {
        let connector = |resumption| {
            let mut config = certificate::client(&asks.certificate)?;
            config.resumption = resumption;
            Ok::<_, anyhow::Error>(TlsConnector::from(Arc::new(config)))
        };
        let (connector, expected) = match session {
            Session::Plain => (None, None),
            Session::New => (Some(connector(Resumption::disabled())?), Some(HandshakeKind::Full)),
            Session::Resumed => (
                Some(connector(Resumption::in_memory_sessions(1))?),
                Some(HandshakeKind::Resumed),
            ),
        };
        Ok(Self {
            addr: asks.addr,
            request: format!(
                "GET {} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n",
                asks.path
            ),
            connector,
            expected,
        })
    }

    /// A connection, a request, and the end of the connection.
    async fn visit(&self, expected: Option<HandshakeKind>) -> Result<()> {
        let stream = connect(self.addr).await?;
        let Some(connector) = &self.connector else {
            return self.ask(stream).await;
        };
        let stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
        let kind = stream.get_ref().1.handshake_kind();
        ensure!(
            expected.is_none() || kind == expected,
            "the handshake was {kind:?}, not {expected:?}"
        );
        self.ask(stream).await
    }

    async fn ask(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        stream.write_all(self.request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        // Until the server has closed the connection, as TLS would have it: what came before is whole.
        let read = stream.read_to_end(&mut answer).await;
        read.context("the connection did not end as it should")?;
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "the answer is not 200");
        Ok(())
    }
}

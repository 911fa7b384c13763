//! What can be done many times over: one request to one service, without a network or through a whole server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharf_host::{Component, Engine, EngineOptions, Isolation, Service, ServiceOptions};
use wharf_server::{Address, App, Listen, ListenOn, Server, ServerOptions};

use crate::Folders;
use crate::ask::ask;

/// One thing that the engine does.
pub struct Piece {
    pub name: &'static str,
    guest: &'static str,
    isolation: Isolation,
    path: &'static str,
    /// Bytes of the request's content.
    content: usize,
    /// Bytes of the response's.
    answer: usize,
    way: Way,
}

/// How a request gets to its service.
#[derive(Clone, Copy)]
enum Way {
    /// As the server hands it over.
    Direct,
    /// By HTTP/1.1, on one connection to a server in this process with all its limits, as they are by default. What counts is the
    /// server and the client of a few lines beside it, without the kernel.
    Server,
}

const HELLO: Piece = Piece {
    name: "",
    guest: "http-hello",
    isolation: Isolation::Serial,
    path: "/",
    content: 0,
    answer: 12,
    way: Way::Direct,
};

/// All pieces.
pub const ALL: &[Piece] = &[
    Piece {
        name: "hello-serial",
        ..HELLO
    },
    Piece {
        name: "hello-request",
        isolation: Isolation::Request,
        ..HELLO
    },
    Piece {
        name: "hello-shared",
        isolation: Isolation::Shared,
        ..HELLO
    },
    Piece {
        name: "hello02-serial",
        guest: "http02-hello",
        ..HELLO
    },
    Piece {
        name: "hello02-request",
        guest: "http02-hello",
        isolation: Isolation::Request,
        ..HELLO
    },
    Piece {
        name: "echo-1k",
        guest: "bench",
        path: "/echo",
        content: 1024,
        answer: 1024,
        ..HELLO
    },
    Piece {
        name: "chunks-100",
        guest: "bench",
        path: "/chunks/100",
        answer: 800,
        ..HELLO
    },
    Piece {
        name: "download-1m",
        guest: "bench",
        path: "/download/1048576",
        answer: 1 << 20,
        ..HELLO
    },
    Piece {
        name: "server-hello",
        way: Way::Server,
        ..HELLO
    },
];

/// Few slots: the profilers have little address space.
const INSTANCES_MAX: u32 = 4;

impl Piece {
    /// # Errors
    /// When there is none of that name.
    pub fn find(name: &str) -> Result<&'static Self> {
        let found = ALL.iter().find(|piece| piece.name == name);
        found.with_context(|| format!("there is no piece {name}"))
    }

    /// Compiles and links what answers.
    pub fn prepare(&'static self, folders: &Folders) -> Result<Ready> {
        let engine = Engine::new(EngineOptions {
            instances_max: INSTANCES_MAX,
            ..EngineOptions::default()
        })?;
        ensure!(
            engine.is_pooled(),
            "too little address space for the pool that is to be measured"
        );
        let bytes = folders.guest(self.guest)?;
        let component = Component::new(&engine, self.guest, &bytes, Some(&folders.cache))?;
        let options = ServiceOptions {
            isolation: Some(self.isolation),
            ..ServiceOptions::default()
        };
        Ok(Ready {
            piece: self,
            service: Service::new(&component, Arc::new([]), options)?,
        })
    }
}

/// A piece to be done.
pub struct Ready {
    piece: &'static Piece,
    service: Service,
}

impl Ready {
    /// Does it so many times, one after another.
    ///
    /// # Errors
    /// When an answer is not what it has to be.
    pub async fn repeat(&self, times: u32) -> Result<()> {
        let mut asks = match self.piece.way {
            Way::Direct => None,
            Way::Server => Some(self.connect().await?),
        };
        for _ in 0..times {
            match &mut asks {
                Some(connection) => self.once_by(connection).await?,
                None => self.once().await?,
            }
        }
        Ok(())
    }

    /// Starts a server with nothing but this service, and connects to it.
    async fn connect(&self) -> Result<TcpStream> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = ServerOptions {
            listen: vec![Listen::plain(ListenOn::Tcp(any))],
            ..ServerOptions::default()
        };
        let server = Server::bind(options, vec![App::of_service(self.service.clone())])?;
        let Some(Address::Tcp(addr)) = server.listening().into_iter().map(|listening| listening.address).next() else {
            bail!("it listens nowhere");
        };
        tokio::spawn(server.run(std::future::pending()));
        Ok(TcpStream::connect(addr).await?)
    }

    async fn once_by(&self, connection: &mut TcpStream) -> Result<()> {
        let head = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", self.piece.path);
        connection.write_all(head.as_bytes()).await?;
        let mut response = Vec::with_capacity(1024);
        while body(&response).is_none_or(|body| body.len() < self.piece.answer) {
            ensure!(
                connection.read_buf(&mut response).await? > 0,
                "the server has closed the connection"
            );
        }
        ensure!(
            response.starts_with(b"HTTP/1.1 200 ")
                && body(&response).is_some_and(|body| body.len() == self.piece.answer),
            "{}",
            response.escape_ascii()
        );
        Ok(())
    }

    async fn once(&self) -> Result<()> {
        let content = Bytes::from(vec![b'w'; self.piece.content]);
        let bytes = ask(&self.service, self.piece.path, content).await?;
        ensure!(
            bytes == self.piece.answer,
            "{bytes} bytes came, and not {}",
            self.piece.answer
        );
        Ok(())
    }
}

/// What comes after a response's head, once that is there.
fn body(response: &[u8]) -> Option<&[u8]> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(&response[end + 4..])
}

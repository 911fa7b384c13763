//! What can be done many times over: one request to one service, without a network.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use wharf_host::{Component, Engine, EngineOptions, Isolation, Service, ServiceOptions};

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
}

const HELLO: Piece = Piece {
    name: "",
    guest: "http-hello",
    isolation: Isolation::Serial,
    path: "/",
    content: 0,
    answer: 12,
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
        for _ in 0..times {
            self.once().await?;
        }
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

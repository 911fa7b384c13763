//! The ceiling of what asks databases and stores: the guests' work without WebAssembly, by the same drivers as Wharf's, on the
//! same hyper and tokio. `native-data ADDRESS [--sqlite FILE | --postgres CONFIG] [--redis URL]`.
//!
//! `/sql/notes/ID` and `/sql/notes` are those of the example `own-driver`; `/fill`, `/cache/COUNT` and `/keyvalue/COUNT` those of the
//! guest `bench-store`.

mod postgres;
mod sqlite;
mod stores;

use std::convert::Infallible;
use std::pin::pin;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use postgres::Postgres;
use sqlite::Sqlite;
use stores::Stores;

/// As many as an app of Wharf's has by default.
const CONNECTIONS: usize = 10;

/// Lines are gathered up to about so much before they are sent.
const PIECE_BYTES: usize = 8 << 10;

/// What an answer consists of; one that fails in its middle is broken off.
type Content = UnsyncBoxBody<Bytes, anyhow::Error>;

/// What is behind the paths.
struct Behind {
    notes: Option<Notes>,
    stores: Stores,
}

enum Notes {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().context("usage: native-data ADDRESS [FLAGS]")?;
    let (mut notes, mut redis) = (None, None);
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--sqlite" => notes = Some(Notes::Sqlite(Sqlite::open(value.as_ref())?)),
            "--postgres" => notes = Some(Notes::Postgres(Postgres::open(&value).await?)),
            "--redis" => redis = Some(value),
            _ => bail!("there is no flag {flag}"),
        }
    }
    let stores = Stores::open(redis.as_deref()).await?;
    // For as long as the program runs; counting its users would be at the expense of every request.
    let behind: &'static Behind = Box::leak(Box::new(Behind { notes, stores }));
    let listener = TcpListener::bind(&addr).await?;
    eprintln!("native-data: serving at http://{}", listener.local_addr()?);
    // Ended like this, a program that was built to count what it does writes it.
    let mut end = pin!(tokio::signal::ctrl_c());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            ended = &mut end => return Ok(ended?),
        };
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            let service = service_fn(|request| answer(request, behind));
            // A client that leaves is no failure.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, behind: &'static Behind) -> Result<Response<Content>, Infallible> {
    let (status, content) = match respond(request.uri().path(), behind).await {
        Ok(Some(content)) => (StatusCode::OK, content),
        Ok(None) => (StatusCode::NOT_FOUND, full("there is no such thing\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, full(format!("{error:#}\n"))),
    };
    let mut response = Response::new(content);
    *response.status_mut() = status;
    Ok(response)
}

async fn respond(path: &str, behind: &'static Behind) -> Result<Option<Content>> {
    let (name, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let notes = || behind.notes.as_ref().context("there is no database");
    let count = || argument.parse().unwrap_or(1);
    match (name, argument.strip_prefix("notes")) {
        ("sql", Some("")) => Ok(Some(notes()?.list().await?)),
        ("sql", Some(id)) => {
            let id = id.trim_start_matches('/').parse()?;
            Ok(notes()?.note(id).await?.map(|text| full(text + "\n")))
        }
        ("fill", _) => behind.stores.fill().await.map(|()| Some(done())),
        ("cache", _) => behind.stores.cache(count()).await.map(|()| Some(done())),
        ("keyvalue", _) => behind.stores.keyvalue(count()).await.map(|()| Some(done())),
        _ => Ok(None),
    }
}

impl Notes {
    async fn note(&'static self, id: i64) -> Result<Option<String>> {
        match self {
            Self::Sqlite(notes) => notes.note(id).await,
            Self::Postgres(notes) => notes.note(id).await,
        }
    }

    async fn list(&'static self) -> Result<Content> {
        match self {
            Self::Sqlite(notes) => notes.list().await,
            Self::Postgres(notes) => notes.list().await,
        }
    }
}

fn done() -> Content {
    full("hello, wharf")
}

fn full(text: impl Into<Bytes>) -> Content {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

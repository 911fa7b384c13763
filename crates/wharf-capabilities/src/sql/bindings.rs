//! `wharf:sql/database`, as guests call it. Written by hand: the values of `wharf:sql/types` are our own, and generated
//! bindings would copy each of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureProducer, FutureReader, Linker, LinkerInstance, Resource, ResourceType,
    StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wharf_host::InstanceState;
use wharf_host::capability::ServedClient;

use super::Databases;
use super::consume::lists;
use super::database::Database;
use super::engine::TransactionOptions;
use super::error::Error;
use super::flow::{Answer, Reader};
use super::transaction::Transaction;
use super::value::{Column, Row, Value};

/// What an instance may open.
pub(super) struct Granted(pub Arc<Databases>);

/// The resource `database`.
struct Opened(Arc<Database>);

type Rows = (Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>);
type Outcome<T> = wasmtime::Result<Result<T, Error>>;
type Store = Accessor<InstanceState>;

/// Adds the interface to what components may import.
pub(super) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    // Of types alone.
    linker.instance("wharf:sql/types@0.1.0")?;
    let mut interface = linker.instance("wharf:sql/database@0.1.0")?;
    interface.resource("database", ResourceType::host::<Opened>(), |mut store, id| {
        store.data_mut().table().delete(Resource::<Opened>::new_own(id))?;
        Ok(())
    })?;
    interface.resource("transaction", ResourceType::host::<Transaction>(), |mut store, id| {
        store.data_mut().table().delete(Resource::<Transaction>::new_own(id))?;
        Ok(())
    })?;
    add_database(&mut interface)?;
    add_transaction(&mut interface)
}

fn add_database(interface: &mut LinkerInstance<'_, InstanceState>) -> wasmtime::Result<()> {
    interface.func_wrap("[static]database.open", |mut store, (name,): (String,)| {
        Ok((open(store.data_mut(), &name)?,))
    })?;
    interface.func_wrap_concurrent("[method]database.query", |store, (this, sql, params): OfDatabase| {
        Box::pin(async move {
            let client = ServedClient::of(store)?;
            let answer = wanted_by(client, database(store, &this)?.query(&sql, params));
            Ok((rows(store, answer).await?,))
        })
    })?;
    interface.func_wrap_concurrent("[method]database.execute", |store, (this, sql, params): OfDatabase| {
        Box::pin(async move {
            let client = ServedClient::of(store)?;
            let answer = wanted_by(client, database(store, &this)?.execute(&sql, params));
            Ok((changed(answer).await,))
        })
    })?;
    type Many = (Resource<Opened>, String, StreamReader<Vec<Value>>);
    interface.func_wrap_concurrent("[method]database.execute-many", |store, (this, sql, params): Many| {
        Box::pin(async move {
            let database = database(store, &this)?;
            let lists = lists(store, params, database.clone())?;
            let client = ServedClient::of(store)?;
            let answer = wanted_by(client, database.execute_many(&sql, lists));
            Ok((changed(answer).await,))
        })
    })?;
    type Begin = (Resource<Opened>, Option<TransactionOptions>);
    interface.func_wrap_concurrent("[method]database.begin", |store, (this, options): Begin| {
        Box::pin(async move {
            let client = ServedClient::of(store)?;
            let begun = database(store, &this)?.begin(options.unwrap_or_default(), client).await;
            Ok((match begun {
                Ok(transaction) => Ok(store.with(|mut store| store.get().table().push(transaction))?),
                Err(error) => Err(error),
            },))
        })
    })
}

type OfDatabase = (Resource<Opened>, String, Vec<Value>);
type OfTransaction = (Resource<Transaction>, String, Vec<Value>);

fn add_transaction(interface: &mut LinkerInstance<'_, InstanceState>) -> wasmtime::Result<()> {
    interface.func_wrap_concurrent(
        "[method]transaction.query",
        |store, (this, sql, params): OfTransaction| {
            Box::pin(async move {
                let client = ServedClient::of(store)?;
                let sent = transaction(store, &this)?.query(sql, params).await;
                Ok((match sent {
                    Ok(answer) => rows(store, wanted_by(client, answer)).await?,
                    Err(error) => Err(error),
                },))
            })
        },
    )?;
    interface.func_wrap_concurrent(
        "[method]transaction.execute",
        |store, (this, sql, params): OfTransaction| {
            Box::pin(async move {
                let client = ServedClient::of(store)?;
                let sent = transaction(store, &this)?.execute(sql, params).await;
                Ok((match sent {
                    Ok(answer) => changed(wanted_by(client, answer)).await,
                    Err(error) => Err(error),
                },))
            })
        },
    )?;
    type Many = (Resource<Transaction>, String, StreamReader<Vec<Value>>);
    interface.func_wrap_concurrent(
        "[method]transaction.execute-many",
        |store, (this, sql, params): Many| {
            Box::pin(async move {
                let transaction = transaction(store, &this)?;
                let lists = lists(store, params, transaction.database.clone())?;
                let client = ServedClient::of(store)?;
                let sent = transaction.execute_many(sql, lists).await;
                Ok((match sent {
                    Ok(answer) => changed(wanted_by(client, answer)).await,
                    Err(error) => Err(error),
                },))
            })
        },
    )?;
    interface.func_wrap_concurrent(
        "[static]transaction.commit",
        |store, (this,): (Resource<Transaction>,)| Box::pin(async move { Ok((taken(store, this)?.commit().await,)) }),
    )?;
    interface.func_wrap_concurrent(
        "[static]transaction.rollback",
        |store, (this,): (Resource<Transaction>,)| Box::pin(async move { Ok((taken(store, this)?.rollback().await,)) }),
    )
}

fn open(state: &mut InstanceState, name: &str) -> Outcome<Resource<Opened>> {
    let databases = state.extension::<Granted>().map(|granted| granted.0.clone());
    let named = databases.and_then(|databases| {
        let only = (name == "default" && databases.len() == 1).then(|| databases.values().next());
        databases.get(name).or(only.flatten()).cloned()
    });
    Ok(match named {
        Some(database) => Ok(state.table().push(Opened(database))?),
        None => Err(Error::NoSuchDatabase),
    })
}

fn database(store: &Store, this: &Resource<Opened>) -> wasmtime::Result<Arc<Database>> {
    store.with(|mut store| Ok(store.get().table().get(this)?.0.clone()))
}

fn transaction(store: &Store, this: &Resource<Transaction>) -> wasmtime::Result<Transaction> {
    store.with(|mut store| Ok(store.get().table().get(this)?.clone()))
}

fn taken(store: &Store, this: Resource<Transaction>) -> wasmtime::Result<Transaction> {
    store.with(|mut store| Ok(store.get().table().delete(this)?))
}

/// In an instance that several share nothing is dropped when a client leaves: the answer is unwanted all the same.
fn wanted_by(client: Option<ServedClient>, answer: Answer) -> Answer {
    if let Some(client) = client {
        answer.until(async move { client.left().await });
    }
    answer
}

/// The answer to a call whose rows are wanted, as soon as it is known that there is one.
async fn rows(store: &Store, answer: Answer) -> Outcome<Rows> {
    let Answer {
        columns,
        rows,
        end,
        here,
        ..
    } = answer;
    let Ok(columns) = columns.await else {
        let ended = end.await.unwrap_or_else(|_| Err(broken_off()));
        return Ok(Err(ended.err().unwrap_or_else(broken_off)));
    };
    store.with(|mut store| {
        let rows = StreamReader::new(&mut store, Produced { rows, _here: here })?;
        let end = FutureReader::new(&mut store, End(end))?;
        Ok(Ok((columns, rows, end)))
    })
}

/// The answer to a call of which only the end is wanted.
async fn changed(answer: Answer) -> Result<u64, Error> {
    let Answer { end, here, .. } = answer;
    let changed = end.await.unwrap_or_else(|_| Err(broken_off()));
    drop(here);
    changed
}

/// The task of a call has ended without a word: it panicked, or the runtime stops.
fn broken_off() -> Error {
    Error::Other("the call was broken off".to_owned())
}

/// Writes rows into a guest. Dropped when the guest wants no more, or is gone.
struct Produced {
    rows: Reader,
    _here: DropGuard,
}

impl<D: 'static> StreamProducer<D> for Produced {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = destination.remaining(store).unwrap_or(usize::MAX);
        match self.rows.poll_take(cx, wanted) {
            Poll::Ready(Some(batch)) => {
                destination.set_buffer(batch.into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Tells a guest whether its rows were all there are.
struct End(oneshot::Receiver<Result<u64, Error>>);

impl<D> FutureProducer<D> for End {
    type Item = Result<(), Error>;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Self::Item>>> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(ended) => {
                let ended = ended.unwrap_or_else(|_| Err(broken_off()));
                Poll::Ready(Ok(Some(ended.map(drop))))
            }
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

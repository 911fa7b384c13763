//! `read-directory`, a batch of entries at a time.
//!
//! Each batch is one short visit to a thread that may block. Wasmtime's own keeps its thread for as long as the guest
//! holds the stream, and some hundred streams that nobody reads would take every such thread of the server.

use std::fs::File;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamResult, VecBuffer};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::other;
use crate::descriptors::Descriptor as Counted;
use crate::state::InstanceState;

/// About what one call to the kernel gives.
const BATCH_ENTRIES_MAX: usize = 256;

type Outcome = Result<(), ErrorCode>;

type Answer = (StreamReader<DirectoryEntry>, FutureReader<Outcome>);

/// The entries of a directory, without those for itself and its parent, and how reading them ended.
pub(super) fn read(
    mut store: StoreContextMut<'_, InstanceState>,
    (directory,): (Resource<Descriptor>,),
) -> wasmtime::Result<(Answer,)> {
    let (ended, end) = oneshot::channel();
    let entries = match store.data_mut().table.get(&directory)? {
        Descriptor::Dir(directory) => {
            let directory = directory.dir.clone();
            match store.data_mut().descriptors.app.take() {
                Ok(counted) => {
                    let batch = tokio::task::spawn_blocking(move || match open(&directory) {
                        Ok(entries) => Listing {
                            directory,
                            entries,
                            _counted: counted,
                        }
                        .next(),
                        Err(error) => Batch::failed(error),
                    });
                    let ended = Some(ended);
                    StreamReader::new(&mut store, Entries { batch, ended })?
                }
                Err(shortage) => none(&mut store, ended, other(shortage))?,
            }
        }
        Descriptor::File(_) => none(&mut store, ended, ErrorCode::NotDirectory)?,
    };
    // Nothing was sent when the guest dropped the stream early, which is no error.
    let end = FutureReader::new(
        &mut store,
        async move { wasmtime::error::Ok(end.await.unwrap_or(Ok(()))) },
    )?;
    Ok(((entries, end),))
}

/// The entries of what cannot be read.
fn none(
    store: &mut StoreContextMut<'_, InstanceState>,
    ended: oneshot::Sender<Outcome>,
    code: ErrorCode,
) -> wasmtime::Result<StreamReader<DirectoryEntry>> {
    // Its receiver is there as long as the guest has not even been told of it.
    let _ = ended.send(Err(code));
    StreamReader::new(store, std::iter::empty())
}

/// A handle of its own, for its own position, and because that of a preopened directory cannot be read.
fn open(directory: &File) -> rustix::io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Dir::new(openat(directory, c".", flags, Mode::empty())?)
}

/// A directory that is read.
struct Listing {
    directory: std::sync::Arc<File>,
    entries: Dir,
    /// The handle is held as long as the guest does not read on.
    _counted: Counted,
}

/// Some entries, and either where to go on or how it ended.
struct Batch {
    entries: Vec<DirectoryEntry>,
    rest: Result<Listing, Outcome>,
}

impl Batch {
    fn failed(error: Errno) -> Self {
        Self {
            entries: Vec::new(),
            rest: Err(Err(std::io::Error::from(error).into())),
        }
    }
}

impl Listing {
    fn next(mut self) -> Batch {
        let mut entries = Vec::new();
        while entries.len() < BATCH_ENTRIES_MAX {
            let outcome = match self.entries.read().transpose() {
                Ok(Some(entry)) => self.entry(&entry),
                Ok(None) => {
                    return Batch {
                        entries,
                        rest: Err(Ok(())),
                    };
                }
                Err(error) => Err(std::io::Error::from(error).into()),
            };
            match outcome {
                Ok(entry) => entries.extend(entry),
                Err(code) => {
                    return Batch {
                        entries,
                        rest: Err(Err(code)),
                    };
                }
            }
        }
        Batch {
            entries,
            rest: Ok(self),
        }
    }

    /// `None` for the entries that WASI does not show, and for what was removed meanwhile.
    fn entry(&self, entry: &rustix::fs::DirEntry) -> Result<Option<DirectoryEntry>, ErrorCode> {
        let name = match entry.file_name().to_str() {
            Ok("." | "..") => return Ok(None),
            Ok(name) => name.to_owned(),
            Err(_) => return Err(ErrorCode::IllegalByteSequence),
        };
        let kind = match entry.file_type() {
            // Some filesystems leave the type to `stat`.
            FileType::Unknown => match statat(&*self.directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(std::io::Error::from(error).into()),
            },
            kind => kind,
        };
        Ok(Some(DirectoryEntry {
            type_: described(kind),
            name,
        }))
    }
}

fn described(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Unknown => DescriptorType::Other(None),
    }
}

/// The stream that the guest reads: always one batch ahead of it.
struct Entries {
    batch: JoinHandle<Batch>,
    /// Taken when the end has been told.
    ended: Option<oneshot::Sender<Outcome>>,
}

impl StreamProducer<InstanceState> for Entries {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, InstanceState>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if self.ended.is_none() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        // A read of no entries asks whether one of some would wait; files have always been ready.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let polled = Pin::new(&mut self.batch).poll(cx);
        if polled.is_pending() && finish {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        let Batch { entries, rest } = ready!(polled)?;
        destination.set_buffer(entries.into());
        Poll::Ready(Ok(match rest {
            Ok(listing) => {
                self.batch = tokio::task::spawn_blocking(move || listing.next());
                StreamResult::Completed
            }
            Err(outcome) => {
                if let Some(ended) = self.ended.take() {
                    // The guest may not want to know.
                    let _ = ended.send(outcome);
                }
                StreamResult::Dropped
            }
        }))
    }
}

//! What Wharf does itself of `wasi:filesystem`: what opens a file or directory counts it among the descriptors that guests hold, in
//! 0.2 (`filesystem/opened.rs`) and 0.3. And in 0.3, where Wasmtime's answer is not the standard's:
//!
//! - Named pipes and sockets are told as what they are.
//! - The time of the last change of a file's status is that, and not the time it was made.
//! - Nanoseconds count forwards in instants before 1970 too.
//! - A wish for synchronized writes is no reason to refuse to open a file.
//! - A directory that is being listed occupies no thread while the guest does not read.
//!
//! Everything else stays Wasmtime's, above all every refusal: where something fails here, Wasmtime is asked, and says
//! why.

mod directory;
mod opened;

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;

use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptorWithStore, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p3::filesystem::FilesystemResult;

use crate::descriptors::Shortage;
use crate::state::InstanceState;

pub(super) use opened::link_v2;

/// The interface under the name that Wasmtime gives it: only there do our functions replace its own.
const TYPES: &str = "wasi:filesystem/types@0.3.0";

type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

/// Replaces some functions of the interface that is linked already.
pub(super) fn link_v3(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let replaced = replace(linker);
    linker.allow_shadowing(false);
    replaced
}

fn replace(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_concurrent("[method]descriptor.stat", |accessor, (descriptor,): (Resource<_>,)| {
        Box::pin(stat(accessor, descriptor))
    })?;
    types.func_wrap_concurrent(
        "[method]descriptor.get-type",
        |accessor, (descriptor,): (Resource<_>,)| Box::pin(get_type(accessor, descriptor)),
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.stat-at",
        |accessor, (directory, flags, path): (Resource<_>, _, _)| Box::pin(stat_at(accessor, directory, flags, path)),
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-times",
        |accessor, (descriptor, accessed, modified)| Box::pin(set_times(accessor, descriptor, accessed, modified)),
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |accessor, (directory, flags, path, accessed, modified)| {
            Box::pin(set_times_at(accessor, directory, flags, path, accessed, modified))
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor, (directory, path_flags, path, open_flags, flags)| {
            Box::pin(open_at(accessor, directory, path_flags, path, open_flags, flags))
        },
    )?;
    types.func_wrap("[method]descriptor.read-directory", directory::read)
}

async fn stat(accessor: &Accessor<InstanceState>, descriptor: Resource<Descriptor>) -> Answer<DescriptorStat> {
    let file = file(&descriptor_of(accessor, &descriptor)?);
    let metadata = blocking(move || file.metadata()).await?;
    Ok((metadata.map(|metadata| describe(&metadata)).map_err(ErrorCode::from),))
}

async fn get_type(accessor: &Accessor<InstanceState>, descriptor: Resource<Descriptor>) -> Answer<DescriptorType> {
    let (stat,) = stat(accessor, descriptor).await?;
    Ok((stat.map(|stat| stat.type_),))
}

async fn stat_at(
    accessor: &Accessor<InstanceState>,
    directory: Resource<Descriptor>,
    flags: PathFlags,
    path: String,
) -> Answer<DescriptorStat> {
    if let Descriptor::Dir(opened) = descriptor_of(accessor, &directory)? {
        let path = path.clone();
        let metadata = blocking(move || beneath(&opened.dir, &path, flags)?.metadata()).await?;
        if let Ok(metadata) = metadata {
            return Ok((Ok(describe(&metadata)),));
        }
    }
    answer(WasiFilesystem::stat_at(&wasmtimes(accessor), directory, flags, path).await)
}

async fn set_times(
    accessor: &Accessor<InstanceState>,
    descriptor: Resource<Descriptor>,
    accessed: NewTimestamp,
    modified: NewTimestamp,
) -> Answer<()> {
    let opened = descriptor_of(accessor, &descriptor)?;
    if !permissions(&opened).write_not_permitted() {
        let set = blocking(move || set_times_of(&file(&opened), accessed, modified)).await?;
        if set.is_ok() {
            return Ok((Ok(()),));
        }
    }
    answer(WasiFilesystem::set_times(&wasmtimes(accessor), descriptor, accessed, modified).await)
}

async fn set_times_at(
    accessor: &Accessor<InstanceState>,
    directory: Resource<Descriptor>,
    flags: PathFlags,
    path: String,
    accessed: NewTimestamp,
    modified: NewTimestamp,
) -> Answer<()> {
    if let Descriptor::Dir(opened) = descriptor_of(accessor, &directory)?
        && !opened.perms.write_not_permitted()
    {
        let path = path.clone();
        let set = blocking(move || set_times_of(&beneath(&opened.dir, &path, flags)?, accessed, modified)).await?;
        if set.is_ok() {
            return Ok((Ok(()),));
        }
    }
    let accessor = wasmtimes(accessor);
    answer(WasiFilesystem::set_times_at(&accessor, directory, flags, path, accessed, modified).await)
}

/// The flags for synchronized writes are, in the words of the interface, a request and not a requirement: guests that
/// must know their data on disk call `sync`.
async fn open_at(
    accessor: &Accessor<InstanceState>,
    directory: Resource<Descriptor>,
    path_flags: PathFlags,
    path: String,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> Answer<Resource<Descriptor>> {
    let requests = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    let flags = flags & !requests;
    let counted = match accessor.with(|mut store| store.get().descriptors.app.take()) {
        Ok(counted) => counted,
        Err(shortage) => return Ok((Err(other(shortage)),)),
    };
    let opened = WasiFilesystem::open_at(&wasmtimes(accessor), directory, path_flags, path, open_flags, flags).await;
    if let Ok(opened) = &opened {
        counted.belongs_to(&file(&descriptor_of(accessor, opened)?));
    }
    answer(opened)
}

/// The interface has no code for it.
fn other(shortage: Shortage) -> ErrorCode {
    ErrorCode::Other(Some(shortage.to_string()))
}

/// What Wasmtime's own functions want instead of `accessor`.
fn wasmtimes(accessor: &Accessor<InstanceState>) -> Accessor<InstanceState, WasiFilesystem> {
    accessor.with_getter(|state| state.filesystem())
}

/// What Wasmtime's own functions answer, as the guest gets it.
fn answer<T>(result: FilesystemResult<T>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

fn descriptor_of(
    accessor: &Accessor<InstanceState>,
    descriptor: &Resource<Descriptor>,
) -> wasmtime::Result<Descriptor> {
    accessor.with(|mut store| Ok(store.get().table.get(descriptor)?.clone()))
}

fn file(descriptor: &Descriptor) -> Arc<std::fs::File> {
    match descriptor {
        Descriptor::File(file) => file.file.clone(),
        Descriptor::Dir(directory) => directory.dir.clone(),
    }
}

fn permissions(descriptor: &Descriptor) -> wasmtime_wasi::FsPerms {
    match descriptor {
        Descriptor::File(file) => file.perms,
        Descriptor::Dir(directory) => directory.perms,
    }
}

/// Every call that may wait for a disk is made here, on a thread for such calls.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> wasmtime::Result<T> {
    Ok(tokio::task::spawn_blocking(call).await?)
}

/// A handle on what is at `path`, which the kernel follows nowhere but below `directory`. It can be asked and changed,
/// but neither read nor written.
#[cfg(target_os = "linux")]
fn beneath(directory: &std::fs::File, path: &str, flags: PathFlags) -> io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

    let mut open = OFlags::PATH | OFlags::CLOEXEC;
    if !flags.contains(PathFlags::SYMLINK_FOLLOW) {
        open |= OFlags::NOFOLLOW;
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(directory, path, open, Mode::empty(), resolve)?.into())
}

/// Other kernels cannot keep a path below a directory by themselves; Wasmtime walks it step by step.
#[cfg(not(target_os = "linux"))]
fn beneath(_: &std::fs::File, _: &str, _: PathFlags) -> io::Result<std::fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn set_times_of(file: &std::fs::File, accessed: NewTimestamp, modified: NewTimestamp) -> io::Result<()> {
    use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

    let timespec = |timestamp| match timestamp {
        NewTimestamp::NoChange => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        NewTimestamp::Now => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        NewTimestamp::Timestamp(Instant { seconds, nanoseconds }) => Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        },
    };
    let times = Timestamps {
        last_access: timespec(accessed),
        last_modification: timespec(modified),
    };
    // The handle itself is meant. Without the flag, one that was opened for its path alone is refused.
    Ok(utimensat(file, "", &times, AtFlags::EMPTY_PATH)?)
}

#[cfg(not(target_os = "linux"))]
fn set_times_of(_: &std::fs::File, _: NewTimestamp, _: NewTimestamp) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn describe(metadata: &Metadata) -> DescriptorStat {
    DescriptorStat {
        type_: kind(metadata.file_type()),
        link_count: metadata.nlink(),
        size: metadata.len(),
        data_access_timestamp: instant(metadata.atime(), metadata.atime_nsec()),
        data_modification_timestamp: instant(metadata.mtime(), metadata.mtime_nsec()),
        status_change_timestamp: instant(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The kernel counts nanoseconds forwards, as WASI does.
fn instant(seconds: i64, nanoseconds: i64) -> Option<Instant> {
    let nanoseconds = nanoseconds.try_into().ok()?;
    Some(Instant { seconds, nanoseconds })
}

fn kind(kind: std::fs::FileType) -> DescriptorType {
    match kind {
        _ if kind.is_file() => DescriptorType::RegularFile,
        _ if kind.is_dir() => DescriptorType::Directory,
        _ if kind.is_symlink() => DescriptorType::SymbolicLink,
        _ if kind.is_fifo() => DescriptorType::Fifo,
        _ if kind.is_socket() => DescriptorType::Socket,
        _ if kind.is_block_device() => DescriptorType::BlockDevice,
        _ if kind.is_char_device() => DescriptorType::CharacterDevice,
        _ => DescriptorType::Other(None),
    }
}

//! `open-at` of 0.2, counted.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::file;
use crate::state::InstanceState;

/// The interface under the name that Wasmtime gives it.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

type Params = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

type Answer = wasmtime::Result<(Result<Resource<Descriptor>, ErrorCode>,)>;

/// Replaces the function in the interface that is linked already.
pub(in super::super) fn link_v2(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker
        .instance(TYPES)?
        .func_wrap_async("[method]descriptor.open-at", |store, params| {
            Box::new(open_at(store, params))
        })
}

async fn open_at(
    mut store: StoreContextMut<'_, InstanceState>,
    (directory, path_flags, path, open_flags, flags): Params,
) -> Answer {
    let state = store.data_mut();
    let Ok(counted) = state.descriptors.app.take() else {
        // The interface has no code for too many open files, and this one at least does not speak of a broken disk.
        return Ok((Err(ErrorCode::InsufficientMemory),));
    };
    let mut wasmtimes = state.filesystem();
    match wasmtimes.open_at(directory, path_flags, path, open_flags, flags).await {
        Ok(opened) => {
            counted.belongs_to(&file(state.table.get(&opened)?));
            Ok((Ok(opened),))
        }
        Err(error) => error.downcast().map(|code| (Err(code),)),
    }
}

//! The seam between a guest and what lies outside its sandbox.
//!
//! The host links the standard interfaces; whether a call reaches anything is decided by what the capabilities handed
//! in at start have admitted. Implementations live in `wharf-capabilities` or in anybody's own crate. One that apps ask for
//! with a section of their manifest has a [`Kind`] as well: it reads the section and opens the capability, once; the
//! capability is linked once per component, admits once per instance, and is closed when the server has drained.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::component::types::ComponentItem;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;

pub use wasmtime_wasi::FsPerms;
pub use wharf_app::app::SecretSource;
pub use wharf_app::manifest::field;
pub use wharf_app::secret;
pub use wharf_app::section::{Fault, Section, Sections, Written, is_meant};

pub use crate::http::callers::ServedClient;

use crate::component::Component;
use crate::http::HttpClient;
use crate::state::InstanceState;

/// A future that a capability hands to the host.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// Something that guests may reach.
pub trait Capability: Send + Sync + 'static {
    /// The one word for it: manifest section, WIT folder, metric prefix, docs page.
    fn name(&self) -> &'static str;

    /// Once per component: adds functions of its own to what the component can import.
    ///
    /// The standard interfaces are linked already; a capability that only grants one of them has nothing to do here.
    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        let _ = imports;
        Ok(())
    }

    /// Once per instance: grants. Cheap, and never waits.
    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()>;

    /// How often each of its limits was reached since this was last asked, by the limit's name in manifests.
    fn take_reached(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Once for each further version of an app that has the same section, before its first request: what the section names
    /// may have changed, such as the files of a folder. May block, inside a tokio runtime.
    ///
    /// # Errors
    /// When the new version is not to be served. The one before it is served on.
    fn renew(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// What it counts and measures, as it is now. Asked for when somebody reads the metrics.
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Once the server has drained: ends what it keeps open. Nothing waits for what takes too long.
    fn close(&self) -> BoxFuture<()> {
        Box::pin(async {})
    }
}

/// A capability that apps ask for with a section of their manifest.
pub trait Kind: Section {
    /// The capability of the app called `app`, for all of its components. It outlives versions of the app, as long as the
    /// section stays the same. May block, inside a tokio runtime.
    ///
    /// What lies elsewhere, such as a database, may be away: guests are told so when they ask for it, and the app starts.
    ///
    /// # Errors
    /// When what the section says cannot be had on this machine.
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError>;

    /// Changes with what is elsewhere and makes the capability another one, such as a key in a file that the section names:
    /// then the next version of the app opens it anew, although the section says the same. Blocks as long as files do.
    fn stamp(&self, written: &Written) -> u64 {
        let _ = written;
        0
    }
}

/// Why a capability cannot be opened: for whoever runs the server.
pub type OpenError = Box<dyn Error + Send + Sync>;

/// One figure of a capability. In the metrics it is `wharf_CAPABILITY_NAME`, with the app as a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Without the capability's name, with the unit last: `connections`, `wait_seconds`.
    pub name: &'static str,
    /// What is counted, as a phrase.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// What it is of, beside the app: such as the pool.
    pub labels: Vec<(&'static str, String)>,
    /// How much.
    pub value: f64,
}

/// What a component can import. All of WASI is in it from the beginning.
pub struct Imports<'a> {
    linker: Cow<'a, Linker<InstanceState>>,
    component: &'a Component,
}

/// The functions, resources and types of an interface, by name.
pub type InterfaceItems = Vec<(String, ComponentItem)>;

impl<'a> Imports<'a> {
    pub(crate) fn new(wasi: &'a Linker<InstanceState>, component: &'a Component) -> Self {
        Self {
            linker: Cow::Borrowed(wasi),
            component,
        }
    }

    pub(crate) fn get(&self) -> &Linker<InstanceState> {
        &self.linker
    }

    /// To add functions. WASI's are shared by all components of an engine until somebody does.
    pub fn linker(&mut self) -> &mut Linker<InstanceState> {
        self.linker.to_mut()
    }

    /// What errors and logs call the component that is linked.
    pub fn component(&self) -> &str {
        self.component.name()
    }

    /// The interfaces that the component imports under names that are `wanted`, with the types it expects: for interfaces that
    /// differ in shape under one name, and for those whose names come from a section.
    pub fn interfaces(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, InterfaceItems)> {
        let engine = self.component.engine().wasmtime();
        let ty = self.component.wasmtime().component_type();
        let imports = ty.imports(engine).filter(|(name, _)| wanted(name));
        let instances = imports.filter_map(|(name, import)| match import.ty {
            ComponentItem::ComponentInstance(instance) => Some((name.to_owned(), instance)),
            _ => None,
        });
        let items = instances.map(|(name, instance)| {
            let items = instance.exports(engine);
            (name, items.map(|(name, item)| (name.to_owned(), item.ty)).collect())
        });
        items.collect()
    }
}

/// What one new instance is granted. All is denied that no capability grants.
pub struct Admission<'a> {
    pub(crate) folders: &'a mut Option<Folders>,
    pub(crate) http_client: &'a mut Option<Arc<dyn HttpClient>>,
    pub(crate) network: &'a mut Option<Arc<dyn Network>>,
    pub(crate) extensions: &'a mut HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Admission<'_> {
    /// Shows `folders` through `wasi:filesystem`, and no others.
    pub fn folders(&mut self, folders: &Folders) {
        *self.folders = Some(folders.clone());
    }

    /// Lets `wasi:http/client` send through `client`.
    pub fn http_client(&mut self, client: Arc<dyn HttpClient>) {
        *self.http_client = Some(client);
    }

    /// Lets `wasi:sockets` reach what `network` allows.
    pub fn network(&mut self, network: Arc<dyn Network>) {
        *self.network = Some(network);
    }

    /// Keeps `state` for this instance; the capability's functions find it again by its type
    /// ([`InstanceState::extension`]).
    pub fn extend<T: Send + Sync + 'static>(&mut self, state: T) {
        self.extensions.insert(TypeId::of::<T>(), Box::new(state));
    }
}

/// Folders of this machine, opened once and shown to any number of instances. Cheap to clone.
#[derive(Clone, Default)]
pub struct Folders(pub(crate) WasiFilesystemCtx);

impl Folders {
    /// Opens folders, each with its name for guests. Blocks as long as the file systems do.
    ///
    /// # Errors
    /// For the first that cannot be opened, with its place in the list.
    pub fn open<'a>(
        folders: impl IntoIterator<Item = (&'a Path, &'a str, FsPerms)>,
    ) -> Result<Self, (usize, wasmtime::Error)> {
        let mut wasi = WasiCtxBuilder::new();
        for (nth, (host, guest, permissions)) in folders.into_iter().enumerate() {
            wasi.preopened_dir(host, guest, permissions)
                .map_err(|error| (nth, error))?;
        }
        Ok(Self(wasi.build().filesystem().clone()))
    }
}

impl std::fmt::Debug for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folders").finish_non_exhaustive()
    }
}

/// What a guest does with a socket address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressUse {
    /// The guest binds a socket to this local address, or the system is about to bind one to the unspecified address
    /// and port 0 so that it can connect, send or listen.
    Bind,
    /// The guest listens for connections on this local address.
    Listen,
    /// A peer with this address connected to the guest, or sent it a datagram.
    Accept,
    /// The guest connects or sends to this address.
    Connect,
}

/// Decides which addresses and names `wasi:sockets` reaches.
pub trait Network: Send + Sync + 'static {
    /// Whether the guest may use `address`. Asked at the moment of use, with the address itself.
    fn allows(&self, address: SocketAddr, purpose: AddressUse) -> BoxFuture<bool>;

    /// Resolves a host name for the guest, or says why not.
    fn resolve(&self, name: String) -> BoxFuture<Result<Vec<IpAddr>, LookupError>>;
}

/// Why a name was not resolved (`wasi:sockets/ip-name-lookup.error-code`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The operator has not granted this name.
    AccessDenied,
    /// Not a name.
    InvalidArgument,
    /// The name has no address.
    NameUnresolvable,
    /// The resolver did not answer; trying again may help.
    TemporaryResolverFailure,
    /// The resolver answered that it will not.
    PermanentResolverFailure,
}

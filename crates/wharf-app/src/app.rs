//! What a manifest means: apps and a server's settings as plain data, with every default that is the manifest's own filled
//! in, every reference known to lead somewhere and every path absolute.
//!
//! A program may also make an [`App`] by itself, from flags. Limits that nobody set stay `None`: their defaults belong to
//! those who keep them. Secrets are references here and in every debug output; who starts guests looks them up.

mod network;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::origin::Origins;
use crate::route::RoutePattern;
use crate::section::Written;

pub use network::{Forwarded, ListenAddress, Listener, Redirect, TrustedProxies};
pub use tls::{AcmeOptions, CertificateFiles, Challenge, ClientCertificates, TlsOptions, TlsVersion};

/// The name of an app's component where the app has one and gives it none.
pub const ONLY_COMPONENT: &str = "main";

/// Something to serve: components, routes that lead to them, and what they may use and reach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// Unlike that of every other app of a server.
    pub name: String,
    /// At most one of each name. None where all routes lead to files.
    pub components: Vec<AppComponent>,
    /// Never empty, and no two overlap.
    pub routes: Vec<Route>,
    /// What it may use.
    pub limits: AppLimits,
    /// Who may open WebSockets, and what they may use.
    pub websocket: AppWebsocket,
    /// The whole environment of its guests, but for the secrets.
    pub environment: BTreeMap<String, String>,
    /// Further variables of the environment, by name. None has the name of one in `environment`.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What its guests see of this machine's folders.
    pub folders: Vec<Folder>,
    /// What is shown where no guest answers.
    pub error_pages: ErrorPages,
    /// What else it asks for, by the capabilities' names.
    pub sections: BTreeMap<String, Written>,
}

/// One of an app's components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppComponent {
    /// Unlike that of every other component of the app.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
    /// Components that see its requests before it does, outermost first.
    pub middleware: Vec<PathBuf>,
    /// How many requests meet in one instance. `None`: what suits the version of WASI it is built for.
    pub isolation: Option<Isolation>,
    /// Which of its imports other components meet.
    pub links: Vec<Link>,
    /// What it is to those that link to it.
    pub linked_as: LinkedAs,
    /// How it is made. `None`: it is there already.
    pub build: Option<Build>,
}

/// What a component is to those that link to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkedAs {
    /// A part of each of their instances.
    #[default]
    Joined,
    /// One instance of its own, which all of them share.
    Own,
}

/// How a component is made. Every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// With which tools.
    pub recipe: Recipe,
    /// The folder of the source.
    pub folder: PathBuf,
    /// The folder of WIT.
    pub wit: PathBuf,
    /// The world that the component is of. `None`: the only one of `wit`.
    pub world: Option<String>,
    /// Where the source begins. `None`: where it does by the language's custom.
    pub entry: Option<String>,
    /// Files and folders besides `folder` and `wit` that the component is made of.
    pub inputs: Vec<PathBuf>,
}

/// What makes a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// The toolchain of a language.
    Language(Language),
    /// A program and its arguments. Never empty.
    Command(Vec<String>),
}

/// A language whose toolchain builds components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Cargo, with the target wasm32-wasip2.
    Rust,
    /// Go, with bindings that are made from the WIT.
    Go,
    /// componentize-py.
    Python,
    /// componentize-qjs.
    JavaScript,
    /// clang and wasi-libc, with bindings that are made from the WIT.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::Python, Self::JavaScript, Self::C];

    /// What manifests and flags call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::C => "c",
        }
    }
}

/// How many requests meet in one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A fresh instance for each request.
    Request,
    /// One request at a time; an instance is used again, a bounded number of times.
    Serial,
    /// Requests run side by side in one instance.
    Shared,
}

/// An import that is met by another component's export of the same interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The import's name: `acme:store/cache`, with a version or for all versions.
    pub import: String,
    /// The name of the component that exports it.
    pub component: String,
}

/// Which requests are answered by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which requests.
    pub pattern: RoutePattern,
    /// What answers them.
    pub answer: Answer,
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The component of this name.
    Component(String),
    /// Files, by the rest of the path.
    Files(Files),
}

/// A folder that is served as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Where it is.
    pub folder: PathBuf,
    /// The file that answers for a folder, by name.
    pub index: String,
    /// The file inside the folder that answers where there is none, with status 200.
    pub fallback: Option<String>,
    /// Whether `FILE.br`, `FILE.zst` and `FILE.gz` are sent in place of FILE to clients that take them.
    pub precompressed: bool,
    /// The value of the field `cache-control` of each answer.
    pub cache_control: Option<String>,
}

/// What one app may use. `None` leaves the default to who keeps the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppLimits {
    /// Linear memory of one instance, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Sockets and open files of all its instances together.
    pub descriptors_max: Option<u32>,
    /// Processor time without once waiting.
    pub cpu_time_max: Option<Duration>,
    /// Instances of one of its components at a time.
    pub instances_max: Option<u32>,
    /// Requests under way at a time.
    pub requests_max: Option<u32>,
    /// Requests that wait for an instance.
    pub queue_length_max: Option<u32>,
    /// How long a request waits for an instance.
    pub queue_timeout: Option<Duration>,
    /// From a request's arrival to the response's head.
    pub response_timeout: Option<Duration>,
    /// How long a guest may go on after its response has ended.
    pub background_timeout: Option<Duration>,
    /// Bytes of a request's body.
    pub body_bytes_max: Option<u64>,
    /// Bytes per second of a request's body.
    pub body_rate_min: Option<u64>,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Option<Duration>,
    /// Requests that one instance answers under [`Isolation::Serial`].
    pub reuse_max: Option<u32>,
    /// For about how long an instance is kept under [`Isolation::Serial`] that has nothing to do.
    pub idle_timeout: Option<Duration>,
}

/// Who may open WebSockets, and what each may use. `None` leaves the default to who keeps the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppWebsocket {
    /// Pages of which other hosts may.
    pub origins: Origins,
    /// Whether handshakes may go past middleware that knows nothing of them.
    pub past_middleware: bool,
    /// WebSockets that are open at a time.
    pub sockets_max: Option<u32>,
    /// Bytes of one message from a client.
    pub message_bytes_max: Option<u64>,
    /// Frames a second from a client.
    pub messages_per_second_max: Option<u32>,
    /// How long there may be no message.
    pub idle_timeout: Option<Duration>,
    /// After how long a silent client is asked whether it is there.
    pub ping_interval: Option<Duration>,
    /// How long it may take to answer.
    pub pong_timeout: Option<Duration>,
    /// How long a client may take to close.
    pub close_timeout: Option<Duration>,
    /// How long a guest may go on sending once it is to end.
    pub restart_timeout: Option<Duration>,
    /// What those may use that its guests open.
    pub opened: OpenedWebsocket,
}

/// What WebSockets may use that guests open. `None` leaves the default to who keeps the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedWebsocket {
    /// Bytes of one message from the peer.
    pub message_bytes_max: Option<u64>,
    /// How long there may be no message.
    pub idle_timeout: Option<Duration>,
    /// After how long a silent peer is asked whether it is there.
    pub ping_interval: Option<Duration>,
    /// How long it may take to answer.
    pub pong_timeout: Option<Duration>,
    /// How long it may take to close.
    pub close_timeout: Option<Duration>,
}

/// Where a secret's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file, without the line's end at its end.
    File(PathBuf),
    /// A variable of the server's own environment.
    Variable(String),
    /// An encrypted file, and what the secret is called in it.
    Encrypted(PathBuf, String),
}

/// A folder of this machine that guests see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where guests see it.
    pub guest: String,
    /// Where it is.
    pub host: PathBuf,
    /// Whether guests may change it.
    pub access: Access,
}

/// What guests may do in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Look.
    #[default]
    Read,
    /// Look and change.
    Write,
}

/// Files that are shown where no guest answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// By status, such as 404.
    pub statuses: BTreeMap<u16, PathBuf>,
    /// By first digit, such as 5, where there is none for the status itself.
    pub classes: BTreeMap<u16, PathBuf>,
}

/// How a server is set up. `None` and empty leave the default to the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens, and what it does with the connections.
    pub listeners: Vec<Listener>,
    /// Proxies that are believed.
    pub trusted_proxies: TrustedProxies,
    /// In which fields they say who asks, and guests are told.
    pub forwarded: Forwarded,
    /// Whether they are believed which host was asked.
    pub forwarded_host: bool,
    /// Whether they are believed which certificate a client has shown.
    pub forwarded_client_cert: bool,
    /// Where those who run it ask for its state.
    pub admin: Option<AdminAddress>,
    /// The folder that its apps are in.
    pub apps: Option<PathBuf>,
    /// How long work under way may take once it stops.
    pub drain_timeout: Option<Duration>,
    /// What connections and all apps together may use.
    pub limits: ServerLimits,
    /// Who it is to clients that come by TLS.
    pub tls: Option<TlsOptions>,
}

/// Where those who run a server ask for its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Nowhere.
    Off,
    /// `HOST:PORT`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What connections and all apps together may use. `None` leaves the default to who keeps the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections that are open at a time.
    pub connections_max: Option<u32>,
    /// The same for one address.
    pub connections_per_client_max: Option<u32>,
    /// Requests that one connection carries.
    pub requests_per_connection_max: Option<u32>,
    /// Requests under way at a time.
    pub requests_max: Option<u32>,
    /// Bytes of a request's head.
    pub head_bytes_max: Option<u64>,
    /// Fields of a request's head.
    pub head_fields_max: Option<u32>,
    /// How long what stands before a connection's first request may take.
    pub handshake_timeout: Option<Duration>,
    /// How long a request's head may take.
    pub head_timeout: Option<Duration>,
    /// How long a connection may be without a request.
    pub idle_timeout: Option<Duration>,
    /// Bytes per second that a client takes at least.
    pub write_rate_min: Option<u64>,
    /// Over how long `write_rate_min` is measured.
    pub write_timeout: Option<Duration>,
    /// Open streams of an HTTP/2 connection.
    pub streams_max: Option<u32>,
    /// Requests that the client of an HTTP/2 connection takes back in a while.
    pub resets_max: Option<u32>,
    /// Frames of an HTTP/2 connection that carry nothing, in a while.
    pub control_frames_max: Option<u32>,
    /// Instances of all apps at a time.
    pub instances_max: Option<u32>,
}

impl App {
    /// An app with one component that answers every request. All else is as a manifest that says no more would have it.
    pub fn of_component(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            components: vec![AppComponent::new(ONLY_COMPONENT, file)],
            routes: vec![Route {
                pattern: RoutePattern::any(),
                answer: Answer::Component(ONLY_COMPONENT.to_owned()),
            }],
            ..Self::default()
        }
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&AppComponent> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The components that routes lead to, in their order: each of them has to be a service.
    pub fn routed_components(&self) -> impl Iterator<Item = &AppComponent> {
        self.components.iter().filter(|component| {
            let leads_to_it = |route: &Route| route.answer == Answer::Component(component.name.clone());
            self.routes.iter().any(leads_to_it)
        })
    }
}

impl AppComponent {
    /// A component that nothing more is said of.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            file: file.into(),
            middleware: Vec::new(),
            isolation: None,
            links: Vec::new(),
            linked_as: LinkedAs::default(),
            build: None,
        }
    }
}

impl ErrorPages {
    /// All files, by what the manifest calls them: `404`, `5xx`.
    pub fn files(&self) -> impl Iterator<Item = (String, &Path)> {
        let statuses = self.statuses.iter().map(|(status, file)| (status.to_string(), file));
        let classes = self.classes.iter().map(|(class, file)| (format!("{class}xx"), file));
        statuses.chain(classes).map(|(name, file)| (name, file.as_path()))
    }
}

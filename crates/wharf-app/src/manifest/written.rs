//! The manifest as it is written. The comments here are its reference: `docs/reference/manifest.md` and the descriptions in
//! `docs/reference/manifest.schema.json` are made from them.
//!
//! Nothing here has a meaning yet. Defaults are said here and filled in by `manifest/meaning.rs` or, where they are limits, by
//! those who keep them.

mod network;
mod tls;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::{At, Count, Duration, OneOrMany, Size, TextOr};

pub use network::{Forwarded, Listener};
pub use tls::{Acme, Certificate, Challenge, ClientCertificates, Tls, TlsVersion, UnknownNames};

/// One app, or a server with any number of apps. The section `[server]` tells which of the two a file is.
// Only its schema is used: a file's kind is known before it is read, so that errors speak of one kind alone.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)]
pub enum Manifest {
    Server(ServerManifest),
    App(AppManifest),
}

/// An app: what answers which requests, and what it may use and reach. It reaches nothing that is not granted here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AppManifest {
    /// What logs and metrics call the app: ASCII letters, digits, `-`, `_` and `.`, at most 64 of them. Default: the folder's
    /// name for a file called wharf.toml, else the file's own name without `.toml`. In a server's manifest the app is named
    /// by its section.
    pub name: Option<At<String>>,
    /// The file of the app's one component, which is of the world `wasi:http/service@0.3` or `wasi:http/proxy@0.2`. Like all
    /// paths in a manifest, it is relative to the manifest's folder. An app with several components has
    /// `[components.NAME]` instead. May be left out where all routes lead to files.
    pub component: Option<At<String>>,
    /// How many requests meet in one instance of a component. Default: `serial` for WASI 0.3, `request` for 0.2, whose guests
    /// often count on a fresh start.
    pub isolation: Option<At<Isolation>>,
    /// Components of the world `wasi:http/middleware@0.3` that see each request before `component` does, outermost first.
    pub middleware: Option<At<Vec<At<String>>>>,
    /// How `wharf build` makes `component`. Default: it is there already, and nobody builds it.
    pub build: Option<At<Build>>,
    /// One of several components of the app. NAME is what routes and links call it.
    #[serde(default)]
    pub components: BTreeMap<At<String>, Component>,
    /// Which requests are answered by what. The most specific host decides first, then the longest path; two routes of which
    /// neither is more specific are refused. Default: one route, by which the app's one component answers every request.
    #[serde(default)]
    pub routes: Vec<At<Route>>,
    /// What the app may use. Each limit bounds this app alone; what all apps share is in `[server.limits]`.
    #[serde(default)]
    pub limits: Limits,
    /// The app's WebSockets: who may open them, and what they may use.
    #[serde(default)]
    pub websocket: Websocket,
    /// The whole environment of the app's guests, as `NAME = "value"`: nothing of the server's own environment is in it.
    #[serde(default)]
    pub environment: BTreeMap<At<String>, At<String>>,
    /// Further variables of the guests' environment whose values stand elsewhere, as `NAME = { file = "..." }`,
    /// `NAME = { variable = "..." }` or `NAME = { encrypted = "..." }`. Values are read when the
    /// app starts, and again when the file changes; they are never printed.
    #[serde(default)]
    pub secrets: BTreeMap<At<String>, At<Secret>>,
    /// Folders of this machine that guests see, as `"/guest/path" = "folder"`. Guests only read, unless a table says
    /// otherwise. No path leads out of a folder. One that guests may write to is nobody's source, although it lies in a
    /// component's folder: for what changes there, `wharf build` and `wharf dev` build nothing, and no page is loaded again. It is
    /// source where it holds a component's folder as a whole, or `inputs` name it.
    #[serde(default)]
    pub filesystem: BTreeMap<At<String>, At<TextOr<FilesystemFolder>>>,
    /// The app's own pages for errors that the server answers with, as `404 = "page.html"` for one status or
    /// `"5xx" = "page.html"` for all that begin so. The one for the status itself goes first. Clients that ask for JSON get
    /// problem details (RFC 9457) all the same. Where a page says `{error-id}`, clients see the id under which the error is in the
    /// log, or nothing where it has none. Answers of guests stay as they are.
    #[serde(default)]
    pub errors: BTreeMap<At<String>, At<String>>,
}

/// One of an app's components.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Component {
    /// The component.
    pub file: At<String>,
    /// Components of the world `wasi:http/middleware@0.3` that see each request before this one does, outermost first. They
    /// stand in front of routes, not of links.
    #[serde(default)]
    pub middleware: Vec<At<String>>,
    /// How many requests meet in one instance of this component. Default: the app's `isolation`.
    pub isolation: Option<At<Isolation>>,
    /// Imports of this component that other components of the app meet, as `"acme:store/cache" = "NAME"`. The import may
    /// be written with its version; without it, all versions are meant that the other component exports. What is
    /// joined runs as one: it shares a limit of memory, and each instance of this component has instances of the others
    /// for itself alone. Unless the other component's `instance` is `own`.
    #[serde(default)]
    pub links: BTreeMap<At<String>, At<String>>,
    /// What this component is to those that link to it: `joined`, a part of each of their instances, or `own`, one
    /// instance that all requests of the app share, made when the first call comes and again after a trap. What it
    /// keeps, such as a cache, outlives requests; it has a limit of memory of its own, and a trap in it is an error of the
    /// call. Default: `joined`.
    pub instance: Option<At<LinkedAs>>,
    /// How `wharf build` makes `file`. Default: it is there already, and nobody builds it.
    pub build: Option<At<Build>>,
}

/// What a component is to those that link to it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkedAs {
    /// A part of each of their instances.
    Joined,
    /// One instance of its own.
    Own,
}

/// How `wharf build` makes a component: with the toolchain of a language, or by a command of one's own. The server pays no heed to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Build {
    /// The language whose toolchain builds it; `wharf doctor` says what that needs. Either this or `command`.
    pub language: Option<At<Language>>,
    /// A program and its arguments that build it, in `folder`. It writes the component where the variable `WHARF_COMPONENT` of its
    /// environment says, from where it is moved to its place; or to its place itself. Either this or `language`.
    pub command: Option<At<Vec<At<String>>>>,
    /// The folder of the source. Default: the manifest's own folder.
    pub folder: Option<At<String>>,
    /// The folder of WIT that says what the component imports and exports. Default: `wit` in `folder`. Rust's bindings are made by
    /// macros, which read what the source names.
    pub wit: Option<At<String>>,
    /// The world in `wit` that the component is of. Default: the only one there.
    pub world: Option<At<String>>,
    /// Where the source begins: the package of a workspace for Rust, the module for Python (default: `app`), the file for JavaScript
    /// (default: `app.js`). Go and C take all of the folder.
    pub entry: Option<At<String>>,
    /// Further files and folders that the component is made of. It is built again where one of them, or a file of `folder` or
    /// `wit`, has changed. Rust's toolchain knows by itself. Default: none.
    #[serde(default)]
    pub inputs: Vec<At<String>>,
}

/// A language whose toolchain builds components.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Cargo, with the target wasm32-wasip2.
    Rust,
    /// Go 1.27, with bindings that are made from the WIT.
    Go,
    /// componentize-py.
    Python,
    /// componentize-qjs.
    JavaScript,
    /// clang and wasi-libc, with bindings that are made from the WIT.
    C,
}

/// How many requests meet in one instance.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A fresh instance for each request.
    Request,
    /// One request at a time; an instance is used again, as often as `reuse` in `[limits]` says.
    Serial,
    /// Many requests at a time; a trap ends them all. WASI 0.3 only.
    Shared,
}

/// Requests that are answered by one component, or with files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Route {
    /// The host that was asked: a name such as `shop.example.com`, `*.example.com` for all names below one, or an IP address,
    /// IPv6 in brackets. Without a port. Names beyond ASCII are written as browsers send them (`xn--...`). Default: every
    /// host that no other route names.
    pub host: Option<At<String>>,
    /// The beginning of the path, by segments: `/api` answers `/api` and `/api/users`, not `/apiary`. What is not in URLs is
    /// percent-encoded, in either case: `/%c3%a4` is `/%C3%A4`. Default: `/`, every path.
    pub path: Option<At<String>>,
    /// The methods that are answered; others get 405. `GET` includes `HEAD`. Default: all.
    pub methods: Option<At<Vec<At<String>>>>,
    /// Which component answers. Default: the app's one component; where there are several, a route names one, or `files`.
    pub component: Option<At<String>>,
    /// The folder whose files answer, by the rest of the path: with `path = "/assets"` and `files = "public"`, the request for
    /// `/assets/a.css` is answered with `public/a.css`. A table says more.
    pub files: Option<At<TextOr<Files>>>,
}

/// How a folder's files answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Files {
    /// The folder. No path leads out of it, and what has a name that begins with a dot is not served, but for
    /// `/.well-known`.
    pub folder: At<String>,
    /// The file that answers for a folder. Default: `index.html`.
    pub index: Option<At<String>>,
    /// The file of the folder that answers where there is none, with status 200, to clients that ask for `text/html`: for apps
    /// that do their routing in the browser. Default: none, and 404.
    pub fallback: Option<At<String>>,
    /// Whether `FILE.br`, `FILE.zst` or `FILE.gz` is sent in place of `FILE` to clients that take it, unless it is older than
    /// `FILE`. Default: true; such a file is there because somebody made it to be sent.
    pub precompressed: Option<bool>,
    /// The answers' field `cache-control`. Default: none; clients then ask again whether a file has changed.
    pub cache_control: Option<At<String>>,
}

/// What one app may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Memory of one instance, all its components together. Past it the guest is refused more, which most guests answer with
    /// a trap: that request fails with 502. Default: 512MiB, which holds an interpreter and a large working set; a leak
    /// ends long before the machine does.
    pub memory: Option<At<Size>>,
    /// How many sockets and open files the app's guests hold at a time, all its instances together: each takes one of the files that
    /// the system lets the server open. Past it a guest is refused another, which is an error that it can handle. Default: 1024, what
    /// a process usually has. All apps together have half of what `connections` of `[server.limits]` leaves.
    pub descriptors: Option<At<Count>>,
    /// How long an instance may compute without once waiting. Past it the instance ends and its requests get 504. Default: 10s;
    /// what takes longer belongs in a queue, not in a request.
    pub cpu_time: Option<At<Duration>>,
    /// How many instances each of the app's components may have at a time. Past it requests wait in the queue. Under
    /// `isolation = "shared"` instances come and go as they are needed. Default: as many as the server has for all apps.
    pub instances: Option<At<Count>>,
    /// How many requests each of the app's components works on at a time. Further ones wait in its queue. Default: 10000; a
    /// parked request costs some kilobytes.
    pub requests: Option<At<Count>>,
    /// How many requests wait for an instance of a component. One more gets 503 at once. Default: 1000: some megabytes, and what a fast guest
    /// works off within `queue-time`.
    pub queue: Option<At<Count>>,
    /// How long a request waits for an instance. Past it, 503. In a queue that has not been empty for a quarter of a second it is
    /// 20 ms at most: that is no burst, but more than can be done. Default: 5s; whoever waits longer has most likely gone. With
    /// `0s` nobody waits.
    pub queue_time: Option<At<Duration>>,
    /// From a request's arrival until its response begins, with what it waits for an instance and, where it is small, with what its
    /// body takes to come. Past it the request gets 504 and its work ends; 408 where its body has not come by then. Default: 30s,
    /// what most proxies wait.
    pub response_time: Option<At<Duration>>,
    /// How long a guest may go on working after its response has ended. Past it its instance is dropped. Default: 30s; as long as it
    /// may take to answer, which is time enough to tell others of what it did. What takes longer belongs in a queue. With `0s` its
    /// work ends with its response.
    pub background_time: Option<At<Duration>>,
    /// The body of one request. Past it, 413. Default: 1GiB; bodies are never held in full, so this bounds time and traffic,
    /// not memory. With 0, requests have none.
    pub body: Option<At<Size>>,
    /// Bytes per second of a request's body that arrive at least while the guest waits for them, once it has waited for ten
    /// seconds in all. Below it, 408. Default: 256, a tenth of the slowest links in use. 0 allows any.
    pub body_rate: Option<At<Size>>,
    /// How long a guest waits for the next piece of a request's body. Past it, 408. Default: 30s; a connection that loses packets
    /// recovers within it, and one whose client has vanished does not.
    pub body_idle_time: Option<At<Duration>>,
    /// How many requests one instance answers under `isolation = "serial"`, before a fresh one takes its place: what leaks in a
    /// guest is given back. Default: 10000; a guest that leaks 10 KiB a request stays below 100 MiB.
    pub reuse: Option<At<Count>>,
    /// For about how long an instance is kept under `isolation = "serial"` that has nothing to do; its memory is given up sooner where
    /// another needs its place. Default: 10s, longer than the pauses of an app that is in use, and a crowd's instances are gone
    /// soon after it. Longer where a guest takes long to begin and is seldom asked. With `0s` it goes in a moment.
    pub idle_time: Option<At<Duration>>,
}

/// Who may open WebSockets, and what each may use. Components that export `wharf:websocket/handler` take them; others get the request as
/// it is. The guest has `response-time` of `[limits]` to decide, and `background-time` once the connection is over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Websocket {
    /// Pages of which other hosts may open WebSockets: `https://app.example.com`, `https://*.example.com`, each with a port or
    /// without, or `*` for all. Pages of the host that is asked always may, and so may clients that are no browsers and name no
    /// page; others get 403. Default: none, since a browser sends its user's cookies along whichever page asks.
    #[serde(default)]
    pub origins: Vec<At<String>>,
    /// Whether handshakes may go past middleware that does not export `wharf:websocket/handler`, such as one that compresses
    /// responses. Default: false, and an app with such middleware in front of a component that takes WebSockets is refused:
    /// what the middleware checks would not be checked.
    #[serde(default)]
    pub past_middleware: bool,
    /// How many are open at a time. One more gets 503. Default: 10000. Each takes an instance as well or, under
    /// `isolation = "shared"`, a place among the `requests`: the smaller one counts.
    pub sockets: Option<At<Count>>,
    /// One message from a client. Past it the connection is closed with 1009. Default: 1MiB; messages are held in full.
    pub message: Option<At<Size>>,
    /// How many frames a client sends a second, on the average of ten seconds. Past it the connection is closed with 1008.
    /// Default: 1000; no person and no game makes so many.
    pub rate: Option<At<Count>>,
    /// How long there may be no message, either way. Past it the connection is closed with 1001. Default: 1h; a page that was
    /// forgotten gives its instance back.
    pub idle_time: Option<At<Duration>>,
    /// After how long a silent client is sent a ping. Default: 30s, less than the minute after which proxies and routers
    /// forget a connection.
    pub ping_time: Option<At<Duration>>,
    /// How long a client may take to answer a ping. Past it the connection is over. Default: 30s; a phone that changes from one
    /// network to another is back within it.
    pub pong_time: Option<At<Duration>>,
    /// How long a client may take to close a connection that the guest has closed. Past it the connection ends without it.
    /// Default: 10s; what is still on its way has come by then, on the slowest links in use. With `0s` nobody waits for it.
    pub close_time: Option<At<Duration>>,
    /// How long guests may go on sending once the server stops, or once their app was replaced by another version; then
    /// connections are closed with 1012, and clients come again. Default: 5s, well within `drain-timeout`. With `0s` they are
    /// closed at once.
    pub restart_time: Option<At<Duration>>,
    /// What each WebSocket may use that guests open themselves, by `wharf:websocket/client`.
    #[serde(default)]
    pub opened: OpenedWebsocket,
}

/// What each WebSocket may use that guests open. Where they may lead is said in `[http-client]`, how many there are at a time by
/// `outgoing` of `[limits]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OpenedWebsocket {
    /// One message from the peer. Past it the connection is closed with 1009. Default: 1MiB; messages are held in full.
    pub message: Option<At<Size>>,
    /// How long there may be no message, either way. Past it the connection is closed with 1001. Default: 1h; a feed that has been
    /// silent for so long is opened anew.
    pub idle_time: Option<At<Duration>>,
    /// After how long a silent peer is sent a ping. Default: 30s, less than the minute after which proxies and routers forget a
    /// connection.
    pub ping_time: Option<At<Duration>>,
    /// How long a peer may take to answer a ping. Past it the connection is over. Default: 30s.
    pub pong_time: Option<At<Duration>>,
    /// How long a peer may take to close a connection that the guest has closed. Past it the connection ends without it.
    /// Default: 10s. With `0s` nobody waits for it.
    pub close_time: Option<At<Duration>>,
}

/// Where a secret's value is: exactly one of `file`, `variable` and `encrypted`.
// The mark says what `manifest/hidden.rs` is not to show, should somebody write the value itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("writeOnly" = true))]
pub struct Secret {
    /// The file whose content is the value, without the line's end at its end.
    pub file: Option<At<String>>,
    /// The variable of the server's own environment that holds the value.
    pub variable: Option<At<String>>,
    /// The encrypted file that holds the value, among others: a table `NAME = "value"`, encrypted by age for the server's key.
    pub encrypted: Option<At<String>>,
    /// What the secret is called in the encrypted file. Default: as in the guests' environment.
    pub name: Option<At<String>>,
}

/// A folder that guests see.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilesystemFolder {
    /// The folder on this machine.
    pub folder: At<String>,
    /// What guests may do there. Default: `read`.
    pub access: Option<At<Access>>,
}

/// What guests may do in a folder.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Look at files.
    Read,
    /// Look at files, change, make and remove them.
    Write,
}

/// A server with any number of apps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServerManifest {
    /// The server itself.
    pub server: Server,
    /// An app, with the keys of an app's manifest.
    #[serde(default)]
    pub apps: BTreeMap<At<String>, At<AppManifest>>,
}

/// Where a server listens, which apps it has, and what all of them together may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Server {
    /// Where it listens for plain HTTP: `HOST:PORT`, `unix:PATH` or `systemd:NAME`, or a list of them. Port 0 picks a free one.
    /// Default: `127.0.0.1:8080`, which this machine alone reaches, unless there are `[[server.listeners]]`.
    pub listen: Option<At<OneOrMany>>,
    /// The long form of `listen`, for TLS and for proxies that pass bytes on.
    #[serde(default)]
    pub listeners: Vec<At<Listener>>,
    /// Proxies in front that are believed who asks: addresses, networks such as `10.0.0.0/8`, and `unix` for whoever connects to a
    /// `unix:` socket. A proxy that is not named here is a client like any other. Default: none.
    pub trusted_proxies: Option<At<Vec<At<String>>>>,
    /// In which fields of requests trusted proxies say who asks, and guests are told: `x-forwarded` for `x-forwarded-for` and
    /// `x-forwarded-proto`, `forwarded` for that of RFC 7239, `none`. What others have written there is removed, and so is what
    /// trusted proxies write in the fields of the other kind, since they pass on whatever their clients write there. Default:
    /// `x-forwarded`, which most proxies write.
    pub forwarded: Option<At<Forwarded>>,
    /// Whether trusted proxies are believed which host was asked, in `x-forwarded-host` and `x-forwarded-port` or in `forwarded`.
    /// Default: false; most proxies leave the host as it was, and pass on what clients write there.
    pub forwarded_host: Option<At<bool>>,
    /// Whether trusted proxies are believed which certificate a client has shown, in `client-cert` and `client-cert-chain` (RFC
    /// 9440), on connections without TLS; and so are let in where `required` client certificates are asked for. Default: false;
    /// most proxies pass on what clients write there, and who does would let anybody be anybody.
    pub forwarded_client_cert: Option<At<bool>>,
    /// Where those who run it ask for its state: `unix:PATH` for a socket, `HOST:PORT`, or `none`. Whoever reaches it is
    /// trusted. Default: the socket `wharf-PID.sock` in the folder that the environment names in `RUNTIME_DIRECTORY` or
    /// `XDG_RUNTIME_DIR`, else none. The path of a socket has 107 bytes at most, with the folders above it.
    pub admin: Option<At<String>>,
    /// The folder of its apps: the wharf.toml of each folder in it, and each file in it whose name ends in `.toml`, is one
    /// app. Names that begin with a dot are passed over. An app that is wrong is reported, and does not keep the others from
    /// being served. Two apps of one name, or with routes for the same requests, are both wrong, unless one is in this
    /// file: that one is served. Default: none, only the apps in this file.
    pub apps: Option<At<String>>,
    /// How long requests may take to finish once the server stops, or once their app was replaced by another version. Past it
    /// they are cut off. Default: 30s, what orchestrators grant between SIGTERM and SIGKILL. With `0s` they are cut off at once.
    pub drain_timeout: Option<At<Duration>>,
    /// Who the server is to clients that come by TLS.
    pub tls: Option<At<Tls>>,
    /// Certificates that are ordered from an authority.
    pub acme: Option<At<Acme>>,
    /// What connections and all apps together may use.
    #[serde(default)]
    pub limits: ServerLimits,
}

/// What connections and all apps together may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServerLimits {
    /// How many connections are open at a time. For one more, others make room that have been without a request for the longest
    /// time: a hundredth part of all at once, so that the next newcomers find room, but of those that have been without one for
    /// less than a second only one, and only where there is no other, since their first byte is on its way. Where all have
    /// requests, the newcomer gets 503 and is closed. Default: 20000; one that waits costs about 10 KiB. Never more than nine
    /// tenths of the files that the system lets the server open.
    pub connections: Option<At<Count>>,
    /// The same for one client's address. Default: half of `connections`: no client alone keeps others out, and a proxy in
    /// front has enough.
    pub connections_per_client: Option<At<Count>>,
    /// How many requests one connection carries before it is closed, so that clients spread anew over servers and cores.
    /// Default: 100000; at a thousand requests a second that is some minutes, and the cost of a new connection is not noticed.
    pub requests_per_connection: Option<At<Count>>,
    /// How many requests of all apps are under way at a time. One more gets 503 at once. Default: 20000; as many as there are
    /// `connections`, so that only HTTP/2, whose connections carry many each, can go past it.
    pub requests: Option<At<Count>>,
    /// A request's head. Past it, 431. At least 8KiB, at most 16MiB. Default: 128KiB; cookies and tokens of single sign-on take some
    /// tens of KiB at worst, and what a client may make the server hold stays small.
    pub header_bytes: Option<At<Size>>,
    /// How many fields a request's head has. Past it, 431. At most 10000. Default: 100; browsers send twenty, proxies add ten.
    pub header_count: Option<At<Count>>,
    /// From a connection's beginning until its first request can come, where TLS or a PROXY header stands before it. Past it the
    /// connection is closed. Default: 10s, some packets there and back on the slowest links in use.
    pub handshake_time: Option<At<Duration>>,
    /// From the first byte of a request's head to its last. Past it, 408. Default: 30s; a head is a packet or two.
    pub head_timeout: Option<At<Duration>>,
    /// How long a connection may be without a request. Past it the connection is closed. Default: 75s, longer than the minute
    /// that proxies and browsers keep theirs, so that they are the ones to close it.
    pub idle_timeout: Option<At<Duration>>,
    /// Bytes per second that a client takes at least while a response waits for it, on the average of `write-timeout`. Below it
    /// the connection is closed. Default: 256, a tenth of the slowest links in use. 0 allows any.
    pub write_rate: Option<At<Size>>,
    /// Over how long `write-rate` is measured. Default: 30s; links that fail for seconds recover.
    pub write_timeout: Option<At<Duration>>,
    /// How many streams are open in one HTTP/2 connection. The client is told, and waits; one that begins more is told that the
    /// stream is refused, and may try again. Default: 200; twice what RFC 9113 recommends at least, and a page's calls fit in it.
    pub streams: Option<At<Count>>,
    /// How many requests the client of an HTTP/2 connection may take back within half a minute. Past it the connection is
    /// closed. Default: 1000; leaving a page with hundreds of pictures is far below.
    pub resets: Option<At<Count>>,
    /// How many frames of an HTTP/2 connection within half a minute may carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
    /// empty ones), beyond ten for each request, and one for each piece and each 256 bytes of a response. Past it the connection is
    /// closed. Default: 10000; each costs about as much as a small packet, and no honest client comes near.
    pub control_frames: Option<At<Count>>,
    /// How many instances of all apps there are at a time. Past it requests wait in their app's queue. At most 100000: each
    /// reserves addresses. Default: 1000; with guests of some MiB each, that fits a machine of a few GiB, and what waits queues.
    pub instances: Option<At<Count>>,
}

//! The manifest as it is written. The comments here are its reference: `docs/reference/manifest.md` and the descriptions in
//! `docs/reference/manifest.schema.json` are made from them.
//!
//! Nothing here has a meaning yet. Defaults are said here and filled in by `manifest/meaning.rs` or, where they are limits, by
//! those who keep them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::{At, Count, Duration, OneOrMany, Size, TextOr};

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
    /// Further variables of the guests' environment whose values stand elsewhere, as `NAME = { file = "..." }` or
    /// `NAME = { variable = "..." }`. Values are read when the
    /// app starts, and again when the file changes; they are never printed.
    #[serde(default)]
    pub secrets: BTreeMap<At<String>, At<Secret>>,
    /// Folders of this machine that guests see, as `"/guest/path" = "folder"`. Guests only read, unless a table says
    /// otherwise. No path leads out of a folder.
    #[serde(default)]
    pub filesystem: BTreeMap<At<String>, At<TextOr<FilesystemFolder>>>,
    /// Where the HTTP requests of guests may go. Default: nowhere.
    #[serde(default)]
    pub http_client: HttpClient,
    /// Where the sockets and name lookups of guests may go. Default: nowhere.
    #[serde(default)]
    pub sockets: Sockets,
    /// The app's own pages for errors that the server answers with, as `404 = "page.html"` for one status or
    /// `"5xx" = "page.html"` for all that begin so. The one for the status itself goes first. Clients that ask for JSON get
    /// problem details (RFC 9457) all the same. Answers of guests stay as they are.
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
    /// for itself alone.
    #[serde(default)]
    pub links: BTreeMap<At<String>, At<String>>,
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
    /// 20 ms at most: that is no burst, but more than can be done. Default: 5s; whoever waits longer has most likely gone.
    pub queue_time: Option<At<Duration>>,
    /// From a request's arrival until its response begins. Past it the request gets 504 and its work ends. Default: 30s, what
    /// most proxies wait.
    pub response_time: Option<At<Duration>>,
    /// How long a guest may go on working after its response has ended. Past it its instance is dropped. Default: 30s.
    pub background_time: Option<At<Duration>>,
    /// The body of one request. Past it, 413. Default: 1GiB; bodies are never held in full, so this bounds time and traffic,
    /// not memory.
    pub body: Option<At<Size>>,
    /// Bytes per second of a request's body that arrive at least while the guest waits for them, once it has waited for ten
    /// seconds in all. Below it, 408. Default: 256, a tenth of the slowest links in use. 0 allows any.
    pub body_rate: Option<At<Size>>,
    /// How long a guest waits for the next piece of a request's body. Past it, 408. Default: 30s.
    pub body_idle_time: Option<At<Duration>>,
    /// How many requests one instance answers under `isolation = "serial"`, before a fresh one takes its place: what leaks in a
    /// guest is given back. Default: 10000; a guest that leaks 10 KiB a request stays below 100 MiB.
    pub reuse: Option<At<Count>>,
    /// How many connections the outgoing HTTP requests of one component may have open at a time: over HTTP/1.1, that many
    /// requests; over HTTP/2 a connection carries several. Further requests wait. Default: 1024.
    pub outgoing: Option<At<Count>>,
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
    /// How long a client may take to answer a ping. Past it the connection is over. Default: 30s.
    pub pong_time: Option<At<Duration>>,
    /// How long a client may take to close a connection that the guest has closed. Past it the connection ends without it.
    /// Default: 10s.
    pub close_time: Option<At<Duration>>,
    /// How long guests may go on sending once the server stops, or once their app was replaced by another version; then
    /// connections are closed with 1012, and clients come again. Default: 5s, well within `drain-timeout`.
    pub restart_time: Option<At<Duration>>,
}

/// Where a secret's value is: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Secret {
    /// The file whose content is the value, without the line's end at its end.
    pub file: Option<At<String>>,
    /// The variable of the server's own environment that holds the value.
    pub variable: Option<At<String>>,
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

/// Where HTTP requests of guests may go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpClient {
    /// What may be reached, each as a name, `*.NAME`, an address or `NETWORK/BITS`, then `:PORT` or nothing, with `http://` or
    /// `https://` before it or nothing. A name does not reach private addresses, whatever it resolves to: those are granted
    /// as addresses. `*` allows everything, this machine included. What is not allowed fails with
    /// `HTTP-request-denied`.
    #[serde(default)]
    pub allow: Vec<At<String>>,
    /// Files of certificates (PEM) to trust beside the system's and Mozilla's.
    #[serde(default)]
    pub trust: Vec<At<String>>,
}

/// Where sockets and name lookups of guests may go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sockets {
    /// What may be reached, as for `[http-client]` and without a scheme. What is not allowed fails with `access-denied`.
    #[serde(default)]
    pub allow: Vec<At<String>>,
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
    /// Where it listens: `HOST:PORT`, or a list of them. Port 0 picks a free one. Default: `127.0.0.1:8080`, which this machine
    /// alone reaches.
    pub listen: Option<At<OneOrMany>>,
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
    /// they are cut off. Default: 30s, what orchestrators grant between SIGTERM and SIGKILL.
    pub drain_timeout: Option<At<Duration>>,
    /// What connections and all apps together may use.
    #[serde(default)]
    pub limits: ServerLimits,
}

/// What connections and all apps together may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServerLimits {
    /// How many connections are open at a time. One more takes the place of the one that has been without a request for the
    /// longest time; where all have requests, it gets 503 and is closed. Default: 20000; one that waits costs about
    /// 10 KiB. Never more than nine tenths of the files that the system lets the server open.
    pub connections: Option<At<Count>>,
    /// The same for one client's address. Default: half of `connections`: no client alone keeps others out, and a proxy in
    /// front has enough.
    pub connections_per_client: Option<At<Count>>,
    /// How many requests one connection carries before it is closed, so that clients spread anew over servers and cores.
    /// Default: 100000.
    pub requests_per_connection: Option<At<Count>>,
    /// How many requests of all apps are under way at a time. One more gets 503 at once. Default: 20000.
    pub requests: Option<At<Count>>,
    /// A request's head. Past it, 431. At least 8KiB, at most 16MiB. Default: 128KiB.
    pub header_bytes: Option<At<Size>>,
    /// How many fields a request's head has. Past it, 431. At most 10000. Default: 100; browsers send twenty, proxies add ten.
    pub header_count: Option<At<Count>>,
    /// From the first byte of a request's head to its last. Past it, 408. Default: 30s; a head is a packet or two.
    pub head_timeout: Option<At<Duration>>,
    /// How long a connection may be without a request. Past it the connection is closed. Default: 75s, longer than the minute
    /// that proxies and browsers keep theirs, so that they are the ones to close it.
    pub idle_timeout: Option<At<Duration>>,
    /// Bytes per second that a client takes at least while a response waits for it, on the average of `write-timeout`. Below it
    /// the connection is closed. Default: 256, a tenth of the slowest links in use.
    pub write_rate: Option<At<Size>>,
    /// Over how long `write-rate` is measured. Default: 30s; links that fail for seconds recover.
    pub write_timeout: Option<At<Duration>>,
    /// How many streams are open in one HTTP/2 connection. The client is told, and waits. Default: 200.
    pub streams: Option<At<Count>>,
    /// How many requests the client of an HTTP/2 connection may take back within half a minute. Past it the connection is
    /// closed. Default: 1000; leaving a page with hundreds of pictures is far below.
    pub resets: Option<At<Count>>,
    /// How many instances of all apps there are at a time. Past it requests wait in their app's queue. At most 100000: each
    /// reserves addresses. Default: 1000.
    pub instances: Option<At<Count>>,
}

//! Serving and calling over HTTP.
//!
//! Cases are data; what one subject needs to know of HTTP is in its one `check`. Most run once per isolation and
//! protocol (`axes.rs`), because nothing of what they check may depend on either.

mod app;
mod axes;
mod certificates;
mod client;
mod operator;
mod stores;
mod tunnel;
mod witness;

/// Certificates from an authority.
mod acme;
/// `--admin`: what the server tells of itself.
mod admin;
/// Content in both directions: whole, streamed, held back.
mod bodies;
/// The pages of the examples, in a browser.
mod browser;
/// The app's cache, in memory and in Redis.
mod cache;
/// Clients that leave.
mod cancel;
/// `wasi:config`.
mod config;
/// Conformance and request smuggling over HTTP/1.1.
mod corpus;
/// SIGTERM, and logs that nobody reads.
mod drain;
/// Environment, standard streams, files.
mod environment;
/// The example services, as their READMEs say.
mod examples;
/// What a failing guest looks like from outside, and in the log.
mod failures;
/// `fields`, `request-options` and the parts of messages, function by function.
mod fields;
/// Files of an app, answered without its guest.
mod files;
/// Where and how connections come in: TLS, Unix sockets, sockets that are handed over, proxies in front.
mod front;
/// HTTP/2, frame by frame.
mod http2;
/// Which requests meet in one instance, and what one of them does to the others.
mod isolation;
/// `wasi:keyvalue`: three shapes, three places for entries.
mod keyvalue;
/// WASI 0.2.
mod legacy;
/// Each limit, broken: what the client gets, what is counted, what is said.
mod limits;
/// Components with instances of their own.
mod linked;
/// `wasi:logging`.
mod logging;
/// Content that is none, over HTTP/1.1.
mod malformed;
/// `--middleware`.
mod middleware;
/// Calls that guests make.
mod outgoing;
/// Everything that takes time, in one instance at once.
mod overlap;
/// HTTP itself: connections, framing, methods, statuses, requests that are none.
mod protocol;
/// The ways to a Redis server.
mod redis;
/// Manifests that change, components that are replaced, under load and wrongly.
mod reload;
/// Many apps behind one address: hosts, paths, methods, error pages, apps that are broken.
mod routes;
/// Secrets in an encrypted file.
mod secrets;
/// Crowds of slow clients.
mod slow;
/// Databases, through `wharf:sql`.
mod sql;
/// Responses that come while they are made, and event streams.
mod streaming;
/// Certificates of the server and of clients.
mod tls;
/// Trailers, both ways.
mod trailers;
/// Services of WASI 0.3.0.
mod version;
/// WebSockets: handshakes, isolation, limits, ends.
mod websocket;

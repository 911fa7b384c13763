//! Names to addresses, for everything that leaves the machine.
//!
//! Nothing is decided here: `allow.rs` is asked about each address at the moment of its use. What was answered is kept
//! for a while in `resolve/cached.rs`.

mod cached;

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;
use wharf_host::capability::{BoxFuture, LookupError};

pub use cached::CachedResolver;

/// How many lookups may wait for the system's resolver at once; more of them queue.
///
/// Each occupies a thread of the pool that files are read with as well. A resolver that stopped answering then leaves
/// most of that pool (512 threads) to the rest of the server.
const LOOKUPS_MAX: usize = 64;

/// Looks up names.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `name`, in the order in which they should be tried.
    fn resolve(&self, name: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>>;

    /// None of the addresses of `name` could be connected to: what is kept of them may be old.
    fn forget(&self, name: &str) {
        let _ = name;
    }
}

/// The system's resolver, with what it answers kept for a while. One for each app: an app cannot tell from how long a
/// lookup takes what others have looked up.
pub fn standard() -> Arc<dyn Resolve> {
    Arc::new(CachedResolver::new(Arc::new(SystemResolver::default())))
}

/// The system's resolver: its hosts file, its name servers, its order of addresses.
#[derive(Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        let (lookups, name) = (self.lookups.clone(), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await;
            let lookup = tokio::task::spawn_blocking(move || {
                // Held by the thread, not by whoever waits for it: who stops waiting does not end the lookup.
                let _permit = permit;
                (name.as_str(), 0).to_socket_addrs()
            });
            match lookup.await {
                Ok(Ok(addresses)) => Ok(addresses.map(|address| address.ip().to_canonical()).collect()),
                Ok(Err(error)) => Err(failure(&error)),
                // The runtime is shutting down.
                Err(_) => Err(LookupError::TemporaryResolverFailure),
            }
        })
    }
}

/// The standard library hands on `getaddrinfo`'s result as text only; these are the texts of glibc, musl and macOS.
fn failure(error: &io::Error) -> LookupError {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if error.raw_os_error().is_some() || says(&["Temporary failure", "Try again", "temporary"]) {
        LookupError::TemporaryResolverFailure
    } else if says(&["Non-recoverable", "Unrecoverable"]) {
        LookupError::PermanentResolverFailure
    } else {
        LookupError::NameUnresolvable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_has_loopback_addresses() {
        let addresses = SystemResolver::default().resolve("localhost").await.unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[test]
    fn what_the_resolver_says_is_understood() {
        #[track_caller]
        fn check(text: &str, expected: LookupError) {
            assert_eq!(
                failure(&io::Error::other(format!(
                    "failed to lookup address information: {text}"
                ))),
                expected
            );
        }
        check("Name or service not known", LookupError::NameUnresolvable);
        check("No address associated with hostname", LookupError::NameUnresolvable);
        check("Name does not resolve", LookupError::NameUnresolvable);
        check(
            "nodename nor servname provided, or not known",
            LookupError::NameUnresolvable,
        );
        check(
            "Temporary failure in name resolution",
            LookupError::TemporaryResolverFailure,
        );
        check("Try again", LookupError::TemporaryResolverFailure);
        check(
            "Non-recoverable failure in name resolution",
            LookupError::PermanentResolverFailure,
        );
        check("Unrecoverable error", LookupError::PermanentResolverFailure);
        assert_eq!(
            failure(&io::Error::from_raw_os_error(24)),
            LookupError::TemporaryResolverFailure
        );
    }
}

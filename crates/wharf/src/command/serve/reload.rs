//! Reads all anew when told to, and when something that was read has changed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use wharf_server::{Apps, Deployment, Outcome, Reloaded, Tls};

use super::{say_refused, tls};
use crate::command::dev::Session;
use crate::notify;

/// How often it is looked whether something that was read has changed.
const LOOK: Duration = Duration::from_millis(500);

/// What is being written is read once it looks as it did before, or once this has passed: one file that somebody writes again and
/// again keeps no other app from changing, and half a file is only refused, until it is whole.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// Starts [`reload`]; it ends with what this returns.
pub(super) fn reload_when_told(
    deployment: Deployment,
    apps: Apps,
    tls: Option<Tls>,
    session: Option<Arc<Session>>,
) -> io::Result<mpsc::Sender<()>> {
    let (tell, told) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("wharf-reload".into()).spawn(move || {
        let _runtime = runtime.enter();
        reload(deployment, &apps, tls.as_ref(), session.as_deref(), &told);
    })?;
    Ok(tell)
}

/// Reads all anew when told to, and when something that was read has changed. In a thread of its own: reading and compiling
/// take their time.
fn reload(
    mut deployment: Deployment,
    apps: &Apps,
    tls: Option<&Tls>,
    session: Option<&Session>,
    told: &mpsc::Receiver<()>,
) {
    let mut before = deployment.look();
    let mut stale_since: Option<Instant> = None;
    loop {
        let told = match told.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        let now = deployment.look();
        let is_stale = deployment.is_stale(&now);
        stale_since = is_stale.then(|| stale_since.unwrap_or_else(Instant::now));
        let has_settled = stale_since.is_some_and(|since| now == before || since.elapsed() > SETTLE_MAX);
        if told || has_settled || deployment.has_news() {
            notify::reloading();
            if told {
                deployment.forget_failures();
            }
            // What breaks here breaks no request, and the next reload may go well.
            let loaded = catch_unwind(AssertUnwindSafe(|| deployment.reload()));
            let loaded =
                loaded.unwrap_or_else(|_| Err("reading everything anew broke off; the reason is above".to_owned()));
            let news = session.map(|_| news(&loaded));
            notify::ready(&take(apps, tls, loaded));
            // What pages are told of is there by now.
            if let (Some(session), Some((trouble, changed))) = (session, news) {
                session.loaded(trouble, changed);
            }
            stale_since = None;
        }
        before = now;
    }
}

/// What those who develop are to know of a reload: what could not be taken, and whether anything else is served than before.
fn news(loaded: &Result<Reloaded, String>) -> (Option<String>, bool) {
    match loaded {
        Ok(loaded) => (trouble(loaded), !(loaded.changed.is_empty() && loaded.gone.is_empty())),
        Err(trouble) => (Some(trouble.clone()), false),
    }
}

/// What could not be taken, in one text.
pub(super) fn trouble(loaded: &Reloaded) -> Option<String> {
    let said: Vec<&str> = loaded.refused.iter().map(|(_, trouble)| trouble.as_str()).collect();
    (!said.is_empty()).then(|| said.join("\n\n"))
}

/// Serves what a reload has made, and says what it came to.
fn take(apps: &Apps, tls: Option<&Tls>, loaded: Result<Reloaded, String>) -> String {
    match loaded {
        Ok(mut loaded) => {
            say_refused(&loaded);
            let is_whole = tls::replace(tls, loaded.tls.take()) && loaded.refused.is_empty();
            let (changed, gone, late) = (loaded.changed.join(" "), loaded.gone.join(" "), loaded.late.join(" "));
            tracing::info!(changed, gone, late, refused = loaded.refused.len(), "reloaded");
            if loaded.settings_changed {
                tracing::warn!(
                    "`[server]` has changed, which is read at the start only: start the server anew for that"
                );
            }
            apps.replace(loaded.apps);
            // Whoever sees it counted meets what it has changed.
            let (outcome, said) = match (is_whole, late.is_empty()) {
                (false, _) => (Outcome::Refused, refused(&loaded.refused)),
                (true, false) => (Outcome::Late, format!("Reloaded; being compiled: {late}")),
                (true, true) => (Outcome::Taken, "Reloaded".to_owned()),
            };
            apps.reloaded(outcome, loaded.refused);
            said
        }
        Err(trouble) => {
            tracing::error!("not reloaded, everything is served as before\n{trouble}");
            // Certificates expire, whatever somebody is writing elsewhere.
            tls::replace(tls, None);
            let first = trouble.lines().next().unwrap_or_default();
            let said = format!("Not reloaded, everything is served as before: {first}");
            apps.reloaded(Outcome::Refused, vec![(String::new(), trouble)]);
            said
        }
    }
}

/// What those who run the server read of it at a glance; all of it is in the log.
fn refused(apps: &[(String, String)]) -> String {
    match apps {
        [] => "Reloaded, but for certificates, which are used as before".to_owned(),
        apps => {
            let names: Vec<&str> = apps.iter().map(|(name, _)| name.as_str()).collect();
            format!("Reloaded, but for what cannot be taken as it is: {}", names.join(" "))
        }
    }
}

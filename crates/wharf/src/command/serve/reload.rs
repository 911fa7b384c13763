//! Reads all anew when told to, and when something that was read has changed.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use wharf_server::{Apps, Deployment, Reloaded};

use super::tls::Live;
use super::{say_refused, tls};
use crate::notify;

/// How often it is looked whether something that was read has changed.
const LOOK: Duration = Duration::from_millis(500);

/// Starts [`reload`]; it ends with what this returns.
pub(super) fn reload_when_told(deployment: Deployment, apps: Apps, tls: Live) -> io::Result<mpsc::Sender<()>> {
    let (tell, told) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("wharf-reload".into()).spawn(move || {
        let _runtime = runtime.enter();
        reload(deployment, &apps, &tls, &told);
    })?;
    Ok(tell)
}

/// Reads all anew when told to, and when something that was read has changed. In a thread of its own: reading and compiling
/// take their time.
fn reload(mut deployment: Deployment, apps: &Apps, tls: &Live, told: &mpsc::Receiver<()>) {
    let mut before = deployment.look();
    loop {
        let told = match told.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(mpsc::RecvTimeoutError::Timeout) => false,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        let now = deployment.look();
        // What is being written is read once it looks as it did before.
        if told || (deployment.is_stale(&now) && now == before) {
            notify::reloading();
            if told {
                deployment.forget_failures();
            }
            take(apps, tls, deployment.reload());
            notify::ready();
        }
        before = now;
    }
}

/// Serves what a reload has made.
fn take(apps: &Apps, tls: &Live, loaded: Result<Reloaded, String>) {
    match loaded {
        Ok(mut loaded) => {
            say_refused(&loaded);
            let is_whole = tls::replace(tls, loaded.tls.take()) && loaded.refused.is_empty();
            let (changed, gone) = (loaded.changed.join(" "), loaded.gone.join(" "));
            tracing::info!(changed, gone, refused = loaded.refused.len(), "reloaded");
            if loaded.settings_changed {
                tracing::warn!(
                    "`[server]` has changed, which is read at the start only: start the server anew for that"
                );
            }
            apps.reloaded(is_whole);
            apps.replace(loaded.apps);
        }
        Err(trouble) => {
            tracing::error!("not reloaded, everything is served as before\n{trouble}");
            // Certificates expire, whatever somebody is writing elsewhere.
            tls::replace(tls, None);
            apps.reloaded(false);
        }
    }
}

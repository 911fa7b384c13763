//! Who may be connected: so many in all, so many from one address.
//!
//! A connection without a request is the one that can be spared. When all places are taken, those that have been without
//! one for the longest time make room: clients that hold connections open and say nothing, or take forever to say it, keep
//! nobody out. Looked at when a connection begins or ends, and once a second for clients that hold an instance that others
//! wait for; a request never waits for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use crate::app::App;
use crate::connection::activity::Activity;
use crate::door::Door;
use crate::limits::{Limit, ServerLimits};

/// Of a hundred connections one goes when room is needed, so that looking for them costs each newcomer little.
const EVICTED_PART: usize = 100;

/// A connection that is younger than this, or had a request less than this ago, goes only where no other can, and one at a time: its
/// first byte is on its way. As long as the farthest clients take for a packet there and back, several times.
const GRACE: Duration = Duration::from_secs(1);

/// The places of a server.
pub(crate) struct Places {
    connections_max: usize,
    per_client_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// All connections, also those that were told to make room and have not gone yet.
    all: Slab<Connected>,
    /// Those that were not told so: in all, and of each client.
    staying: usize,
    of_client: HashMap<IpAddr, usize>,
}

struct Connected {
    /// `None` while it is not known, and for those that have no address.
    client: Option<IpAddr>,
    activity: Arc<Activity>,
    /// It was told to make room, and is not counted any more.
    leaving: bool,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    door: Arc<Door>,
    key: usize,
}

impl Places {
    pub fn new(limits: &ServerLimits) -> Self {
        Self {
            connections_max: limits.connections_max,
            per_client_max: limits.connections_per_client_max,
            taken: Mutex::default(),
        }
    }

    /// Breaks off responses of `app`'s that their clients do not take.
    pub fn close_untaken(&self, app: &App) {
        let taken = self.taken();
        for (_, connected) in &taken.all {
            connected.activity.break_off_untaken(app.key());
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes per second that a client sends or takes at least while others wait for the instance that waits for it. A tenth of
/// what the slowest links in use carry.
const SLOW_BYTES: u64 = 1024;

/// How often it is looked for such clients, so that the number above is one per second.
const LOOK: Duration = Duration::from_secs(1);

/// Ends requests that hold an instance and wait for a slow client, as long as others wait for an instance: those of the same
/// app, and all where the pool is empty. Never ends.
pub(crate) async fn make_room(door: &Door) {
    loop {
        tokio::time::sleep(LOOK).await;
        let apps = door.apps();
        let waiting: Vec<(usize, usize)> = apps.all.iter().map(|app| (app.key(), app.waiting())).collect();
        let mut wanted: usize = waiting.iter().map(|(_, waiting)| waiting).sum();
        if wanted == 0 {
            continue;
        }
        let pool_is_empty = apps.all.iter().any(App::waits_for_pool);
        let waits = |app: usize| waiting.iter().any(|&(key, waiting)| key == app && waiting > 0);
        let taken = door.places.taken();
        for (_, connected) in &taken.all {
            let activity = &connected.activity;
            // Looked at whether or not it can go: a look compares with the one before.
            let slow = activity.is_slow(SLOW_BYTES) && !activity.is_evicted();
            if slow && wanted > 0 && (pool_is_empty || waits(activity.app())) {
                wanted -= 1;
                door.metrics.reached(Limit::SlowClients);
                activity.evict_for_slowness();
            }
        }
    }
}

impl Place {
    /// A place for a connection of `client`'s, or the limit that it meets. Without an address it is one of all, and nobody's.
    pub fn take(door: &Arc<Door>, client: Option<IpAddr>, activity: Arc<Activity>) -> Result<Self, Limit> {
        let places = &door.places;
        let mut taken = places.taken();
        if let Some(client) = client {
            taken.make_room_for(client, door)?;
        }
        if taken.staying >= places.connections_max {
            door.metrics.reached(Limit::Connections);
            let made_room = taken.evict(None);
            door.metrics.was_short_of_places(made_room.is_some());
            made_room.ok_or(Limit::Connections)?;
        }
        let key = taken.insert(Connected {
            client,
            activity,
            leaving: false,
        });
        drop(taken);
        Ok(Self {
            door: door.clone(),
            key,
        })
    }

    /// It has turned out whose it is. Said once, of a place that was taken without an address.
    pub fn belongs_to(&self, client: IpAddr) -> Result<(), Limit> {
        let mut taken = self.door.places.taken();
        taken.make_room_for(client, &self.door)?;
        let connected = &mut taken.all[self.key];
        connected.client = Some(client);
        // One that has to go is not counted any more.
        if !connected.leaving {
            *taken.of_client.entry(client).or_default() += 1;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.places.taken().remove(self.key);
    }
}

impl Taken {
    /// As far as the limit for one client asks for it.
    fn make_room_for(&mut self, client: IpAddr, door: &Door) -> Result<(), Limit> {
        let of_client = self.of_client.get(&client);
        if of_client.is_some_and(|&count| count >= door.places.per_client_max) {
            door.metrics.reached(Limit::ConnectionsPerClient);
            let made_room = self.evict(Some(client));
            door.metrics.was_short_of_places(made_room.is_some());
            made_room.ok_or(Limit::ConnectionsPerClient)?;
        }
        Ok(())
    }

    fn insert(&mut self, connected: Connected) -> usize {
        self.staying += 1;
        if let Some(client) = connected.client {
            *self.of_client.entry(client).or_default() += 1;
        }
        self.all.insert(connected)
    }

    fn remove(&mut self, key: usize) {
        let connected = self.all.remove(key);
        if !connected.leaving {
            self.discount(connected.client);
        }
    }

    fn discount(&mut self, client: Option<IpAddr>) {
        self.staying -= 1;
        let Some(client) = client else { return };
        if let Some(count) = self.of_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&client);
            }
        }
    }

    /// Tells connections to go that have had no request for the longest time, of `client` or of all; `None` where none can
    /// be spared.
    fn evict(&mut self, client: Option<IpAddr>) -> Option<()> {
        let theirs = |connected: &Connected| client.is_none_or(|client| connected.client == Some(client));
        let staying = self.all.iter().filter(|(_, connected)| !connected.leaving);
        let mut spare: Vec<_> = staying
            .filter(|(_, connected)| theirs(connected))
            .filter_map(|(key, connected)| Some((connected.activity.idle()?, key)))
            .collect();
        let last = spare.len().checked_sub(1)?;
        let nth = (self.staying / EVICTED_PART).min(last);
        spare.select_nth_unstable_by(nth, |(one, _), (other, _)| other.cmp(one));
        spare.truncate(nth + 1);
        spare.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let others = spare.iter().skip(1).take_while(|(idle, _)| *idle >= GRACE);
        for &(_, key) in spare.iter().take(1).chain(others) {
            let connected = &mut self.all[key];
            connected.activity.evict();
            connected.leaving = true;
            let client = connected.client;
            self.discount(client);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::ProxyOptions;

    fn door(connections_max: usize) -> Arc<Door> {
        let limits = ServerLimits {
            connections_max,
            connections_per_client_max: connections_max,
            ..ServerLimits::default()
        };
        Arc::new(Door::new(limits, ProxyOptions::default(), None, None, Vec::new()))
    }

    fn take(door: &Arc<Door>) -> (Place, Arc<Activity>) {
        let activity = Arc::new(Activity::new(door.clone()));
        (Place::take(door, None, activity.clone()).unwrap(), activity)
    }

    fn evicted(connections: &[(Place, Arc<Activity>)]) -> usize {
        connections.iter().filter(|(_, activity)| activity.is_evicted()).count()
    }

    #[test]
    fn one_makes_room_where_the_first_bytes_of_all_are_on_their_way() {
        let door = door(300);
        let young: Vec<_> = (0..300).map(|_| take(&door)).collect();
        let newcomer = take(&door);
        assert_eq!(evicted(&young), 1);
        assert_eq!(evicted(&[newcomer]), 0);
    }

    #[test]
    fn a_hundredth_part_makes_room_of_those_that_have_long_been_silent() {
        let door = door(300);
        let silent: Vec<_> = (0..2).map(|_| take(&door)).collect();
        std::thread::sleep(GRACE);
        let young: Vec<_> = (0..298).map(|_| take(&door)).collect();
        let newcomer = take(&door);
        assert_eq!((evicted(&silent), evicted(&young)), (2, 0));
        assert_eq!(evicted(&[newcomer]), 0);
    }
}

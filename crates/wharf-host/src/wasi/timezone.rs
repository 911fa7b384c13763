//! `wasi:clocks/timezone`, which WASI 0.3 still marks unstable and Wasmtime leaves out.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;

use super::bindings::v3::wasi::clocks::timezone;
use crate::state::InstanceState;

pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut options = timezone::LinkOptions::default();
    options.clocks_timezone(true);
    timezone::add_to_linker::<_, HasSelf<InstanceState>>(linker, &options, |state| state)
}

impl timezone::Host for InstanceState {
    fn iana_id(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.environment.time_zone.iana_name().map(str::to_owned))
    }

    fn utc_offset(&mut self, when: Instant) -> wasmtime::Result<Option<i64>> {
        Ok(offset_nanoseconds(&self.environment.time_zone, &when))
    }

    fn to_debug_string(&mut self) -> wasmtime::Result<String> {
        let zone = &self.environment.time_zone;
        let now = zone.to_offset_info(Timestamp::now());
        let name = zone.iana_name().unwrap_or("unnamed");
        Ok(format!("{name} ({} now, {})", now.abbreviation(), now.offset()))
    }
}

/// Nanoseconds to add to UTC at `when`; none for instants that no calendar of the zone covers.
fn offset_nanoseconds(zone: &TimeZone, when: &Instant) -> Option<i64> {
    let when = Timestamp::new(when.seconds, i32::try_from(when.nanoseconds).ok()?).ok()?;
    Some(i64::from(zone.to_offset(when).seconds()) * 1_000_000_000)
}

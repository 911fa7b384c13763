//! The unstable timezone interface.

use crate::report::Report;
use crate::timezone_interface as timezone;
use crate::wasi::cli::environment::get_arguments;
use crate::wasi::clocks::system_clock::Instant;

/// Names the timezone and says how far from UTC it is at each of the given seconds since 1970.
pub async fn offsets() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    report.line(format!("iana-id {:?}", timezone::iana_id())).await;
    report.line(format!("debug {:?}", timezone::to_debug_string())).await;
    for seconds in get_arguments().iter().skip(1) {
        let instant = Instant {
            seconds: seconds.parse().unwrap(),
            nanoseconds: 0,
        };
        report
            .line(format!("offset {seconds} {:?}", timezone::utc_offset(instant)))
            .await;
    }
    report.close().await
}

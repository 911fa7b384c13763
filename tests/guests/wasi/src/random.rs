//! Random numbers.

use crate::report::Report;
use crate::wasi::random::{insecure, insecure_seed, random};

/// Says how many bytes it got for how many it asked for, and shows some of all that is random.
pub async fn bytes() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    for requested in [0, 1, 7, 32, 4096, 1 << 20, u64::MAX] {
        let secure = random::get_random_bytes(requested).len();
        let insecure = insecure::get_insecure_random_bytes(requested).len();
        report.line(format!("length {requested} {secure} {insecure}")).await;
    }
    for _ in 0..4 {
        report
            .line(format!("secure {}", hex(&random::get_random_bytes(16))))
            .await;
        report
            .line(format!("insecure {}", hex(&insecure::get_insecure_random_bytes(16))))
            .await;
        report.line(format!("secure {:x}", random::get_random_u64())).await;
        report
            .line(format!("insecure {:x}", insecure::get_insecure_random_u64()))
            .await;
    }
    let (lower, upper) = insecure_seed::get_insecure_seed();
    report.line(format!("seed {lower:x} {upper:x}")).await;
    report.close().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

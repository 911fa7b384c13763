//! Services of WASI 0.3.0: the same host serves them.

use crate::axes::{ALLOW_ALL, all};
use crate::client::{Ask, pattern};

#[test]
fn a_service_of_0_3_0_streams_both_ways_and_calls() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("v0-3-0-http-echo", &ALLOW_ALL);
        for through in [None, Some(server.addr())] {
            let sent = pattern(300_000);
            let mut ask = Ask::post("/", sent.clone()).trailer("x-sum", "1");
            if let Some(addr) = through {
                ask = ask.header("x-through", addr.to_string());
            }
            let reply = ask.over(protocol, server.addr());
            let context = format!("{isolation:?} {protocol:?} {through:?}");
            assert_eq!(reply.status, 200, "{context}");
            assert!(reply.body == sent, "{context}: {} bytes", reply.body.len());
            assert_eq!(reply.trailer("x-sum"), Some("1"), "{context}");
        }
    }
}

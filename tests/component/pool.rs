//! Who has the pool's places: instances that rest give theirs up, by and by and when somebody needs them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use wharf_host::http::Payload;
use wharf_host::{Component, Engine, EngineOptions, Isolation, Service, ServiceOptions};
use wharf_tests::eventually;
use wharf_tests::guest;

const CROWD: u64 = 20;

fn engine(instances_max: u32) -> Engine {
    Engine::new(EngineOptions {
        instances_max,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn service(engine: &Engine, name: &str, idle_timeout: Duration) -> Service {
    let options = ServiceOptions {
        idle_timeout,
        ..ServiceOptions::default()
    };
    service_with(engine, name, options)
}

fn service_with(engine: &Engine, name: &str, options: ServiceOptions) -> Service {
    let component = Component::from_file(engine, &guest(name), None).unwrap();
    let options = ServiceOptions {
        isolation: Some(Isolation::Serial),
        ..options
    };
    Service::new(&component, Arc::new([]), options).unwrap()
}

async fn answer(service: &Service, path: &str) -> http::StatusCode {
    let request = http::Request::builder().uri(path).header("host", "localhost");
    let response = service
        .handle(request.body(Payload::from(Bytes::new())).unwrap())
        .await
        .unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

/// So many requests at the same moment: each in an instance of its own.
async fn crowd(service: &Service, requests: u64) {
    let requests = (0..requests).map(|_| async { assert_eq!(answer(service, "/?delay=300").await, 200) });
    futures_util::future::join_all(requests).await;
}

fn instances(engine: &Engine) -> u64 {
    engine.pool_usage().unwrap().instances
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_rest_are_given_back() {
    let engine = engine(100);
    let service = service(&engine, "http-slow", Duration::from_millis(500));
    crowd(&service, CROWD).await;
    assert_eq!(instances(&engine), CROWD, "they are kept for the next requests");
    assert_eq!(engine.pool_usage().unwrap().kept_bytes, 0);
    eventually(|| instances(&engine) == 0, "they are gone");
    let kept = engine.pool_usage().unwrap().kept_bytes as u64;
    assert!(
        kept >= CROWD * (4 << 10),
        "what they dirtied stays resident: {kept} bytes"
    );
    // Whoever looks after them ended with the last; the next is looked after again.
    crowd(&service, 1).await;
    assert_eq!(instances(&engine), 1);
    eventually(|| instances(&engine) == 0, "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_rest_than_may() {
    let engine = engine(100);
    let options = ServiceOptions {
        idle_max: 5,
        ..ServiceOptions::default()
    };
    let service = service_with(&engine, "http-slow", options);
    crowd(&service, CROWD).await;
    assert_eq!((instances(&engine), service.usage().idle), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_has_a_limit() {
    let engine = Engine::new(EngineOptions {
        instances_max: 100,
        kept_bytes_max: 0,
        ..EngineOptions::default()
    })
    .unwrap();
    let service = service(&engine, "http-slow", Duration::ZERO);
    crowd(&service, CROWD).await;
    eventually(|| instances(&engine) == 0, "they are gone");
    assert_eq!(engine.pool_usage().unwrap().kept_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn resting_instances_make_room_for_other_services() {
    let engine = engine(4);
    let forever = Duration::from_secs(3600);
    let (first, second) = (
        service(&engine, "http-slow", forever),
        service(&engine, "http-hello", forever),
    );
    crowd(&first, 4).await;
    assert_eq!(instances(&engine), 4);
    assert_eq!(answer(&second, "/").await, 200);
    assert_eq!(instances(&engine), 4, "one of the first's made room for the second's");
    crowd(&first, 4).await;
    assert_eq!(answer(&second, "/").await, 200);
}

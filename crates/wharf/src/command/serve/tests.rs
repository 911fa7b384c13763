//! What texts say of defaults is what the defaults are.

use std::path::Path;
use std::time::Duration;

use clap::CommandFactory as _;
use serde_json::Value;
use wharf_host::EngineOptions;
use wharf_server::manifest::{self, Sections, value};
use wharf_server::{ListenOn, RequestLimits, ServerLimits, ServerOptions, SocketLimits};

use crate::cli::Cli;
use crate::kinds::Kinds;

/// What a manifest's reference gives as the default of a limit, up to the first mark that cannot be part of it.
fn documented(section: &str, key: &str) -> String {
    let schema: Value = serde_json::from_str(&manifest::schema(&Sections::default())).unwrap();
    let description = &schema["$defs"][section]["properties"][key]["description"];
    let description = description.as_str().unwrap_or_else(|| panic!("{section}.{key}"));
    let (_, default) = description
        .split_once("Default: ")
        .unwrap_or_else(|| panic!("{section}.{key}"));
    default
        .split([',', ';', ':', ' '])
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

#[track_caller]
fn check_duration(section: &str, key: &str, default: Duration) {
    assert_eq!(
        value::duration(&documented(section, key)),
        Ok(default),
        "{section}.{key}"
    );
}

#[track_caller]
fn check_number(section: &str, key: &str, default: u64) {
    let text = documented(section, key);
    let number = text.parse().or_else(|_| value::size(&text));
    assert_eq!(number, Ok(default), "{section}.{key}: {text}");
}

#[test]
fn the_reference_says_what_the_defaults_of_an_app_are() {
    let (limits, service) = (wharf_host::Limits::default(), wharf_host::ServiceOptions::default());
    let requests = RequestLimits::default();
    check_number("Limits", "memory", limits.memory_bytes_max as u64);
    check_number("Limits", "descriptors", limits.descriptors_max as u64);
    check_duration("Limits", "cpu-time", limits.cpu_time_max);
    check_number("Limits", "requests", service.requests_max as u64);
    check_number("Limits", "queue", limits.queue_length_max as u64);
    check_duration("Limits", "queue-time", limits.queue_timeout);
    check_duration("Limits", "response-time", limits.response_timeout);
    check_duration("Limits", "background-time", limits.background_timeout);
    check_number("Limits", "body", requests.body_bytes_max);
    check_number("Limits", "body-rate", requests.body_rate_min);
    check_duration("Limits", "body-idle-time", requests.body_idle_timeout);
    check_number("Limits", "reuse", service.reuse_max.into());
    check_duration("Limits", "idle-time", service.idle_timeout);
}

#[test]
fn the_reference_says_what_the_defaults_of_websockets_are() {
    let sockets = SocketLimits::default();
    check_number("Websocket", "sockets", sockets.sockets_max as u64);
    check_number("Websocket", "message", sockets.message_bytes_max as u64);
    check_number("Websocket", "rate", sockets.messages_per_second_max.into());
    check_duration("Websocket", "idle-time", sockets.idle_timeout);
    check_duration("Websocket", "ping-time", sockets.ping_interval);
    check_duration("Websocket", "pong-time", sockets.pong_timeout);
    check_duration("Websocket", "close-time", sockets.close_timeout);
    check_duration("Websocket", "restart-time", sockets.restart_timeout);
    let opened = wharf_host::OpenedSocketLimits::default();
    check_number("OpenedWebsocket", "message", opened.message_bytes_max as u64);
    check_duration("OpenedWebsocket", "idle-time", opened.idle_timeout);
    check_duration("OpenedWebsocket", "ping-time", opened.ping_interval);
    check_duration("OpenedWebsocket", "pong-time", opened.pong_timeout);
    check_duration("OpenedWebsocket", "close-time", opened.close_timeout);
}

#[test]
fn the_reference_says_what_the_defaults_of_a_server_are() {
    let (limits, options) = (ServerLimits::default(), ServerOptions::default());
    check_duration("Server", "drain-timeout", options.drain_timeout);
    check_number("ServerLimits", "connections", limits.connections_max as u64);
    assert_eq!(limits.connections_per_client_max, limits.connections_max.div_ceil(2));
    check_number(
        "ServerLimits",
        "requests-per-connection",
        limits.requests_per_connection_max,
    );
    check_number("ServerLimits", "requests", limits.requests_max as u64);
    check_number("ServerLimits", "header-bytes", limits.head_bytes_max as u64);
    check_number("ServerLimits", "header-count", limits.head_fields_max as u64);
    check_duration("ServerLimits", "handshake-time", limits.handshake_timeout);
    check_duration("ServerLimits", "head-timeout", limits.head_timeout);
    check_duration("ServerLimits", "idle-timeout", limits.idle_timeout);
    check_number("ServerLimits", "write-rate", limits.write_rate_min);
    check_duration("ServerLimits", "write-timeout", limits.write_timeout);
    check_number("ServerLimits", "streams", limits.streams_max.into());
    check_number("ServerLimits", "resets", limits.resets_max.into());
    check_number("ServerLimits", "control-frames", limits.control_frames_max.into());
    check_number(
        "ServerLimits",
        "instances",
        EngineOptions::default().instances_max.into(),
    );
}

#[test]
fn help_says_what_the_defaults_are() {
    let (limits, server) = (wharf_host::Limits::default(), ServerLimits::default());
    let mut command = Cli::command();
    let serve = command.find_subcommand_mut("serve").unwrap();
    let default = |flag: &str| {
        let flag = serve
            .get_arguments()
            .find(|argument| argument.get_long() == Some(flag))
            .unwrap();
        let help = flag.get_help().unwrap().to_string();
        let (_, default) = help.split_once("[default: ").unwrap();
        default.trim_end_matches(']').to_owned()
    };
    let durations = [
        ("drain-timeout", ServerOptions::default().drain_timeout),
        ("head-timeout", server.head_timeout),
        ("idle-timeout", server.idle_timeout),
        ("max-cpu-time", limits.cpu_time_max),
        ("timeout", limits.response_timeout),
        ("queue-timeout", limits.queue_timeout),
        ("background-timeout", limits.background_timeout),
    ];
    for (flag, expected) in durations {
        assert_eq!(value::duration(&default(flag)), Ok(expected), "--{flag}");
    }
    assert_eq!(value::size(&default("max-memory")), Ok(limits.memory_bytes_max as u64));
    let instances = EngineOptions::default().instances_max.to_string();
    assert_eq!(default("max-instances"), instances);
    assert_eq!(ServerOptions::default().listen.len(), 1);
    assert!(
        matches!(ServerOptions::default().listen[0].on, ListenOn::Tcp(addr) if addr.to_string() == default("addr"))
    );
}

#[test]
fn the_documentation_is_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let kinds = Kinds::new(wharf_capabilities::kinds());
    let sections = kinds.sections();
    let schema = manifest::schema(sections);
    for (file, expected) in [
        ("manifest.md", manifest::reference(sections)),
        ("manifest.schema.json", schema),
    ] {
        let present = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            present == expected,
            "docs/reference/{file} is not up to date: run `cargo xtask docs`"
        );
    }
}

#[test]
fn the_examples_of_the_reference_are_manifests() {
    let kinds = Kinds::new(wharf_capabilities::kinds());
    let page = manifest::reference(kinds.sections());
    let examples = page.split("```toml\n").skip(1);
    let examples: Vec<&str> = examples.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    let folder = std::env::temp_dir().join(format!("wharf-examples-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("apps")).unwrap();
    for example in examples {
        std::fs::write(folder.join(manifest::FILE_NAME), example).unwrap();
        let read = manifest::read(&folder, kinds.sections());
        assert!(read.is_ok(), "{}\n{example}", read.err().unwrap());
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_start_that_takes_long_is_told_and_another_is_not() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut told = 0;
        assert_eq!(super::patiently(std::future::ready(1), || told += 1).await, 1);
        assert_eq!(told, 0);
        let (tell, asked) = tokio::sync::oneshot::channel();
        // It ends only once it was told.
        let done = super::patiently(asked, || tell.send(2).unwrap()).await;
        assert_eq!(done, Ok(2));
    });
}

//! A guest that makes the filesystem calls its arguments name, one call and one line of result per argument.
//!
//! `NAME=open-at DIRECTORY PATH FLAG…` keeps the descriptor under NAME; preopened directories are known by their path.
//! A test is then a table of calls and of what each must give.

use crate::report::Report;
use crate::text::{kebab, outcome, received, words};
use crate::wasi::cli::environment::get_arguments;
use crate::wasi::clocks::system_clock::Instant;
use crate::wasi::filesystem::preopens;
use crate::wasi::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorStat, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags,
    PathFlags,
};
use crate::wit_stream;
use std::collections::HashMap;
use wit_bindgen::StreamResult;

type Answer = Result<String, ErrorCode>;

/// Descriptors by name.
struct Descriptors(HashMap<String, Descriptor>);

impl Descriptors {
    fn get(&self, name: &str) -> &Descriptor {
        self.0.get(name).unwrap_or_else(|| panic!("no descriptor {name}"))
    }
}

pub async fn calls() -> Result<(), ()> {
    let mut report = Report::on_stdout();
    let mut descriptors = Descriptors(HashMap::new());
    for (directory, name) in preopens::get_directories() {
        descriptors.0.insert(name, directory);
    }
    for call in get_arguments().iter().skip(1) {
        let line = make(&mut descriptors, call).await;
        report.line(line).await;
    }
    report.close().await
}

async fn make(descriptors: &mut Descriptors, call: &str) -> String {
    let (name, call) = match call.split_once('=') {
        Some((name, call)) => (Some(name), call),
        None => (None, call),
    };
    let words = words(call);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["preopens"] => {
            let mut names: Vec<String> = preopens::get_directories().into_iter().map(|(_, name)| name).collect();
            names.sort();
            format!("ok {}", names.join(" "))
        }
        ["open-at", directory, path, flags @ ..] => match open_at(descriptors.get(directory), path, flags).await {
            Ok(descriptor) => {
                if let Some(name) = name {
                    descriptors.0.insert(name.to_owned(), descriptor);
                }
                "ok".to_owned()
            }
            Err(code) => format!("err {}", kebab(code)),
        },
        ["close", name] => {
            descriptors.0.remove(*name);
            "ok".to_owned()
        }
        ["is-same-object", one, other] => {
            let same = descriptors.get(one).is_same_object(descriptors.get(other)).await;
            format!("ok {same}")
        }
        [
            verb @ ("link-at" | "rename-at"),
            old,
            old_path,
            new,
            new_path,
            flags @ ..,
        ] => {
            let (old, new) = (descriptors.get(old), descriptors.get(new));
            let (old_path, new_path) = (old_path.to_string(), new_path.to_string());
            let done = match *verb {
                "link-at" => old.link_at(path_flags(flags), old_path, new, new_path).await,
                _ => old.rename_at(old_path, new, new_path).await,
            };
            outcome(done.map(|()| ""))
        }
        [verb, descriptor, arguments @ ..] => {
            let descriptor = descriptors.get(descriptor);
            outcome(call_on(descriptor, verb, arguments).await)
        }
        other => panic!("{other:?} is no call"),
    }
}

async fn call_on(descriptor: &Descriptor, verb: &str, arguments: &[&str]) -> Answer {
    match (verb, arguments) {
        ("read", [offset]) => read(descriptor, number(offset), usize::MAX).await,
        ("read", [offset, bytes]) => read(descriptor, number(offset), number(bytes) as usize).await,
        ("write", [offset, text]) => {
            let (output, data) = wit_stream::new();
            let written = descriptor.write_via_stream(data, number(offset));
            write(output, text).await;
            written.await.map(unit)
        }
        ("append", [text]) => {
            let (output, data) = wit_stream::new();
            let written = descriptor.append_via_stream(data);
            write(output, text).await;
            written.await.map(unit)
        }
        ("advise", [offset, length, kind]) => {
            let advised = descriptor.advise(number(offset), number(length), advice(kind)).await;
            advised.map(unit)
        }
        ("sync", []) => descriptor.sync().await.map(unit),
        ("sync-data", []) => descriptor.sync_data().await.map(unit),
        ("get-flags", []) => descriptor.get_flags().await.map(descriptor_flags_text),
        ("get-type", []) => descriptor.get_type().await.map(kebab),
        ("set-size", [bytes]) => descriptor.set_size(number(bytes)).await.map(unit),
        ("set-times", [accessed, modified]) => descriptor
            .set_times(timestamp(accessed), timestamp(modified))
            .await
            .map(unit),
        ("read-directory", []) => read_directory(descriptor).await,
        ("count-directory", []) => read_directory(descriptor)
            .await
            .map(|entries| entries.split(' ').count().to_string()),
        ("stat", []) => descriptor.stat().await.map(stat_text),
        ("times", []) => descriptor.stat().await.map(times_text),
        ("metadata-hash", []) => descriptor.metadata_hash().await.map(hash_text),
        (verb, [path, rest @ ..]) => call_at(descriptor, verb, path, rest).await,
        other => panic!("{other:?} is no call"),
    }
}

async fn call_at(directory: &Descriptor, verb: &str, path: &str, rest: &[&str]) -> Answer {
    let owned = path.to_owned();
    match (verb, rest) {
        ("stat-at", flags) => directory.stat_at(path_flags(flags), owned).await.map(stat_text),
        ("times-at", flags) => directory.stat_at(path_flags(flags), owned).await.map(times_text),
        ("set-times-at", [accessed, modified, flags @ ..]) => {
            let (accessed, modified) = (timestamp(accessed), timestamp(modified));
            directory
                .set_times_at(path_flags(flags), owned, accessed, modified)
                .await
                .map(unit)
        }
        ("metadata-hash-at", flags) => directory
            .metadata_hash_at(path_flags(flags), owned)
            .await
            .map(hash_text),
        ("create-directory-at", []) => directory.create_directory_at(owned).await.map(unit),
        ("remove-directory-at", []) => directory.remove_directory_at(owned).await.map(unit),
        ("unlink-file-at", []) => directory.unlink_file_at(owned).await.map(unit),
        ("readlink-at", []) => directory.readlink_at(owned).await,
        // The target comes first, as in the interface.
        ("symlink-at", [link]) => directory.symlink_at(owned, link.to_string()).await.map(unit),
        other => panic!("{other:?} is no call"),
    }
}

async fn open_at(directory: &Descriptor, path: &str, words: &[&str]) -> Result<Descriptor, ErrorCode> {
    let mut open_flags = OpenFlags::empty();
    let mut descriptor_flags = DescriptorFlags::empty();
    for word in words {
        match *word {
            "create" => open_flags |= OpenFlags::CREATE,
            "directory" => open_flags |= OpenFlags::DIRECTORY,
            "exclusive" => open_flags |= OpenFlags::EXCLUSIVE,
            "truncate" => open_flags |= OpenFlags::TRUNCATE,
            "follow" => {}
            flag => descriptor_flags |= named_descriptor_flag(flag),
        }
    }
    directory
        .open_at(path_flags(words), path.to_owned(), open_flags, descriptor_flags)
        .await
}

const DESCRIPTOR_FLAGS: [(&str, DescriptorFlags); 6] = [
    ("read", DescriptorFlags::READ),
    ("write", DescriptorFlags::WRITE),
    ("file-integrity-sync", DescriptorFlags::FILE_INTEGRITY_SYNC),
    ("data-integrity-sync", DescriptorFlags::DATA_INTEGRITY_SYNC),
    ("requested-write-sync", DescriptorFlags::REQUESTED_WRITE_SYNC),
    ("mutate-directory", DescriptorFlags::MUTATE_DIRECTORY),
];

fn named_descriptor_flag(name: &str) -> DescriptorFlags {
    let found = DESCRIPTOR_FLAGS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is no flag")).1
}

fn descriptor_flags_text(flags: DescriptorFlags) -> String {
    let set = DESCRIPTOR_FLAGS.iter().filter(|(_, flag)| flags.contains(*flag));
    set.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn path_flags(words: &[&str]) -> PathFlags {
    if words.contains(&"follow") {
        PathFlags::SYMLINK_FOLLOW
    } else {
        PathFlags::empty()
    }
}

fn advice(kind: &str) -> Advice {
    let all = [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ];
    let found = all.into_iter().find(|advice| kebab(advice) == kind);
    found.unwrap_or_else(|| panic!("{kind} is no advice"))
}

/// `no-change`, `now`, or seconds and nanoseconds with a colon between.
fn timestamp(text: &str) -> NewTimestamp {
    match text {
        "no-change" => NewTimestamp::NoChange,
        "now" => NewTimestamp::Now,
        instant => {
            let (seconds, nanoseconds) = instant.split_once(':').unwrap();
            NewTimestamp::Timestamp(Instant {
                seconds: seconds.parse().unwrap(),
                nanoseconds: nanoseconds.parse().unwrap(),
            })
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn unit((): ()) -> String {
    String::new()
}

fn stat_text(stat: DescriptorStat) -> String {
    format!("{} links:{} size:{}", kebab(&stat.type_), stat.link_count, stat.size)
}

fn times_text(stat: DescriptorStat) -> String {
    let text = |instant: Option<Instant>| match instant {
        Some(Instant { seconds, nanoseconds }) => format!("{seconds}:{nanoseconds}"),
        None => "none".to_owned(),
    };
    let [accessed, modified, changed] = [
        stat.data_access_timestamp,
        stat.data_modification_timestamp,
        stat.status_change_timestamp,
    ]
    .map(text);
    format!("{accessed} {modified} {changed}")
}

fn hash_text(hash: MetadataHashValue) -> String {
    format!("{:x}:{:x}", hash.lower, hash.upper)
}

/// At most `bytes_max` bytes; then the reader is dropped, which must not be an error.
async fn read(file: &Descriptor, offset: u64, bytes_max: usize) -> Answer {
    let (mut data, end) = file.read_via_stream(offset);
    let mut bytes = Vec::new();
    while bytes.len() < bytes_max {
        let chunk = Vec::with_capacity((bytes_max - bytes.len()).min(64 * 1024));
        let (result, chunk) = data.read(chunk).await;
        bytes.extend_from_slice(&chunk);
        if result == StreamResult::Dropped {
            break;
        }
    }
    drop(data);
    end.await.map(|()| received(&bytes))
}

/// A file that cannot be written drops its end; the future then says why.
async fn write(mut output: wit_bindgen::StreamWriter<u8>, text: &str) {
    output.write_all(text.as_bytes().to_vec()).await;
}

async fn read_directory(directory: &Descriptor) -> Answer {
    let (entries, end) = directory.read_directory();
    let mut entries: Vec<String> = entries
        .collect()
        .await
        .into_iter()
        .map(|entry| format!("{}:{}", entry.name, kebab(entry.type_)))
        .collect();
    entries.sort();
    end.await.map(|()| entries.join(" "))
}

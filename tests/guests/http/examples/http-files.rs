//! Answers with the file named by `path` in the first preopen, or lists the preopens; `write` makes it write that text
//! to the file.

use guests_http::{Query, collect, text, text_with_status};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode as FileError, OpenFlags, PathFlags};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_stream;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let directories = get_directories();
    let Some(path) = query.text("path") else {
        return Ok(text(
            directories
                .iter()
                .map(|(_, name)| format!("{name}\n"))
                .collect::<String>(),
        ));
    };
    let Some((directory, _)) = directories.first() else {
        return Ok(text_with_status(404, "no preopen"));
    };
    let outcome = match query.text("write") {
        Some(content) => write(directory, path, content).await,
        None => read(directory, path).await,
    };
    Ok(match outcome {
        Ok(content) => text(content),
        Err(error) => text_with_status(403, format!("{error:?}")),
    })
}

async fn read(directory: &Descriptor, path: &str) -> Result<String, FileError> {
    let file = directory
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            path.to_owned(),
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .await?;
    let (content, outcome) = file.read_via_stream(0);
    let content = collect(content).await;
    outcome.await?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

async fn write(directory: &Descriptor, path: &str, content: &str) -> Result<String, FileError> {
    let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = directory
        .open_at(PathFlags::empty(), path.to_owned(), flags, DescriptorFlags::WRITE)
        .await?;
    let (mut bytes, reader) = wit_stream::new();
    let written = file.write_via_stream(reader, 0);
    let content = content.as_bytes().to_vec();
    spawn_local(async move {
        bytes.write_all(content).await;
    });
    written.await?;
    Ok("written".to_owned())
}

//! How the components that are to be joined get to the process that joins them, and what it makes of them.
//!
//! A message is a list of parts, each a length and as many bytes: whether handshakes of WebSockets may go past middleware, the
//! component that is wanted and all that it may link to, each with its middleware, whether it has an instance of its own, and its links, then the files. The whole is what
//! comes back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wharf_server::Part;
use wharf_server::manifest::app::{App, AppComponent, Link, LinkedAs};
use wharf_server::manifest::{compose, read};

/// What is read of the whole: its parts, which have no more than one component may have, and what holds them together.
pub const JOINED_BYTES_MAX: u64 = read::COMPONENT_BYTES_MAX + (16 << 20);

/// The message for the component of `part`.
pub fn write(part: &Part<'_>, output: &mut impl Write) -> io::Result<()> {
    let past = part.app.websocket.past_middleware;
    put(output, &[u8::from(past)])?;
    put(output, part.component.name.as_bytes())?;
    count(output, part.app.components.len())?;
    let mut files: Vec<&Path> = Vec::new();
    for component in &part.app.components {
        put(output, component.name.as_bytes())?;
        count(output, component.middleware.len())?;
        for file in std::iter::once(&component.file).chain(&component.middleware) {
            put(output, file.as_os_str().as_encoded_bytes())?;
            if !files.contains(&file.as_path()) {
                files.push(file);
            }
        }
        put(output, &[u8::from(component.linked_as == LinkedAs::Own)])?;
        count(output, component.links.len())?;
        for link in &component.links {
            put(output, link.import.as_bytes())?;
            put(output, link.component.as_bytes())?;
        }
    }
    count(output, files.len())?;
    for file in files {
        put(output, file.as_os_str().as_encoded_bytes())?;
        put(output, &part.file(file)?)?;
    }
    Ok(())
}

/// Reads a message and writes the whole.
pub fn join(input: &mut impl Read, output: &mut impl Write) -> anyhow::Result<()> {
    let (app, wanted, files) = receive(input).context("cannot read the components")?;
    let component = app.component(&wanted).context("the component is not among them")?;
    let joined = compose::assemble(&app, component, |file| {
        let content = files.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Cow::from(content))
    })?;
    output.write_all(&joined).context("cannot write the whole")?;
    output.flush().context("cannot write the whole")
}

type Message = (App, String, BTreeMap<PathBuf, Vec<u8>>);

fn receive(input: &mut impl Read) -> io::Result<Message> {
    let mut app = App::default();
    app.websocket.past_middleware = get(input)? == [1];
    let wanted = text(input)?;
    for _ in 0..number(input)? {
        let name = text(input)?;
        let middleware = number(input)?;
        let mut component = AppComponent::new(name, path(input)?);
        component.middleware = (0..middleware).map(|_| path(input)).collect::<io::Result<_>>()?;
        if get(input)? == [1] {
            component.linked_as = LinkedAs::Own;
        }
        let links = (0..number(input)?).map(|_| {
            Ok(Link {
                import: text(input)?,
                component: text(input)?,
            })
        });
        component.links = links.collect::<io::Result<_>>()?;
        app.components.push(component);
    }
    let files = (0..number(input)?).map(|_| Ok((path(input)?, get(input)?)));
    let files = files.collect::<io::Result<_>>()?;
    Ok((app, wanted, files))
}

fn count(output: &mut impl Write, count: usize) -> io::Result<()> {
    output.write_all(&(count as u64).to_le_bytes())
}

fn put(output: &mut impl Write, part: &[u8]) -> io::Result<()> {
    count(output, part.len())?;
    output.write_all(part)
}

fn number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn get(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = number(input)?;
    let mut part = Vec::new();
    let read = input.take(length).read_to_end(&mut part)?;
    match read as u64 == length {
        true => Ok(part),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn text(input: &mut impl Read) -> io::Result<String> {
    String::from_utf8(get(input)?).map_err(io::Error::other)
}

#[cfg(unix)]
fn path(input: &mut impl Read) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(std::ffi::OsString::from_vec(get(input)?).into())
}

#[cfg(not(unix))]
fn path(input: &mut impl Read) -> io::Result<PathBuf> {
    Ok(text(input)?.into())
}

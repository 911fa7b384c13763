//! How the components that are to be joined get to the process that joins them, and what it makes of them.
//!
//! A message is a list of parts, each a length and as many bytes: whether handshakes of WebSockets may go past middleware, the
//! component that is wanted and all that it may link to, each with its middleware, whether it has an instance of its own, and its links, then the files. The whole
//! comes back, or what could not be joined and why; a last byte tells them apart.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wharf_server::manifest::app::{App, AppComponent, Link, LinkedAs};
use wharf_server::manifest::{Subject, compose, read};
use wharf_server::{Part, TroubleWith};

/// What is read of the whole: its parts, which have no more than one component may have, and what holds them together.
pub const JOINED_BYTES_MAX: u64 = read::COMPONENT_BYTES_MAX + (16 << 20);

/// The last byte of what comes back: the whole is before it, or why there is none.
const WHOLE: u8 = 0;
const REFUSED: u8 = 1;

/// What could not be joined.
const LINK: &str = "link";
const MIDDLEWARE: &str = "middleware";
const COMPONENT: &str = "component";

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
    });
    let written = match &joined {
        Ok(joined) => output.write_all(joined).and_then(|()| output.write_all(&[WHOLE])),
        Err(error) => {
            let trouble = TroubleWith {
                subject: Subject::at_fault(&component.name, error),
                message: error.to_string(),
                help: error.help(),
            };
            refuse(&trouble, output).and_then(|()| output.write_all(&[REFUSED]))
        }
    };
    written.and_then(|()| output.flush()).context("cannot write the whole")
}

/// The whole that has come back.
///
/// # Errors
/// A [`TroubleWith`], where what belongs to it could not be joined.
pub fn whole(mut written: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    const WRONG: &str = "what joins components has ended too early";
    match written.pop().context(WRONG)? {
        WHOLE => Ok(written),
        _ => Err(refused(&mut &*written).context(WRONG)?.into()),
    }
}

fn refuse(trouble: &TroubleWith, output: &mut impl Write) -> io::Result<()> {
    let (kind, component, part) = match &trouble.subject {
        Subject::Link(component, import) => (LINK, component.as_str(), import.clone()),
        Subject::Middleware(component, nth) => (MIDDLEWARE, component.as_str(), nth.to_string()),
        Subject::Component(component) => (COMPONENT, component.as_str(), String::new()),
        // Nothing else is joined.
        _ => (COMPONENT, "", String::new()),
    };
    let help = trouble.help.as_deref().unwrap_or_default();
    for text in [kind, component, &part, &trouble.message, help] {
        put(output, text.as_bytes())?;
    }
    Ok(())
}

fn refused(input: &mut impl Read) -> io::Result<TroubleWith> {
    let (kind, component, part) = (text(input)?, text(input)?, text(input)?);
    let subject = match &*kind {
        LINK => Subject::Link(component, part),
        MIDDLEWARE => Subject::Middleware(component, part.parse().map_err(io::Error::other)?),
        _ => Subject::Component(component),
    };
    Ok(TroubleWith {
        subject,
        message: text(input)?,
        help: Some(text(input)?).filter(|help| !help.is_empty()),
    })
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

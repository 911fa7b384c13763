//! Files of a folder, answered without a guest (RFC 9110).
//!
//! Here is which file answers a path (itself, a folder's index, a compressed variant, the fallback) and what the
//! response's head says. What a path means is in `files/path.rs`, how nothing outside the folder is opened in
//! `files/open.rs`, conditions in `files/condition.rs`, ranges in `files/range.rs`, what a client accepts in
//! `accept.rs`, and the response's content in `files/content.rs`. Where no file answers, the dispatcher writes
//! the response.
//!
//! Everything the system may block on happens on tokio's blocking threads. Nothing is cached: a file that is replaced is
//! seen by the next request, and the system keeps what is asked for often in memory by itself.

mod condition;
mod content;
mod open;
mod path;
mod range;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::sync::Semaphore;
use wharf_host::http::Payload;

use crate::accept::{self, Coding};
use condition::{Preconditions, Validators, Verdict};
use content::Content;
use open::{Entry, Folder, OpenFile};
use path::Wanted;
use range::Selection;

/// How many blocking threads one folder may occupy at once; further requests wait for their turn, and hold no thread
/// meanwhile. It keeps disks busy that like many requests at once, and leaves most of tokio's 512 threads to guests, whose
/// files and names are looked up on the same ones.
const READS_MAX: usize = 32;

/// How much older than its file a compressed variant may be. Copying and unpacking write the two in any order, seconds
/// apart; one that is older than that was made from what the file held before, and is passed over.
const VARIANT_LAG: Duration = Duration::from_secs(60);

/// What `Allow` says in an answer to [`Answer::MethodNotAllowed`].
pub const ALLOW: &str = "GET, HEAD";

/// How [`Files`] is set up.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// The folder. It is looked up for every request, so it may be replaced while the server runs.
    pub folder: PathBuf,
    /// The file that answers for the folder it lies in; `None`: folders are not found.
    pub index: Option<String>,
    /// The file below the folder that answers, with 200, where there is none and the request's `Accept` names `text/html`:
    /// the one page of a single-page app.
    pub fallback: Option<PathBuf>,
    /// Whether `FILE.br`, `FILE.zst` and `FILE.gz` are sent instead of `FILE` to clients that decode them.
    pub precompressed: bool,
    /// `Cache-Control` of every file but the fallback, which says `no-cache`: it stands for paths that may get a file.
    pub cache_control: Option<HeaderValue>,
}

impl FilesOptions {
    /// The defaults for `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            // What every generator of sites writes.
            index: Some("index.html".to_owned()),
            fallback: None,
            // A variant is there because somebody made it to be sent.
            precompressed: true,
            // How long a file stays as it is, only its author knows.
            cache_control: None,
        }
    }
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It is missing, no folder, or not readable.
    #[error("cannot read the folder {}: {error}", folder.display())]
    Folder {
        /// Its path.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The fallback is missing, no file, or not readable.
    #[error("cannot read the fallback {} below {}: {error}", file.display(), folder.display())]
    Fallback {
        /// The folder's path.
        folder: PathBuf,
        /// The fallback's path below it.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The index is not the plain name of a file.
    #[error("the index {0:?} is not a file's name: name one file, without a folder")]
    Index(String),
}

/// A folder whose files are answered without a guest. Clones share it.
#[derive(Clone, Debug)]
pub struct Files {
    site: Arc<Site>,
}

/// What comes of a request.
#[derive(Debug)]
pub enum Answer {
    /// A file, or what HTTP says of one: 200, 206, 304, 412, 416, or 308 to a folder's path.
    Response(Response<Payload>),
    /// No file: 404.
    NotFound,
    /// Neither GET nor HEAD: 405 with [`ALLOW`].
    MethodNotAllowed,
    /// The path cannot be a file's, and why: 400.
    BadPath(&'static str),
    /// The system does not let the server read it: 403.
    Forbidden,
    /// The system failed: 503 when the server has no file handles left ([`Answer::is_busy`]), otherwise 500.
    Failed(io::Error),
}

impl Answer {
    /// Whether trying again later helps: too many files are open.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Failed(error) if open::is_out_of_handles(error))
    }
}

impl Files {
    /// Reads nothing but the folder and the fallback, to see that they are there.
    ///
    /// # Errors
    /// When one of them is missing or cannot be read, or the index is not a file's name.
    pub fn new(options: FilesOptions) -> Result<Self, FilesError> {
        let folder = Folder::open(&options.folder).map_err(|error| FilesError::Folder {
            folder: options.folder.clone(),
            error,
        })?;
        let fallback = options.fallback.as_deref().map(|file| {
            check_fallback(&folder, file).map_err(|error| FilesError::Fallback {
                folder: options.folder.clone(),
                file: file.to_owned(),
                error,
            })
        });
        if let Some(index) = options.index.as_ref().filter(|index| !is_name(index)) {
            return Err(FilesError::Index(index.clone()));
        }
        let site = Site {
            fallback: fallback.transpose()?,
            folder: options.folder,
            index: options.index,
            precompressed: options.precompressed,
            cache_control: options.cache_control,
            reads: Arc::new(Semaphore::new(READS_MAX)),
        };
        Ok(Self { site: Arc::new(site) })
    }

    /// Answers a request.
    ///
    /// `path` is the request's path, perhaps with its query, with the route's prefix taken off: percent-encoded as it
    /// came, and it begins with `/`. Dropping the future, or the response's body, ends the work.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        // RFC 9110 section 9.1: these two, every server has.
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::MethodNotAllowed;
        }
        let wanted = match Wanted::read(path) {
            Ok(wanted) => wanted,
            Err(path::Refused::Hidden) => return Answer::NotFound,
            Err(path::Refused::Malformed(reason)) => return Answer::BadPath(reason),
        };
        let asked = Asked::new(method, headers);
        let site = self.site.clone();
        match content::blocking(&self.site.reads, move || site.answer(&asked, &wanted)).await {
            Ok(response) => Answer::Response(response),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Answer::NotFound,
                io::ErrorKind::PermissionDenied => Answer::Forbidden,
                _ => Answer::Failed(error),
            },
        }
    }
}

/// Sends a client from a folder's path to the one with a slash at its end, to which links in the folder's page are relative.
/// `path` may carry a query. `None` when it has the slash, or is malformed.
///
/// It is here for routes: a request for `/assets` has nothing left once the route's prefix is taken off.
pub fn redirect_to_folder(path: &str) -> Option<Response<Payload>> {
    let wanted = Wanted::read(path).ok().filter(|wanted| !wanted.is_folder)?;
    redirect(&wanted).ok()
}

fn check_fallback(folder: &Folder, file: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for component in file.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?),
            Component::CurDir => {}
            _ => return Err(io::Error::other("it is not below the folder")),
        }
    }
    let name = names.join("/");
    match folder.entry(&name)? {
        Entry::File(_) => Ok(name),
        Entry::Folder => Err(io::ErrorKind::IsADirectory.into()),
    }
}

fn is_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_normal = matches!(components.next(), Some(Component::Normal(first)) if first == name);
    is_normal && components.next().is_none() && !name.contains(['/', '\\', '\0'])
}

/// What a request asks for beside the path.
struct Asked {
    is_head: bool,
    /// The codings to look for, best first.
    codings: Vec<Coding>,
    /// A page is looked for, by somebody who reads it.
    wants_page: bool,
    preconditions: Preconditions,
    ranges: Option<Vec<range::Wanted>>,
}

impl Asked {
    fn new(method: &Method, headers: &HeaderMap) -> Self {
        let is_head = method == Method::HEAD;
        Self {
            is_head,
            codings: accept::codings(headers),
            wants_page: accept::names_html(headers),
            preconditions: Preconditions::read(headers),
            // RFC 9110 section 14.2: ranges are for GET, and ignored elsewhere.
            ranges: (!is_head).then(|| range::read(headers)).flatten(),
        }
    }
}

#[derive(Debug)]
struct Site {
    folder: PathBuf,
    index: Option<String>,
    /// Its path below the folder, which `/` separates.
    fallback: Option<String>,
    precompressed: bool,
    cache_control: Option<HeaderValue>,
    /// A permit for each blocking thread.
    reads: Arc<Semaphore>,
}

/// What a path leads to.
enum Target {
    File(String, OpenFile),
    /// A folder with an index, without the slash at its end.
    Unslashed,
}

/// What is sent for a path.
struct Chosen {
    /// The path of the file below the folder, whichever of its variants is sent: its extension tells the type.
    name: String,
    file: OpenFile,
    coding: Option<Coding>,
    is_fallback: bool,
}

impl Site {
    /// Blocks.
    fn answer(&self, asked: &Asked, wanted: &Wanted) -> io::Result<Response<Payload>> {
        let folder = Folder::open(&self.folder).map_err(|error| {
            // Not the client's matter: whoever runs the server has taken the folder away.
            io::Error::other(format!("cannot read the folder {}: {error}", self.folder.display()))
        })?;
        let (name, file, is_fallback) = match (self.target(&folder, wanted), &self.fallback) {
            (Ok(Target::File(name, file)), _) => (name, file, false),
            (Ok(Target::Unslashed), _) => return redirect(wanted),
            (Err(error), Some(fallback)) if asked.wants_page && error.kind() == io::ErrorKind::NotFound => {
                (fallback.clone(), file_at(&folder, fallback)?, true)
            }
            (Err(error), _) => return Err(error),
        };
        let variant = self.variant(&folder, asked, &name, &file);
        let (file, coding) = variant.map_or((file, None), |(file, coding)| (file, Some(coding)));
        self.respond(
            asked,
            Chosen {
                name,
                file,
                coding,
                is_fallback,
            },
        )
    }

    fn target(&self, folder: &Folder, wanted: &Wanted) -> io::Result<Target> {
        match folder.entry(&wanted.name)? {
            // A file has nothing below it.
            Entry::File(_) if wanted.is_folder => Err(io::ErrorKind::NotFound.into()),
            Entry::File(file) => Ok(Target::File(wanted.name.clone(), file)),
            Entry::Folder => {
                let index = self.index.as_deref().ok_or(io::ErrorKind::NotFound)?;
                let name = match wanted.name.as_str() {
                    "" => index.to_owned(),
                    above => format!("{above}/{index}"),
                };
                let file = file_at(folder, &name)?;
                Ok(if wanted.is_folder {
                    Target::File(name, file)
                } else {
                    Target::Unslashed
                })
            }
        }
    }

    /// The compressed variant of a file that the client likes best.
    fn variant(&self, folder: &Folder, asked: &Asked, name: &str, file: &OpenFile) -> Option<(OpenFile, Coding)> {
        let codings = asked.codings.iter().filter(|_| self.precompressed);
        let mut variants = codings.filter_map(|coding| {
            let variant = file_at(folder, &format!("{name}.{}", coding.extension())).ok()?;
            Some((variant, *coding))
        });
        variants.find(|(variant, _)| !is_outdated(variant, file))
    }

    fn respond(&self, asked: &Asked, chosen: Chosen) -> io::Result<Response<Payload>> {
        let Chosen { file, coding, .. } = &chosen;
        let validators = Validators::new(file.modified, file.bytes, *coding, SystemTime::now());
        let mut response = Response::new(Payload::default());
        self.describe_always(response.headers_mut(), &chosen, &validators);
        match asked.preconditions.judge(&validators) {
            Verdict::Proceed => {}
            // RFC 9110 section 15.4.5: what would have been sent with 200, but nothing that describes content.
            Verdict::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
            Verdict::Failed => {
                *response.status_mut() = StatusCode::PRECONDITION_FAILED;
                return Ok(response);
            }
        }
        let ranges = asked
            .ranges
            .as_deref()
            .filter(|_| asked.preconditions.ranges_hold(&validators));
        let selection = ranges.map_or(Selection::Whole, |ranges| range::select(ranges, file.bytes));
        // RFC 9110 section 14.3.
        response
            .headers_mut()
            .insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if matches!(selection, Selection::Unsatisfiable) {
            // RFC 9110 section 15.5.17.
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let length = HeaderValue::try_from(format!("bytes */{}", file.bytes)).map_err(io::Error::other)?;
            response.headers_mut().insert(header::CONTENT_RANGE, length);
            return Ok(response);
        }
        describe_content(response.headers_mut(), &chosen, &validators);
        self.fill(response, asked, chosen, selection)
    }

    /// What a response says of the file also where it has none of its content.
    fn describe_always(&self, headers: &mut HeaderMap, chosen: &Chosen, validators: &Validators) {
        if let Some(tag) = validators.etag() {
            headers.insert(header::ETAG, tag);
        }
        let cache_control = if chosen.is_fallback {
            Some(HeaderValue::from_static("no-cache"))
        } else {
            self.cache_control.clone()
        };
        if let Some(cache_control) = cache_control {
            headers.insert(header::CACHE_CONTROL, cache_control);
        }
        // RFC 9110 section 12.5.5: also where there is no variant, since one may be put there.
        let vary = match (chosen.is_fallback, self.precompressed) {
            (true, true) => Some("accept, accept-encoding"),
            (true, false) => Some("accept"),
            (false, true) => Some("accept-encoding"),
            (false, false) => None,
        };
        if let Some(vary) = vary {
            headers.insert(header::VARY, HeaderValue::from_static(vary));
        }
        // A text that somebody uploaded is not to be run as a script because it looks like one.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }

    /// Sets status, length and content.
    fn fill(
        &self,
        mut response: Response<Payload>,
        asked: &Asked,
        chosen: Chosen,
        selection: Selection,
    ) -> io::Result<Response<Payload>> {
        let total = chosen.file.bytes;
        let mut content = Content::new(chosen.file.file, chosen.name);
        match selection {
            Selection::Unsatisfiable => {}
            Selection::Whole => content.add_bytes(0..total),
            // RFC 9110 section 15.3.7.1.
            Selection::One(range) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let place = HeaderValue::try_from(range::place(&range, total)).map_err(io::Error::other)?;
                response.headers_mut().insert(header::CONTENT_RANGE, place);
                content.add_bytes(range);
            }
            // RFC 9110 section 15.3.7.2: each part says what it is of.
            Selection::Several(ranges) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let parts = range::Parts::new(response.headers().get(header::CONTENT_TYPE), total);
                let kind = HeaderValue::try_from(parts.content_type()).map_err(io::Error::other)?;
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                for range in ranges {
                    content.add_text(parts.before(&range));
                    content.add_bytes(range);
                }
                content.add_text(parts.end());
            }
        }
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(content.bytes()));
        // RFC 9110 section 9.3.2: the head of the GET.
        if !asked.is_head {
            *response.body_mut() = content.into_payload(&self.reads)?;
        }
        Ok(response)
    }
}

fn file_at(folder: &Folder, name: &str) -> io::Result<OpenFile> {
    match folder.entry(name)? {
        Entry::File(file) => Ok(file),
        Entry::Folder => Err(io::ErrorKind::NotFound.into()),
    }
}

fn is_outdated(variant: &OpenFile, file: &OpenFile) -> bool {
    match (variant.modified, file.modified) {
        (Some(variant), Some(file)) => file.duration_since(variant).is_ok_and(|lag| lag > VARIANT_LAG),
        _ => false,
    }
}

fn describe_content(headers: &mut HeaderMap, chosen: &Chosen, validators: &Validators) {
    headers.insert(header::CONTENT_TYPE, content_type(&chosen.name));
    if let Some(coding) = chosen.coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    if let Some(modified) = validators.last_modified() {
        headers.insert(header::LAST_MODIFIED, modified);
    }
}

/// By the name's extension (RFC 9110 section 8.3). Text is UTF-8, but XML says by itself what it is (RFC 7303 section 3).
pub(crate) fn content_type(name: &str) -> HeaderValue {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let kind = match extension {
        // What the table lacks (ECMA-426), or has by an old name (RFC 9239 section 6).
        Some("map") => Some("application/json"),
        Some("mjs") => Some("text/javascript"),
        Some(extension) => mime_guess::from_ext(extension).first_raw(),
        None => None,
    };
    match kind {
        Some(kind) if kind.starts_with("text/") && kind != "text/xml" => {
            HeaderValue::try_from(format!("{kind}; charset=utf-8")).unwrap_or(HeaderValue::from_static(kind))
        }
        Some(kind) => HeaderValue::from_static(kind),
        None => HeaderValue::from_static("application/octet-stream"),
    }
}

/// The `Location` is one encoded name: relative to the request's own folder, it can lead to no other host or scheme
/// (RFC 3986 section 4.2), whatever the route's prefix.
fn redirect(wanted: &Wanted) -> io::Result<Response<Payload>> {
    let location = HeaderValue::try_from(wanted.slashed()).map_err(io::Error::other)?;
    let mut response = Response::new(Payload::default());
    // RFC 9110 section 15.4.9.
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

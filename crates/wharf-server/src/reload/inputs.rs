//! What an app is made from: the content of its files, read once, within bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wharf_app::app::{self as plan};
use wharf_app::manifest::Subject;
use wharf_app::read;
use wharf_app::section::Sections;

use super::Fault;
use crate::files;
use crate::problem::{ErrorPages, Page};

/// What all files of an app that are held may have together: as much as one component, since that is what an app is. Whoever may
/// fill a folder with components would fill the server's memory otherwise. Past it, the app cannot be made.
const FILES_BYTES_MAX: u64 = read::COMPONENT_BYTES_MAX;

/// The content of every file that an app is made from.
pub(super) struct Inputs {
    held: BTreeMap<PathBuf, Bytes>,
    /// What is only looked at for changes: whoever uses it reads it.
    others: BTreeMap<PathBuf, blake3::Hash>,
    pub secrets: BTreeMap<String, String>,
}

/// A file that an app is made from.
struct Named {
    subject: Subject,
    file: PathBuf,
    bytes_max: u64,
    is_held: bool,
}

impl Inputs {
    pub fn read(plan: &plan::App, sections: &Sections) -> Result<Self, Fault> {
        Self::read_within(plan, sections, FILES_BYTES_MAX)
    }

    fn read_within(plan: &plan::App, sections: &Sections, bytes_max: u64) -> Result<Self, Fault> {
        let mut inputs = Self {
            held: BTreeMap::new(),
            others: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        let mut left = bytes_max;
        for named in named(plan, sections) {
            let content = inputs.take_in(&named, &mut left, bytes_max);
            content.map_err(|error| {
                let message = format!("cannot read {}: {error}", named.file.display());
                let is_unbuilt = error.kind() == io::ErrorKind::NotFound && is_built(plan, &named.subject);
                Fault {
                    help: is_unbuilt.then(|| "`wharf build` makes it".to_owned()),
                    ..Fault::new(named.subject.clone(), message)
                }
            })?;
        }
        for (name, source) in &plan.secrets {
            let value = source.read().map_err(|error| {
                let message = format!("the secret {name}: {error}");
                Fault::new(Subject::Secret(name.clone()), message)
            })?;
            inputs.secrets.insert(name.clone(), value);
        }
        Ok(inputs)
    }

    fn take_in(&mut self, named: &Named, left: &mut u64, bytes_max: u64) -> io::Result<()> {
        if !named.is_held {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(read::open(&named.file, named.bytes_max)?)?;
            self.others.insert(named.file.clone(), hasher.finalize());
            return Ok(());
        }
        if self.held.contains_key(&named.file) {
            return Ok(());
        }
        let own = named.bytes_max.min(bytes_max);
        let content = read::regular(&named.file, own.min(*left)).map_err(|error| {
            let is_the_sum = *left < own && std::fs::metadata(&named.file).is_ok_and(|file| file.len() > *left);
            match is_the_sum {
                true => io::Error::other(format!(
                    "all files of an app together are larger than {} MiB",
                    bytes_max >> 20
                )),
                false => error,
            }
        })?;
        *left -= content.len() as u64;
        self.held.insert(named.file.clone(), Bytes::from(content));
        Ok(())
    }

    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        for (path, content) in &self.held {
            add(path.as_os_str().as_encoded_bytes());
            add(content);
        }
        for (path, hash) in &self.others {
            add(path.as_os_str().as_encoded_bytes());
            add(hash.as_bytes());
        }
        for (name, value) in &self.secrets {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        hasher.finalize()
    }

    /// The content of a component or a page.
    pub fn get(&self, path: &Path) -> io::Result<Cow<'_, [u8]>> {
        let content = self.held.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Cow::Borrowed(content))
    }

    pub fn pages(&self, plan: &plan::App) -> ErrorPages {
        pages(plan, |path| self.held.get(path).cloned())
    }
}

/// Whether it is a component that the manifest says how to build.
fn is_built(plan: &plan::App, subject: &Subject) -> bool {
    match subject {
        Subject::Component(name) => plan.component(name).is_some_and(|component| component.build.is_some()),
        _ => false,
    }
}

/// The pages of an app that cannot be made, as far as they can be read.
pub(super) fn pages_alone(plan: &plan::App) -> ErrorPages {
    pages(plan, |path| {
        Some(read::regular(path, read::FILE_BYTES_MAX).ok()?.into())
    })
}

fn pages(plan: &plan::App, content: impl Fn(&Path) -> Option<Bytes>) -> ErrorPages {
    let page = |(&key, path): (&u16, &PathBuf)| {
        let content_type = files::content_type(&path.to_string_lossy());
        Some((key, Page::new(content(path)?, content_type)))
    };
    ErrorPages {
        statuses: plan.error_pages.statuses.iter().filter_map(page).collect(),
        classes: plan.error_pages.classes.iter().filter_map(page).collect(),
    }
}

/// All files that an app is made from, but for those that it serves as they are.
pub(super) fn files_of(plan: &plan::App, sections: &Sections) -> Vec<PathBuf> {
    named(plan, sections).map(|named| named.file).collect()
}

fn named<'a>(plan: &'a plan::App, sections: &'a Sections) -> impl Iterator<Item = Named> + 'a {
    let held = |subject: Subject, file: &Path, bytes_max: u64| Named {
        subject,
        file: file.to_owned(),
        bytes_max,
        is_held: true,
    };
    let components = plan.components.iter().flat_map(move |component| {
        let name = &component.name;
        let own = held(
            Subject::Component(name.clone()),
            &component.file,
            read::COMPONENT_BYTES_MAX,
        );
        let middleware = component.middleware.iter().enumerate();
        let middleware = middleware.map(move |(nth, file)| {
            let subject = Subject::Middleware(name.clone(), nth);
            held(subject, file, read::COMPONENT_BYTES_MAX)
        });
        std::iter::once(own).chain(middleware)
    });
    let pages = plan.error_pages.files();
    let pages = pages.map(move |(key, file)| held(Subject::ErrorPage(key), file, read::FILE_BYTES_MAX));
    let of_sections = sections.files(&plan.sections).into_iter();
    let of_sections = of_sections.map(|file| Named {
        subject: Subject::App,
        file,
        bytes_max: read::COMPONENT_BYTES_MAX,
        is_held: false,
    });
    components.chain(pages).chain(of_sections)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An app of a component of as many MiB, with a middleware and a page of as many.
    fn check(component: u64, middleware: u64, page: u64, expected: Result<(), (Subject, &str)>) {
        let name = format!("wharf-inputs-{}-{component}-{middleware}-{page}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, mebibytes: u64| {
            let path = folder.join(name);
            fs::File::create(&path).unwrap().set_len(mebibytes << 20).unwrap();
            path
        };
        let mut app = plan::App::of_component("shop", file("app.wasm", component));
        app.components[0].middleware = vec![file("front.wasm", middleware)];
        app.error_pages.statuses.insert(404, file("404.html", page));
        let read = Inputs::read_within(&app, &Sections::default(), 64 << 20);
        fs::remove_dir_all(&folder).unwrap();
        match (read, expected) {
            (Ok(_), Ok(())) => {}
            (Err(fault), Err((subject, said))) => {
                assert_eq!(fault.subject, subject, "{}", fault.message);
                assert!(fault.message.contains(said), "{}", fault.message);
            }
            (read, expected) => panic!("{:?}: {expected:?}", read.err().map(|fault| fault.message)),
        }
    }

    #[test]
    fn an_app_holds_no_more_than_one_component_may_have() {
        let first = || Subject::Component(plan::App::of_component("shop", "app.wasm").components[0].name.clone());
        let front = || match first() {
            Subject::Component(name) => Subject::Middleware(name, 0),
            other => other,
        };
        check(32, 31, 1, Ok(()));
        check(64, 0, 0, Ok(()));
        check(65, 0, 0, Err((first(), "larger than 64 MiB")));
        check(
            40,
            40,
            0,
            Err((front(), "all files of an app together are larger than 64 MiB")),
        );
        check(
            1,
            1,
            17,
            Err((Subject::ErrorPage("404".to_owned()), "larger than 16 MiB")),
        );
    }
}

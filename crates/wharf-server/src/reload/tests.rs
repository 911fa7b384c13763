//! Apps whose makers panic, fail, or take their time; none of them needs an engine.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use wharf_app::app::{Answer, Files, Route};
use wharf_app::route::HostPattern;

use super::*;

/// Does with a component what its app's name says: `panics`, or `slow`, which waits until it is let go on; others fail.
#[derive(Default)]
struct Maker {
    let_go: Mutex<bool>,
    changed: Condvar,
    /// Those that nobody wanted any more when they ended.
    unwanted: Mutex<BTreeSet<String>>,
}

impl Maker {
    fn let_go(&self) -> MutexGuard<'_, bool> {
        self.let_go.lock().unwrap()
    }
}

impl Assemble for Arc<Maker> {
    fn assemble(&self, part: &Part<'_>) -> Result<Service, Trouble> {
        match part.app.name.as_str() {
            "panics" => panic!("this was not to be expected"),
            "slow" => {
                let mut let_go = self.let_go();
                while !*let_go && !part.wanted.is_over() {
                    (let_go, _) = self.changed.wait_timeout(let_go, Duration::from_millis(10)).unwrap();
                }
                if part.wanted.is_over() {
                    self.unwanted.lock().unwrap().insert(part.app.name.clone());
                }
                Err("slow, and then it failed".into())
            }
            _ => Err("it fails".into()),
        }
    }
}

/// A folder for one test, which goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wharf-reload-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("app.wasm"), "a component").unwrap();
        Self(folder)
    }

    /// An app of this name that answers under it: with files, or with a component.
    fn app(&self, name: &str, has_component: bool) -> plan::App {
        let mut app = match has_component {
            true => plan::App::of_component(name, self.0.join("app.wasm")),
            false => plan::App {
                name: name.to_owned(),
                ..plan::App::default()
            },
        };
        let pattern = RoutePattern {
            path: format!("/{name}"),
            host: HostPattern::Any,
            methods: None,
        };
        let answer = match has_component {
            true => Answer::Component(app.components[0].name.clone()),
            false => Answer::Files(Files {
                folder: self.0.clone(),
                index: "index.html".to_owned(),
                fallback: None,
                precompressed: false,
                cache_control: None,
            }),
        };
        app.routes = vec![Route { pattern, answer }];
        app
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One that has little patience with slow apps.
fn deployment(maker: &Arc<Maker>, at_once: usize) -> Deployment {
    deployment_with(maker, at_once, Duration::from_secs(2))
}

fn deployment_with(maker: &Arc<Maker>, at_once: usize, patience: Duration) -> Deployment {
    let source = Source::App(Box::default());
    let mut deployment = Deployment::new(source, Sections::default(), Arc::new(maker.clone()));
    deployment.workshop = Workshop::new(Arc::new(maker.clone()), Sections::default()).with_patience(patience, at_once);
    deployment
}

fn configuration(apps: Vec<plan::App>) -> Configuration {
    let mut apps = apps.into_iter();
    let mut configuration = Configuration::from(apps.next().unwrap());
    configuration.apps.extend(apps);
    configuration
}

fn names(refused: &[(String, String)]) -> Vec<&str> {
    refused.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_panic_refuses_one_app() {
    let (folder, maker) = (Folder::new("panic"), Arc::default());
    // Telling where it panicked takes a busy machine a while.
    let mut deployment = deployment_with(&maker, 2, Duration::from_secs(60));
    let apps = vec![folder.app("files", false), folder.app("panics", true)];
    let loaded = deployment.load(configuration(apps)).unwrap();
    assert_eq!(loaded.changed, ["files"]);
    assert_eq!(names(&loaded.refused), ["panics"]);
    assert!(
        loaded.refused[0].1.contains("this was not to be expected"),
        "{:?}",
        loaded.refused
    );
}

#[test]
fn a_slow_app_holds_up_nobody_and_comes_later() {
    let (folder, maker) = (Folder::new("slow"), Arc::<Maker>::default());
    // One place, so that others stand behind it.
    let mut deployment = deployment(&maker, 1);
    let apps = || vec![folder.app("slow", true), folder.app("b", false), folder.app("c", false)];
    let loaded = deployment.load(configuration(apps())).unwrap();
    assert_eq!(
        (loaded.changed, loaded.late),
        (vec!["b".to_owned(), "c".to_owned()], vec!["slow".to_owned()])
    );
    let slow = loaded.apps.iter().find(|app| app.name() == "slow").unwrap();
    assert_eq!(slow.trouble(), Some(BEING_COMPILED));
    // It is not begun a second time.
    let loaded = deployment.load(configuration(apps())).unwrap();
    assert_eq!(
        (loaded.changed.len(), loaded.late, loaded.refused.len()),
        (0, vec!["slow".to_owned()], 0)
    );
    assert!(!deployment.has_news());
    *maker.let_go() = true;
    while !deployment.has_news() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let loaded = deployment.load(configuration(apps())).unwrap();
    assert_eq!((names(&loaded.refused), loaded.late.len()), (vec!["slow"], 0));
    assert!(
        loaded.refused[0].1.contains("slow, and then it failed"),
        "{:?}",
        loaded.refused
    );
    assert!(!deployment.has_news());
}

#[test]
fn what_nobody_wants_any_more_is_ended() {
    let (folder, maker) = (Folder::new("unwanted"), Arc::<Maker>::default());
    let mut deployment = deployment(&maker, 1);
    let apps = |more: Vec<plan::App>| [vec![folder.app("b", false)], more].concat();
    let loaded = deployment
        .load(configuration(apps(vec![folder.app("slow", true)])))
        .unwrap();
    assert_eq!(loaded.late, ["slow"]);
    deployment.load(configuration(apps(Vec::new()))).unwrap();
    let is_ended = || maker.unwanted.lock().unwrap().contains("slow");
    while !is_ended() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

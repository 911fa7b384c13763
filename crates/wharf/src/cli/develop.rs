//! The flags of the commands for those who write components.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::filter::Targets;
use wharf_server::manifest::app::ListenAddress;

use super::{Grants, Machine, Serve, ServeLimits, value};

const NEW_EXAMPLES: &str = "\
Exit status:
  0  made
  1  could not be written, and nothing is left of it
  2  wrong usage

Examples:
  wharf new my-shop
  wharf new my-shop --language go
  wharf new my-chat --template websocket --language python
  wharf new --list";

const BUILD_EXAMPLES: &str = "\
A command of the manifest's own (`command = [\"make\"]` under [build]) writes the component to the file that \
WHARF_COMPONENT names, or to its place.

Tools that are missing are named with the command that installs them. --install installs those that can be had without the \
rights of root, from the package registries of their languages: componentize-py and Go into .venv, componentize-qjs into \
node_modules, both of the project; a target of Rust's by rustup. On a terminal you are asked.

Exit status:
  0  every component is built
  1  one could not be built, and is as it was; stderr says what, where, and what to do
  2  wrong usage

Examples:
  wharf build
  wharf build apps/shop/wharf.toml
  wharf build --only cache --only api
  wharf build --install";

const DEV_EXAMPLES: &str = "\
What is built, and how, is what `wharf build` builds; what is served, what `wharf serve` serves. A change that builds takes the \
place of what was there without dropping a request. While the newest source does not build, the compiler's text is here and in \
the browser, in the place of the page; programs, scripts and styles are answered by the last version that did build.

Pages get a script that loads them again, from /.wharf/dev/reload.js; others may listen to /.wharf/dev/events, whose events \
are `reload`, `failed` and `fixed`.

Ctrl-C or SIGTERM: end a build, stop accepting, finish what has begun, exit. A second one exits at once.

Exit status:
  0  stopped, with every request finished
  1  could not begin, or requests were cut off
  2  wrong usage

Examples:
  wharf dev
  wharf dev my-shop --addr 127.0.0.1:3000
  wharf dev --no-script";

const DOCTOR_EXAMPLES: &str = "\
What --install installs, and on a terminal asks for, is what `wharf build --help` names; the rest is left to you.

Exit status:
  0  all that the manifest's components need is there
  1  something is missing; stdout says what, and the command that installs it
  2  wrong usage

Examples:
  wharf doctor
  wharf doctor apps/shop/wharf.toml
  wharf doctor --install";

/// Make a project from a template
///
/// Asks for the name, the template and the language where they are not given and somebody is at the terminal.
#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
pub struct New {
    /// The project's folder, which is empty or not there, or `.`; its last part is the project's name, such as my-shop
    #[arg(value_name = "NAME")]
    pub name: Option<PathBuf>,

    /// What it is to be, as --list names it [default: http]
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<String>,

    /// In which language: rust, go, python, javascript or c
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<String>,

    /// List the templates, and make nothing
    #[arg(long)]
    pub list: bool,
}

/// Build the components of a manifest
///
/// Each as its section [build] says: with the toolchain of its language, or by a command. Components are built side by side,
/// and only where something has changed. A component is replaced when the new one is there as a whole.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXAMPLES)]
pub struct Build {
    /// The manifest, or the folder of a wharf.toml
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,

    /// Build this component alone: its name in the manifest, or the app's; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,

    /// How many components to build at a time [default: as many as there are processors]
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<NonZeroUsize>,

    /// Install tools that are missing, where that touches nothing but the project and the user's own Rust
    #[arg(long)]
    pub install: bool,
}

/// Build and serve, and do it again with each change
///
/// Watches the sources of the manifest's components, builds what has changed and serves it in the place of what was there. Lines
/// of components and their builds begin with the component's name.
#[derive(Debug, Args)]
#[command(after_help = DEV_EXAMPLES)]
pub struct Dev {
    /// The manifest, or the folder of a wharf.toml
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,

    /// Where to listen; port 0 picks a free one [default: what the manifest says, else 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT|unix:PATH", value_parser = value::listen)]
    pub addr: Option<ListenAddress>,

    /// How many components to build at a time [default: as many as there are processors]
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<NonZeroUsize>,

    /// Leave pages as they are: without the script that loads them again
    #[arg(long)]
    pub no_script: bool,

    #[command(flatten)]
    pub machine: Machine,

    /// What to write to stderr beside builds and guests: off, error, warn, info, debug or trace, or a list
    #[arg(long, value_name = "LEVEL", default_value = "warn", env = "WHARF_LOG", hide_env_values = true, value_parser = value::targets)]
    #[arg(help_heading = "Other")]
    pub log: Targets,
}

impl Dev {
    /// What serves in the meantime.
    pub fn into_serve(self) -> Serve {
        Serve {
            file: self.file,
            addr: self.addr,
            tls_certificate: None,
            tls_key: None,
            admin: None,
            isolation: None,
            middleware: Vec::new(),
            drain_timeout: None,
            head_timeout: None,
            idle_timeout: None,
            grants: Grants::default(),
            limits: ServeLimits::default(),
            machine: self.machine,
            // Who develops may well look into it with a debugger.
            core_dumps: true,
            log: self.log,
        }
    }
}

/// Say which tools of which language are here, and what installs the others
///
/// With a manifest, for the languages of its components; without one here, for all five.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    /// The manifest, or the folder of a wharf.toml [default: the one here, if there is one]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Install what is missing, where that touches nothing but the project and the user's own Rust
    #[arg(long)]
    pub install: bool,
}

//! The commands of those who make components: what a file is, its code, a call by hand, the interfaces there are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Alone, value};

const INSPECT_EXAMPLES: &str = "\
Exit status:
  0  described; of two files, nobody who uses the first breaks with the second
  1  somebody breaks; of one file, it is not valid
  2  a file cannot be read, or wrong usage

Examples:
  wharf inspect app.wasm
  wharf inspect --json app.wasm | jq .imports
  wharf inspect --wit app.wasm > app.wit
  wharf inspect app-1.0.wasm app-1.1.wasm || echo 'a new major version'";

const COMPOSE_EXAMPLES: &str = "\
Exit status:
  0  composed; stdout says who calls whom
  1  could not be composed or written; stderr says why
  2  wrong usage

Examples:
  wharf compose api.wasm cache.wasm database.wasm -o shop.wasm
  wharf compose service.wasm --middleware guard.wasm -o guarded.wasm
  wharf compose . --component api -o shop.wasm";

const COMPILE_EXAMPLES: &str = "\
Exit status:
  0  compiled
  1  could not be compiled or written; stderr says why
  2  wrong usage

Examples:
  wharf compile app.wasm
  wharf compile app.wasm -o build/app.cwasm
  wharf compile --target x86_64-unknown-linux-gnu app.wasm
      For any x86_64 machine with Linux, not only for those whose processor can do what this one can.
  wharf serve --allow-precompiled app.cwasm";

const CALL_EXAMPLES: &str = "\
Values are written in WAVE, the component model's own notation:
  42  -1.5  true  'c'  \"text\"  [1, 2]  (1, \"a\")  {name: \"a\", size: 3}  some(1)  none  ok(1)  err(\"why\")
  a-case  a-case(1)  {a-flag, another}

Exit status:
  0    the function returned
  1    the function returned an err; it is printed as well
  2    wrong usage: no such function, or values of other types
  124  it took longer than --timeout
  134  it trapped; a backtrace is on stderr
  125  the component could not be started

Examples:
  wharf call math.wasm
      List the functions there are.
  wharf call math.wasm add 40 2
  wharf call shop.wasm 'acme:shop/cart@1.0.0#total' '[{name: \"tea\", price: 4}]'
  wharf call --allow-outbound api.example.com client.wasm fetch '\"/users\"'";

/// Call a function of a component by hand
///
/// Without EXPORT, lists the functions there are. EXPORT is a function's name, with its interface and a # before it where several
/// have it. A result's streams and futures of numbers, text and bytes are read to their end and printed as a list, text or value.
/// The component reaches nothing but its standard streams and what the flags below allow.
#[derive(Debug, Args)]
#[command(after_help = CALL_EXAMPLES, override_usage = "wharf call [OPTIONS] <FILE> [EXPORT] [ARGS]...")]
pub struct Call {
    // One argument, not three: with more, `clap` would take negative numbers for flags.
    /// The component; the function; a value for each of its parameters, also where it looks like a flag: options stand before
    #[arg(value_names = ["FILE", "EXPORT", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true)]
    words: Vec<OsString>,

    /// How long the function may take, its streams included
    #[arg(long, value_name = "DURATION", value_parser = value::time, default_value = "30s", help_heading = "Limits")]
    pub timeout: Duration,

    #[command(flatten)]
    pub alone: Alone,
}

impl Call {
    /// The component, the function, and the values for it.
    pub fn parts(&self) -> (&Path, Option<&OsStr>, &[OsString]) {
        match &self.words[..] {
            [file, function, values @ ..] => (Path::new(file), Some(function), values),
            [file] => (Path::new(file), None, &[]),
            // `clap` requires one value.
            [] => (Path::new(""), None, &[]),
        }
    }
}

/// Join components into one
///
/// Each import of FILE that one of WITH exports leads there, and so do theirs among each other: where several export it, to the first
/// behind it. Or FILE is a manifest, whose `links` and `middleware` say who is joined with whom. What comes out is a component
/// like any other, for any host. All parts live in one instance, also those with `instance = "own"` in a manifest.
#[derive(Debug, Args)]
#[command(after_help = COMPOSE_EXAMPLES)]
pub struct Compose {
    /// The component whose exports the whole has; or a manifest (.toml), or the folder of one
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Components that export what it imports, or what others of them import
    #[arg(value_name = "WITH")]
    pub with: Vec<PathBuf>,

    /// Where to write the whole
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,

    /// A component that stands in front of FILE, which is a service; the first given is outermost
    #[arg(long, value_name = "FILE")]
    pub middleware: Vec<PathBuf>,

    /// Which component of the manifest [default: the one that links to others or has middleware]
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,
}

/// Compile a component to a file that starts without a compiler
///
/// What comes out is machine code, for this version of Wharf and for processors that can do what this one can. It is run only
/// with --allow-precompiled: it can do all that Wharf can, whatever is granted. For components that are compiled where they
/// run none of this is needed: their code is kept in the cache.
#[derive(Debug, Args)]
#[command(after_help = COMPILE_EXAMPLES)]
pub struct Compile {
    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where to write the code [default: FILE, with the extension .cwasm]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// The machines to compile for, as a target triple [default: those with a processor like this one]
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,

    /// For machines whose address space is too small for a pool of instances, such as 39-bit boards
    #[arg(long)]
    pub in_little_space: bool,
}

/// Say what a component is, what it needs and offers, and what changed
///
/// FILE is a component; also a core module, a WIT package in binary form, or compiled code, as far as there is something to
/// say. With OTHER, says what is different there, and whether those break who use FILE: an export that is gone or changed, an
/// import that is new. Nothing is run.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct Inspect {
    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A later version of it, to compare it with
    #[arg(value_name = "OTHER")]
    pub other: Option<PathBuf>,

    /// Print JSON, whose shape is documented (docs/reference/inspect.md)
    #[arg(long)]
    pub json: bool,

    /// Print its world as WIT
    #[arg(long, conflicts_with_all = ["json", "other"])]
    pub wit: bool,
}

const WIT_EXAMPLES: &str = "\
Exit status:
  0  done
  1  could not be done, and nothing was written; stderr says why
  2  wrong usage

Examples:
  wharf wit list
  wharf wit show wharf:sql
  wharf wit add wasi:http wharf:sql
      To wit/deps, with what they need; wit/wharf-wit.lock says what that is.
  wharf wit add ../store/wit ./other.wasm
      Packages of your own, or another team's: of a folder, and of what a
      component exports. The lock says where they came from; adding them again
      renews them.";

/// Show the interfaces that components can import, and put them into a project
#[derive(Debug, Args)]
#[command(after_help = WIT_EXAMPLES)]
pub struct Wit {
    #[command(subcommand)]
    pub command: WitCommand,
}

/// What to do with interfaces.
#[derive(Debug, Subcommand)]
pub enum WitCommand {
    /// Name all packages, each with the section of a manifest that an app needs for it, and those that a project has from elsewhere
    List {
        /// The folder of the project's WIT
        #[arg(long, value_name = "FOLDER", default_value = "wit")]
        of: PathBuf,
    },
    /// Print a package: one that Wharf has, or one that a project has from elsewhere
    Show {
        /// Its name, with its version or without for the newest, as wasi:http@0.3.2
        #[arg(value_name = "PACKAGE")]
        package: String,

        /// The folder of the project's WIT
        #[arg(long, value_name = "FOLDER", default_value = "wit")]
        of: PathBuf,
    },
    Add(AddWit),
}

/// Write packages into a project's folder, with what they need, and lock their versions
///
/// What is there already and the same stays. A file that somebody has changed is not overwritten: then nothing is written.
#[derive(Debug, Args)]
pub struct AddWit {
    /// Their names, with their versions or without for the newest; or a folder of WIT, a file of it, or a component, whose exports'
    /// packages are taken
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,

    /// The folder of the project's WIT; packages go to `deps` in it
    #[arg(long, value_name = "FOLDER", default_value = "wit")]
    pub to: PathBuf,

    /// Overwrite files that somebody has changed
    #[arg(long)]
    pub force: bool,
}

//! Every command and flag, and the help that explains them.
//!
//! What a flag's value means is in `cli/value.rs`; what a command does, in `command.rs`.

mod develop;
pub mod secrets;
pub mod tools;
pub mod value;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};

use tracing_subscriber::filter::Targets;
use wharf_server::manifest::app::ListenAddress;

pub use develop::{Build, Dev, Doctor, New};
use value::{Folder, Variable};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (Wasmtime ", env!("WASMTIME_VERSION"), ")");

const EXAMPLES: &str = "\
Examples:
  wharf serve app.wasm
      Answer requests at http://127.0.0.1:8080.
  wharf serve wharf.toml
      Serve what a manifest says: an app with its routes, limits and grants, or many of them.
  wharf serve --addr 0.0.0.0:80 --allow-outbound 'https://*.a.example' app.wasm
      The same for everybody, and let the component call one site.
  wharf run tool.wasm --verbose input.txt
      Run a program; what follows the file is for the program.

`wharf help COMMAND` says more.";

const RUN_EXAMPLES: &str = "\
Exit status:
  0    the program returned without an error
  1    the program returned an error
  N    the program exited with status N
  134  the program trapped; a backtrace is on stderr
  125  the program could not be started
  2    wrong usage

Examples:
  wharf run tool.wasm --verbose input.txt
  wharf run --env LANG=C --dir .::/data tool.wasm /data/input.txt
  wharf run --allow-net db.example.com:5432 --allow-outbound '*' tool.wasm";

const SERVE_EXAMPLES: &str = "\
Ctrl-C or SIGTERM: stop accepting, finish what has begun, exit. A second one exits at once.
SIGHUP, or a change of a file that was read: read all anew, and serve what changed without dropping a request.

Exit status:
  0  stopped, with every request finished
  1  could not serve, or requests were cut off after --drain-timeout
  2  wrong usage

Examples:
  wharf serve app.wasm
  wharf serve apps/shop/wharf.toml
  wharf serve --addr '[::]:443' --tls-certificate a.pem --tls-key a.key a.wasm
  wharf serve --addr '[::]:80' --env MODE=test --dir-ro ./site::/site app.wasm
  wharf serve --middleware auth.wasm --middleware compress.wasm app.wasm
  wharf serve --isolation request --max-memory 64MiB --timeout 5s app.wasm";

const CHECK_EXAMPLES: &str = "\
Exit status:
  0  nothing is wrong
  1  something is; stderr says what, where, and what to do
  2  wrong usage

Examples:
  wharf check
  wharf check apps/shop/wharf.toml
  wharf check /etc/wharf && systemctl reload wharf";

const SCHEMA_EXAMPLES: &str = "\
Exit status:
  0  printed
  2  wrong usage

Examples:
  wharf schema > wharf.schema.json
  wharf schema --reference";

/// Serves and runs WebAssembly components with native async.
#[derive(Debug, Parser)]
#[command(name = "wharf", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Box<Serve>),
    Run(Run),
    New(New),
    Build(Build),
    Dev(Box<Dev>),
    Doctor(Doctor),
    Check(Check),
    Schema(Schema),
    Secrets(secrets::Secrets),
    Inspect(tools::Inspect),
    Compose(tools::Compose),
    Compile(tools::Compile),
    Call(Box<tools::Call>),
    Wit(tools::Wit),
    #[command(name = crate::compile::COMMAND, hide = true)]
    CompileApart(CompileApart),
}

/// Answer HTTP requests with components
///
/// FILE is a component of the world wasi:http/service@0.3 or wasi:http/proxy@0.2, which reaches nothing but what the
/// flags below allow; or a manifest, wharf.toml, of an app or of a server with many; or the folder that holds one. A
/// manifest says itself what its apps may reach and use. As soon as the apps can answer, the first line on stderr says
/// where.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// The component, or a manifest (.toml), or the folder of one
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:8080]
    ///
    /// Or the name of a socket that systemd hands over, as systemd:NAME. Goes before what a manifest says.
    #[arg(long, value_name = "HOST:PORT|unix:PATH", value_parser = value::listen)]
    #[arg(help_heading = "Serving")]
    pub addr: Option<ListenAddress>,

    /// The certificate to speak TLS with, and those between it and its authority, in PEM form
    ///
    /// It is for what --addr says, and for listeners with `tls = true` of a manifest, in the place of its own certificates.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Serving")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's private key, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "Serving")]
    pub tls_key: Option<PathBuf>,

    /// Where to answer /livez, /readyz and /metrics, whatever a manifest says [default: a Unix socket, wharf-PID.sock, in
    /// $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, where there is one of these]
    #[arg(long, value_name = "HOST:PORT|unix:PATH|none", value_parser = value::admin, help_heading = "Serving")]
    pub admin: Option<Admin>,

    /// How many requests meet in one instance [default: serial for WASI 0.3, request for 0.2]
    #[arg(long, value_name = "HOW", value_enum, help_heading = "Serving")]
    pub isolation: Option<Isolation>,

    /// A component to put in front, which sees each request first; the first given is outermost
    ///
    /// It is of the world wasi:http/middleware@0.3. May be given several times.
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub middleware: Vec<PathBuf>,

    /// How long requests may take to finish once the server stops, or once their app was replaced [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    #[arg(help_heading = "Serving")]
    pub drain_timeout: Option<Duration>,

    /// How long a client may take to send the head of a request [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::time)]
    #[arg(help_heading = "Serving")]
    pub head_timeout: Option<Duration>,

    /// How long a connection may be without a request [default: 75s]
    #[arg(long, value_name = "DURATION", value_parser = value::time)]
    #[arg(help_heading = "Serving")]
    pub idle_timeout: Option<Duration>,

    #[command(flatten)]
    pub grants: Grants,

    #[command(flatten)]
    pub limits: ServeLimits,

    #[command(flatten)]
    pub machine: Machine,

    /// Let the system write a core dump where the server itself crashes, and let debuggers of the same user look into it
    ///
    /// Its memory holds the secrets of all apps, and a core dump is a copy of it. Without this the system makes none.
    #[arg(long, help_heading = "Other")]
    pub core_dumps: bool,

    /// What to write to stderr: off, error, warn, info, debug or trace, or a list such as info,wharf_server=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "WHARF_LOG", hide_env_values = true, value_parser = value::targets)]
    #[arg(help_heading = "Other")]
    pub log: Targets,
}

/// Run a component as a program
///
/// FILE is a component of the world wasi:cli/command, of WASI 0.3 or 0.2. It reaches nothing but its standard streams
/// and what the flags below allow. Everything after FILE is for the program.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, override_usage = "wharf run [OPTIONS] <FILE> [ARGS]...")]
pub struct Run {
    // One argument, not two: with a second one, `clap` would take a `--` between FILE and ARGS for itself.
    /// The component, whose name becomes the program's first argument, and then the program's other arguments, even
    /// where they look like flags
    #[arg(value_names = ["FILE", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true)]
    file_and_args: Vec<OsString>,

    #[command(flatten)]
    pub alone: Alone,
}

impl Run {
    /// The component, and the program's arguments.
    pub fn file_and_arguments(&self) -> (&Path, &[OsString]) {
        match self.file_and_args.split_first() {
            Some((file, arguments)) => (Path::new(file), arguments),
            // `clap` requires one value.
            None => (Path::new(""), &[]),
        }
    }
}

/// What the component may reach. Nothing is allowed that is not given here; all may be given several times.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What the component may reach (each may be given several times)")]
pub struct Grants {
    /// A variable of its environment, which holds nothing else
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub variables: Vec<Variable>,

    /// A folder it may read and write, and where it sees it; without ::GUEST, under the same path
    #[arg(long = "dir", value_name = "HOST::GUEST")]
    pub folders: Vec<Folder>,

    /// A folder it may only read
    #[arg(long = "dir-ro", value_name = "HOST::GUEST")]
    pub read_only_folders: Vec<Folder>,

    /// Hosts that its sockets and name lookups reach: NAME, *.NAME, ADDRESS or NETWORK/BITS, then :PORT or nothing
    ///
    /// A name does not reach private addresses, whatever it resolves to: those are granted as addresses. '*' allows
    /// everything, this machine included.
    #[arg(long, value_name = "PATTERN", value_parser = value::socket_pattern)]
    pub allow_net: Vec<String>,

    /// Hosts that its HTTP requests reach: as for --allow-net, with http:// or https:// before it or nothing
    ///
    /// A name does not reach private addresses, whatever it resolves to: those are granted as addresses. '*' allows
    /// everything, this machine included.
    #[arg(long, value_name = "PATTERN", value_parser = value::pattern)]
    pub allow_outbound: Vec<String>,

    /// Certificates (PEM) to trust for these requests, beside the system's and Mozilla's
    #[arg(long, value_name = "FILE")]
    pub outbound_ca: Vec<PathBuf>,
}

/// What one instance or request may use under `serve`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct ServeLimits {
    /// How much memory one instance may use [default: 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub max_memory: Option<usize>,

    /// How long an instance may compute without once waiting; past it, 504 [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = value::time)]
    pub max_cpu_time: Option<Duration>,

    /// How many instances there may be at a time [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_instances: Option<u32>,

    /// How long a request may take until its response begins; past it, 504 [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::time)]
    pub timeout: Option<Duration>,

    /// How long a request waits for an instance to be free; past it, 503 [default: 5s]
    ///
    /// Where requests have been waiting all the time for a quarter of a second, newcomers wait for 20 ms at most: that is no
    /// burst, but more than can be done.
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub queue_timeout: Option<Duration>,

    /// How long a component may go on working after its response has ended [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub background_timeout: Option<Duration>,
}

/// Check a manifest or a component without serving it
///
/// Reads FILE and all it names: manifests, components, folders, certificates. Says what is wrong and where, and what
/// each app needs that it is not granted; of a component, what it would need of flags. Nothing is compiled or started, and no network is used.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    /// The manifest, whose name ends in .toml, or the folder that holds one, or a component
    #[arg(value_name = "FILE", default_value = ".")]
    pub file: PathBuf,
}

/// Print the JSON schema of manifests, for editors
#[derive(Debug, Args)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub struct Schema {
    /// Print the reference instead, as Markdown
    #[arg(long)]
    pub reference: bool,
}

/// Compile what comes on standard input, for the server that started this.
#[derive(Debug, Args)]
pub struct CompileApart {
    /// Where to leave the code
    #[arg(long)]
    pub cache: Option<PathBuf>,

    /// Join components instead, and write the whole to standard output
    #[arg(long, conflicts_with = "cache")]
    pub join: bool,

    /// Write the code to standard output
    #[arg(long, conflicts_with_all = ["cache", "join"])]
    pub artefact: bool,

    /// The target triple to compile for
    #[arg(long, requires = "artefact")]
    pub target: Option<String>,

    /// Memory that it may use, in bytes
    #[arg(long)]
    pub memory: u64,

    /// Processor time that it may use, in seconds of all its threads
    #[arg(long)]
    pub cpu_seconds: u64,

    /// For an engine whose address space holds no pool of instances
    #[arg(long)]
    pub in_little_space: bool,

    /// In messages
    pub name: String,
}

/// Where those who run a server reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Nowhere.
    Off,
    /// `HOST:PORT`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Serve {
    /// A flag that was given and that a manifest says itself.
    pub fn flag_of_an_app(&self) -> Option<&'static str> {
        let (grants, limits) = (&self.grants, &self.limits);
        let given = [
            ("--isolation", self.isolation.is_some()),
            ("--middleware", !self.middleware.is_empty()),
            ("--env", !grants.variables.is_empty()),
            ("--dir", !grants.folders.is_empty()),
            ("--dir-ro", !grants.read_only_folders.is_empty()),
            ("--allow-net", !grants.allow_net.is_empty()),
            ("--allow-outbound", !grants.allow_outbound.is_empty()),
            ("--outbound-ca", !grants.outbound_ca.is_empty()),
            ("--max-memory", limits.max_memory.is_some()),
            ("--max-cpu-time", limits.max_cpu_time.is_some()),
            ("--max-instances", limits.max_instances.is_some()),
            ("--timeout", limits.timeout.is_some()),
            ("--queue-timeout", limits.queue_timeout.is_some()),
            ("--background-timeout", limits.background_timeout.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// What a command has that makes one instance, and ends with it.
#[derive(Debug, Args)]
pub struct Alone {
    #[command(flatten)]
    pub grants: Grants,

    /// How much memory the component may use [default: no limit but the machine's]
    #[arg(long, value_name = "SIZE", value_parser = value::size, help_heading = "Limits")]
    pub max_memory: Option<usize>,

    #[command(flatten)]
    pub machine: Machine,

    /// What to write to stderr: off, error, warn, info, debug or trace, or a list such as info,wharf_host=debug
    #[arg(long, value_name = "LEVEL", default_value = "warn", env = "WHARF_LOG", hide_env_values = true, value_parser = value::targets)]
    #[arg(help_heading = "Other")]
    pub log: Targets,
}

/// What the program uses of this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Other")]
pub struct Machine {
    /// Where to keep compiled code [default: $CACHE_DIRECTORY, which systemd sets, or the user's folder for caches]
    #[arg(long, value_name = "FOLDER", env = "WHARF_CACHE", hide_env_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub cache: Option<PathBuf>,

    /// Compile anew and keep nothing, whatever --cache says
    #[arg(long)]
    pub no_cache: bool,

    /// Take files of compiled code in the place of components: those that `wharf compile` has made
    ///
    /// Such code can do all that this program can, whatever is granted: allow it only where you know who made every file.
    #[arg(long)]
    pub allow_precompiled: bool,
}

/// How many requests meet in one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// A fresh instance for each request
    Request,
    /// One request at a time; an instance is used again, a bounded number of times
    Serial,
    /// Many requests at a time; a trap ends them all (WASI 0.3 only)
    Shared,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap()
    }

    #[track_caller]
    fn check_refused(line: &str, message: &str) {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(message), "{error}");
    }

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_file_is_the_programs() {
        for arguments in ["", "--env B=2 -- --help -x", "-- a", "-h", "--version", "a -- --"] {
            let Command::Run(run) = parse(&format!("wharf run --env A=1 tool.wasm {arguments}")).command else {
                panic!("run")
            };
            assert_eq!(run.alone.grants.variables, ["A=1".parse().unwrap()]);
            let expected: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
            assert_eq!(run.file_and_arguments(), (Path::new("tool.wasm"), expected.as_slice()));
        }
    }

    #[test]
    fn lists_keep_their_order() {
        let Command::Serve(serve) = parse("wharf serve --middleware a --middleware b c").command else {
            panic!("serve")
        };
        assert_eq!(serve.middleware, [PathBuf::from("a"), PathBuf::from("b")]);
    }

    #[test]
    fn bad_values_name_the_flag_and_what_was_expected() {
        check_refused(
            "wharf serve --drain-timeout 30 a.wasm",
            "--drain-timeout <DURATION>': expected a number",
        );
        check_refused(
            "wharf serve --max-memory lots a.wasm",
            "--max-memory <SIZE>': expected a number",
        );
        check_refused(
            "wharf serve --addr 8080 a.wasm",
            "--addr <HOST:PORT|unix:PATH>': expected HOST:PORT",
        );
        check_refused(
            "wharf serve --isolation none a.wasm",
            "[possible values: request, serial, shared]",
        );
        check_refused("wharf serve --max-instances 0 a.wasm", "--max-instances");
        check_refused("wharf run --env A a.wasm", "--env <NAME=VALUE>': expected NAME=VALUE");
        check_refused(
            "wharf run --allow-net a/b a.wasm",
            "--allow-net <PATTERN>': `a/b` is not a pattern",
        );
        check_refused(
            "wharf run --allow-net http://a a.wasm",
            "--allow-net <PATTERN>': sockets have no scheme",
        );
        check_refused(
            "wharf run --allow-outbound a..b a.wasm",
            "--allow-outbound <PATTERN>': `a..b` is not a pattern",
        );
        check_refused(
            "wharf run --dir :: a.wasm",
            "--dir <HOST::GUEST>': expected HOST::GUEST",
        );
        check_refused("wharf serve --log loud a.wasm", "--log <LEVEL>': \"loud\" is no level");
        check_refused("wharf run", "<FILE>");
        check_refused("wharf run --dirr a.wasm", "unexpected argument '--dirr'");
        check_refused("wharf sarve", "serve");
    }
}

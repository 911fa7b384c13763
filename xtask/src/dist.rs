//! The program that people install: built, put under load, and built again with what it did there (profile-guided optimisation).
//!
//! Most of what a request costs is code that the processor has to fetch; a compiler that knows which code runs puts that together
//! and the rest out of the way. What it is to know comes from the benchmark's own workloads (its group `training`), which touch
//! what a server does: code that no load touched is made small instead of fast.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian;
use crate::guests;
use crate::toolchain;
use crate::workspace::{Workspace, run};

/// What a package calls a program of its own.
#[derive(Clone, Copy)]
pub struct Program {
    package: &'static str,
    name: &'static str,
}

pub const WHARF: Program = Program {
    package: "wharf",
    name: "wharf",
};

/// Those that Wharf is measured against must not lack what it has.
pub const NATIVE: [Program; 2] = [
    Program {
        package: "wharf-bench",
        name: "native",
    },
    Program {
        package: "wharf-bench",
        name: "native-data",
    },
];

/// What puts them under load, and what its workloads ask for besides; the latter are left out where they are missing.
const CLIENTS: [&str; 2] = ["wrk", "h2load"];
const ASKED: [&str; 2] = ["postgres", "redis-server"];

/// Where the benchmark has programs write what they counted.
const COUNTS: &str = "WHARF_BENCH_COUNTS";

/// Builds the program with a new profile, into `target/wharf`.
pub fn dist(workspace: &Workspace) -> Result<()> {
    let build = Build::of(workspace)?;
    build.learn(&[WHARF])?;
    let built = build.with_profile(WHARF)?;
    let program = workspace.target().join(WHARF.file());
    fs::copy(&built, &program).with_context(|| format!("cannot write {}", program.display()))?;
    println!(
        "Built {} ({} MB)",
        program.display(),
        fs::metadata(&program)?.len() / 1_000_000
    );
    Ok(())
}

/// Builds `programs` with the profiles that are there; all of them are made anew where one is missing.
pub fn with_profiles(workspace: &Workspace, programs: &[Program]) -> Result<Vec<PathBuf>> {
    let build = Build::of(workspace)?;
    if programs.iter().any(|&program| build.profile(program).is_err()) {
        build.learn(programs)?;
    }
    programs.iter().map(|&program| build.with_profile(program)).collect()
}

impl Program {
    fn file(self) -> PathBuf {
        Path::new(self.name).with_extension(std::env::consts::EXE_EXTENSION)
    }
}

struct Build<'a> {
    workspace: &'a Workspace,
    /// What is built for itself, and not for build scripts and macros, has a system's name in its path.
    host: String,
    folder: PathBuf,
    merge: PathBuf,
}

impl<'a> Build<'a> {
    fn of(workspace: &'a Workspace) -> Result<Self> {
        let host = toolchain::host()?;
        Ok(Self {
            merge: toolchain::profile_tool(&host)?,
            folder: workspace.target().join("profiled"),
            workspace,
            host,
        })
    }

    fn profiles(&self, program: Program) -> PathBuf {
        self.folder.join("profiles").join(program.name)
    }

    /// The one that is there.
    fn profile(&self, program: Program) -> Result<PathBuf> {
        let folder = self.profiles(program);
        let mut files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let file = files.next().with_context(|| format!("{} is empty", folder.display()))?;
        Ok(file?.path())
    }

    /// Has `programs` count what they do under load, and keeps that.
    fn learn(&self, programs: &[Program]) -> Result<()> {
        debian::packages(&CLIENTS)?;
        guests::build(self.workspace)?;
        println!("Building the benchmark");
        let mut cargo = self
            .workspace
            .cargo(["build", "--profile", "dist", "--package", "wharf-bench"]);
        run(&mut cargo)?;
        let plain = self.workspace.target().join("dist");
        let (bin, counts) = (self.folder.join("bin"), self.folder.join("raw"));
        // Counts of other code would be taken for this one's.
        let _ = fs::remove_dir_all(&counts);
        for folder in [&bin, &counts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for program in NATIVE {
            fs::copy(plain.join(program.file()), bin.join(program.file()))?;
        }
        for &program in programs {
            println!("Building {} so that it counts what it does", program.name);
            let counting = self.compile(program, &format!("-Cprofile-generate={}", counts.display()))?;
            fs::copy(counting, bin.join(program.file()))?;
        }
        println!("Putting them under load");
        run(Command::new(plain.join("wharf-bench"))
            .env(COUNTS, &counts)
            .env("WHARF_TESTS_WITHOUT", debian::missing(&ASKED).join(" "))
            .arg("--bin")
            .arg(&bin)
            .arg("--guests")
            .arg(self.workspace.target().join("guests"))
            .arg("--out")
            .arg(&self.folder)
            .args(["--present", "--quick", "--rounds", "1", "training"]))?;
        programs.iter().try_for_each(|&program| self.merge(program, &counts))
    }

    /// Makes the profile of what `program` counted. Its name says what is in it: Cargo looks at the name alone.
    fn merge(&self, program: Program, counts: &Path) -> Result<()> {
        let folder = self.profiles(program);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let merged = self.folder.join("merged.profdata");
        let mut merge = Command::new(&self.merge);
        merge
            .args(["merge", "--output"])
            .arg(&merged)
            .arg(counts.join(program.name));
        run(&mut merge)?;
        let mut hasher = DefaultHasher::new();
        fs::read(&merged)?.hash(&mut hasher);
        let named = folder.join(format!("{:016x}.profdata", hasher.finish()));
        fs::rename(&merged, &named).with_context(|| format!("cannot write {}", named.display()))
    }

    fn with_profile(&self, program: Program) -> Result<PathBuf> {
        let profile = self.profile(program)?;
        println!("Building {} with what it counted", program.name);
        self.compile(program, &format!("-Cprofile-use={}", profile.display()))
    }

    /// Builds one program by itself, as somebody who installs it would.
    fn compile(&self, program: Program, flag: &str) -> Result<PathBuf> {
        let mut command = self
            .workspace
            .cargo(["build", "--profile", "dist", "--package", program.package]);
        command.args(["--bin", program.name, "--target", &self.host]);
        command.arg("--target-dir").arg(&self.folder).env("RUSTFLAGS", flag);
        run(&mut command)?;
        Ok(self.folder.join(&self.host).join("dist").join(program.file()))
    }
}

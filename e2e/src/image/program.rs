//! Static programs for images: built by cargo for this machine's architecture and musl, with the C compiler that is
//! there anyway.

use std::env;
use std::env::consts::{ARCH, OS};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::{cargo, shared};

/// A package of this workspace whose program, called like the package, is linked statically.
#[derive(Debug, Clone, Copy)]
pub struct StaticProgram<'a> {
    /// `hostport`
    pub package: &'a str,
    /// The profile of cargo: `release`, or `quick` where nobody waits for the optimizer.
    pub profile: &'a str,
    /// It says of which crates it was made.
    pub auditable: bool,
}

impl StaticProgram<'_> {
    /// Builds it in cargo's target folder and returns where it is.
    pub fn build(self) -> Result<PathBuf> {
        let here = shared::target_dir()?;
        self.build_in(here.parent().context("cargo's target folder has no parent")?)
    }

    /// Builds it in another folder, where nothing is there yet.
    pub fn build_in(self, dir: &Path) -> Result<PathBuf> {
        ensure!(
            OS == "linux",
            "a program for images is built on Linux only; elsewhere use `docker build .`, which does it in a container"
        );
        let target = format!("{ARCH}-unknown-linux-musl");
        add_target(&target)?;

        let environment = environment(&target)?;
        let cargo = if self.auditable { cargo::auditable()? } else { cargo::cargo() };
        cargo::build(cargo, self.package, self.profile, dir, |cargo| {
            cargo.args(["--locked", "--target", &target]).envs(environment);
        })?;
        let program = dir.join(&target).join(self.profile).join(self.package);
        ensure!(
            program.is_file(),
            "cargo built package {}, but there is no {}",
            self.package,
            program.display()
        );
        Ok(program)
    }
}

/// The standard library for this target; rustup brings it, and fails if it is asked twice at once.
fn add_target(target: &str) -> Result<()> {
    static ADDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ADDING.lock();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("ask rustc where its libraries are")?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("Fetching Rust's libraries for {target} (rustup target add {target}) …");
    let added = Command::new("rustup").args(["target", "add", target]).stdout(Stdio::null()).status();
    ensure!(
        added.is_ok_and(|status| status.success()),
        "there are no Rust libraries for {target}: run `rustup target add {target}`, or install them as you installed Rust"
    );
    Ok(())
}

/// What cargo needs to know beyond its arguments; what the user has set stays.
fn environment(target: &str) -> Result<Vec<(String, OsString)>> {
    let name = target.replace('-', "_");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a folder")?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));

    // Messages of panics name source files: without it the bytes would tell whose machine they come from.
    let mut flags = vec![format!("--remap-path-prefix={}=", workspace.display())];
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    let wanted = [
        // ring has some C, which needs no musl of its own: any compiler will do, with no helpers of glibc called.
        (format!("CC_{name}"), "cc".into()),
        (format!("CFLAGS_{name}"), "-U_FORTIFY_SOURCE".into()),
        // Flags may hold spaces: they are separated by this character.
        ("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags.join("\x1f").into()),
    ];
    Ok(wanted.into_iter().filter(|(variable, _)| env::var_os(variable).is_none()).collect())
}

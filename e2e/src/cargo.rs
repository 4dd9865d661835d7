//! cargo, called from a program that cargo itself has started.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::gobuild::cache_dir;

/// cargo in this workspace. What an outer cargo told us of our own package would look like a change to build scripts
/// (ring's), and half of all dependencies would be built anew, here and by the next cargo outside.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    });
    for name in told {
        cargo.env_remove(name);
    }
    cargo
}

/// `cargo auditable`: programs say of which crates they were made, in a section of a few KB that `syft`, `trivy`,
/// `osv-scanner` and `cargo audit bin` read.
pub(crate) fn auditable() -> Result<Command> {
    let mut cargo = cargo();
    cargo.env("PATH", path_with(&installed("cargo-auditable", AUDITABLE)?)?).arg("auditable");
    Ok(cargo)
}

const AUDITABLE: &str = "0.7.7";

/// The folder with a program of crates.io, built into the cache folder once on this machine.
fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let root = cache.join(format!("{name}-{version}"));
    let dir = root.join("bin");
    if !dir.join(name).is_file() {
        fs::create_dir_all(&cache).with_context(|| format!("create the cache folder {}", cache.display()))?;
        eprintln!("Building {name} {version} from source, once on this machine …");
        let mut cargo = cargo();
        cargo.args(["install", "--quiet", "--locked", "--version", version, "--root"]).arg(&root).arg(name);
        // Outside the workspace, whose configuration is not for it.
        cargo.env_remove("CARGO_TARGET_DIR").current_dir(&cache);
        let status = cargo.status().with_context(|| format!("run cargo to install {name}"))?;
        ensure!(status.success(), "cargo could not install {name} {version} ({status})");
    }
    Ok(dir)
}

fn path_with(dir: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([dir.to_owned()].into_iter().chain(env::split_paths(&path))).context("extend PATH")
}

/// Builds a package of this workspace into that target folder; its errors go to stderr.
pub(crate) fn build(
    mut cargo: Command,
    package: &str,
    profile: &str,
    target_dir: &Path,
    adjust: impl FnOnce(&mut Command),
) -> Result<()> {
    cargo.arg("build");
    // Who watches sees how far it is.
    if !stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    cargo.args(["--package", package, "--profile", profile, "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target_dir);
    adjust(&mut cargo);
    let status = cargo.status().with_context(|| format!("run cargo to build package {package}"))?;
    ensure!(status.success(), "cargo could not build package {package} ({status}); its errors are above");
    Ok(())
}

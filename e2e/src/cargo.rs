//! cargo, called from a program that cargo itself has started.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// cargo in this workspace. What an outer cargo told us of our own package would look like a change to build scripts
/// (ring's), and half of all dependencies would be built anew, here and by the next cargo outside.
fn cargo() -> Command {
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

/// Builds a package of this workspace into that target folder; its errors go to stderr.
pub(crate) fn build(
    package: &str,
    profile: &str,
    target_dir: &Path,
    adjust: impl FnOnce(&mut Command),
) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--package", package, "--profile", profile, "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target_dir);
    adjust(&mut cargo);
    let status = cargo.status().with_context(|| format!("run cargo to build package {package}"))?;
    ensure!(status.success(), "cargo could not build package {package} ({status}); its errors are above");
    Ok(())
}

//! `cargo image`: the image of hostport, built without a container engine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::image::{self, StaticProgram};

/// Builds hostport as a static program and writes it as an OCI image archive, for this machine's architecture.
///
/// Load it with `ctr --namespace k8s.io images import FILE`, `podman load --input FILE`, `kind load image-archive FILE`,
/// or push it with `skopeo copy oci-archive:FILE docker://…`. The same sources and toolchain give the same digest.
#[derive(Parser)]
#[command(name = "image", bin_name = "cargo image")]
struct Cli {
    /// The full name of the image
    #[arg(long, default_value_t = image::default_name())]
    name: String,

    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "target/image/hostport.tar")]
    out: PathBuf,

    /// Cargo's profile: `quick` compiles in a fraction of the time, and the program is larger and slower
    #[arg(long, default_value = "release")]
    profile: String,

    /// Do not say in the program of which crates it was made; `cargo auditable`, which does, is built if need be
    #[arg(long)]
    without_crates: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let program =
        StaticProgram { package: "hostport", profile: &cli.profile, auditable: !cli.without_crates }
            .build()?;
    let digest = image::hostport(&[&cli.name]).write(&program, &cli.out)?;

    let size = std::fs::metadata(&cli.out).context("look at what was written")?.len();
    eprintln!("{} is {} ({:.1} MB), digest:", cli.out.display(), cli.name, size as f64 / 1e6);
    println!("{digest}");
    Ok(())
}

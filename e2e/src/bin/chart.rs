//! `cargo chart`: writes the generated files of the chart and of the plain manifests anew, or checks them.

use std::fs;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::{chart, helm::Helm};

/// Write the chart's generated files: definitions, webhook configurations, table of values, plain manifests
#[derive(Parser)]
#[command(name = "chart", bin_name = "cargo chart")]
struct Cli {
    /// Only say which of them are out of date, and fail if there are any
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    e2e::init();
    let helm = Helm::find_or_build()?;
    if cli.check {
        return chart::outdated(&chart::generated(&helm).await?);
    }
    // The manifests are rendered from the chart, so from files that are new.
    for _ in 0..2 {
        for (path, text) in chart::generated(&helm).await? {
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

//! `hostport`: PersistentVolumes for network ports. `main` only joins the parts.

mod cli;
mod definitions;
mod health;
mod logging;
mod roles;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    rustls::crypto::ring::default_provider().install_default().ok();
    let ended = match cli.command {
        cli::Command::Crds { dir } => definitions::print(dir.as_deref()),
        cli::Command::Webhooks { target } => definitions::print_webhooks(&target),
        cli::Command::Controller { common, controller } => roles::controller(common, &controller).await,
        cli::Command::Admission { common, admission } => roles::admission(common, &admission).await,
        cli::Command::Dev { common, controller, admission } => {
            roles::dev(common, &controller, &admission).await
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hostport: {error:#}");
            ExitCode::FAILURE
        }
    }
}

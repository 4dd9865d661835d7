//! `hostport`: PersistentVolumes for network ports. `main` only joins the parts.

mod adopt;
mod cleanup;
mod cli;
mod definitions;
mod election;
mod health;
mod leadership;
mod listening;
mod logging;
mod probe;
mod roles;
mod serving;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    rustls::crypto::ring::default_provider().install_default().ok();
    let ended = match cli.command {
        cli::Command::Crds { dir } => definitions::print(dir.as_deref()),
        cli::Command::Webhooks { target } => definitions::print_webhooks(&target),
        cli::Command::Probe { urls, timeout } => {
            run(Builder::new_current_thread(), probe::run(urls, Duration::from_secs(timeout)))
        }
        cli::Command::Adopt(options) => run(Builder::new_current_thread(), adopt::run(options)),
        cli::Command::Cleanup(options) => run(Builder::new_current_thread(), cleanup::run(options)),
        // One thread: what the controller waits for is the API server, and a thread's memory is not free.
        cli::Command::Controller { common, controller, target } => {
            run(Builder::new_current_thread(), roles::controller(common, controller, target))
        }
        cli::Command::Admission { common, admission, target } => {
            run(Builder::new_multi_thread(), roles::admission(common, admission, target))
        }
        cli::Command::Dev { common, controller, admission, target } => {
            run(Builder::new_multi_thread(), roles::dev(common, controller, admission, target))
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

fn run(mut runtime: Builder, role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime.enable_all().build()?.block_on(role)
}

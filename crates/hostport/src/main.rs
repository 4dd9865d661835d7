//! `hostport`: PersistentVolumes for network ports. `main` only joins the parts.

mod adopt;
mod cleanup;
mod cli;
mod cluster;
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
            eprintln!("hostport: {}", words(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each said once: libraries repeat the cause in their own words.
fn words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

fn run(mut runtime: Builder, role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime.enable_all().build()?.block_on(role)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow!("refused").context("connect (refused)").context("list pods");

        assert_eq!(super::words(&error), "list pods: connect (refused)");
    }
}

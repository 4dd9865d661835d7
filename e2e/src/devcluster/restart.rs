//! Programs that end in the middle of things and are started again, as they were: same arguments, same data, same ports.
//! A write that was acknowledged outlives etcd's process: it is written before it is acknowledged, and not to sync it
//! to the disk loses it with the machine only.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Child, DevCluster, GRACE, commands};
use crate::controlplane::Program;
use crate::guarded;

impl DevCluster {
    /// Stops the API server as its node would (what is under way gets two seconds), starts it again and returns when it
    /// is ready.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_program(Program::ApiServer, GRACE)?;
        self.start_again(Program::ApiServer)?;
        self.all_is_back().await
    }

    /// Kills etcd with -9. The API server goes on and answers with errors.
    pub fn kill_etcd(&self) -> Result<()> {
        self.stop_program(Program::Etcd, Duration::ZERO)
    }

    /// Starts etcd again with the data that it has left; returns when the API server is ready with it.
    pub async fn start_etcd(&self) -> Result<()> {
        // The old socket would look like a new one.
        let _ = std::fs::remove_file(self.dir().join(commands::ETCD_SOCKET));
        self.start_again(Program::Etcd)?;
        self.etcd_listens().await?;
        self.all_is_back().await
    }

    /// Waits for the API server, and does what a kubelet does: the others end when they cannot reach it while they
    /// start.
    async fn all_is_back(&self) -> Result<()> {
        self.api_server_is_ready().await?;
        for program in [Program::ControllerManager, Program::Scheduler] {
            let ended = |child: &Child| child.program == program && child.process.exited().is_some();
            if self.children().iter().any(ended) {
                self.start_again(program)?;
            }
        }
        Ok(())
    }

    /// Ends a program; no grace means -9.
    fn stop_program(&self, program: Program, grace: Duration) -> Result<()> {
        let mut children = self.children();
        let child = children.iter_mut().find(|child| child.program == program);
        let child = child.with_context(|| format!("this cluster does not run {program}"))?;
        ensure!(!child.stopped, "{program} is stopped already");
        child.stopped = true;
        match grace.is_zero() {
            true => {
                child.process.signal(rustix::process::Signal::KILL);
                child.process.wait_until(Instant::now() + Duration::from_secs(10));
            }
            false => guarded::stop(std::slice::from_ref(&child.process), grace),
        }
        ensure!(child.process.exited().is_some(), "{program} did not end");
        Ok(())
    }

    /// Starts a program that has ended; its log goes to a file of its own (`etcd-2.log`, …).
    fn start_again(&self, program: Program) -> Result<()> {
        let logs = (2..).map(|number| format!("{program}-{number}.log"));
        let log = logs.into_iter().find(|log| !self.dir().join(log).exists()).context("a free name")?;
        let mut children = self.children();
        let ended = |child: &&mut Child| child.program == program && child.process.exited().is_some();
        let child = children.iter_mut().find(ended).with_context(|| format!("{program} has not ended"))?;
        child.process = self.run(program, &child.path, &child.arguments, &log)?;
        child.stopped = false;
        Ok(())
    }
}

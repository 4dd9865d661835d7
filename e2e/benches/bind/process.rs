//! The operators that are measured, as processes.

use std::{
    path::Path,
    process::{self, Command, Stdio},
};

use anyhow::{Context, Result};
use e2e::operator::Operator;

use crate::usage::Usage;

/// An operator that is measured; ended when dropped.
pub(crate) enum Child {
    Operator(Operator),
    Null(process::Child),
}

impl Child {
    pub(crate) fn null(args: &[&str], kubeconfig: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("find the benchmark itself")?);
        command.args(args).env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Child::Null(command.spawn().context("start the null operator")?))
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let pid = match self {
            Child::Operator(operator) => operator.pid(),
            Child::Null(child) => child.id(),
        };
        Usage::of(pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Child::Null(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

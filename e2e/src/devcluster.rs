//! One Kubernetes control plane of our own: etcd, API server, controller manager and scheduler as children of this
//! process, with their data, logs and kubeconfigs in one folder. It has no nodes, so pods are scheduled to none, unless
//! somebody asks for real ones (`nodes`) or for nodes that are played (`fake_nodes`).

mod access;
mod commands;
mod credentials;
mod fake_nodes;
mod home;
mod nodes;
mod restart;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::config::Kubeconfig;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use crate::controlplane::{Binaries, Program};
use crate::eventually;
use crate::guarded::{self, Guarded};

pub use fake_nodes::FakeNodes;
pub(crate) use home::{Home, remove_dead};
pub use home::{default_dir, stop};
pub use nodes::Node;
use nodes::{Network, Nodes};

/// What a child gets to end by itself; the API server alone would take 15 s to end its watches.
const GRACE: Duration = Duration::from_secs(2);

/// The API server is ready after 4 seconds, but much later on a machine that does many other things.
const READY: Duration = Duration::from_secs(90);

/// How many free ports are tried; each can be taken by somebody else between our look and the API server's start.
const ATTEMPTS: usize = 5;

/// How a cluster is to be. The default is a cluster on a loopback address in a temporary folder.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder for data and logs; it is kept. Each start begins with an empty cluster, also in a folder used before.
    pub dir: Option<PathBuf>,
    /// Where the API server listens (default 127.0.0.1).
    pub bind_address: Option<IpAddr>,
    /// Users besides the admin, each with a kubeconfig: see [`DevCluster::kubeconfig_of`].
    pub users: Vec<User>,
    /// How many real nodes it has, `node-1`, `node-2`, …; the API server then listens on an address that they reach. Not
    /// every machine can: see [`crate::machine::Machine::check`].
    pub nodes: usize,
    /// More arguments for the API server; of one given twice the last counts.
    pub apiserver_args: Vec<String>,
    /// More arguments for the controller manager.
    pub controller_manager_args: Vec<String>,
    /// More arguments for the scheduler.
    pub scheduler_args: Vec<String>,
}

/// A user that logs in by token.
#[derive(Debug, Clone)]
pub struct User {
    /// As RBAC sees it: `alice`, `system:node:node1`.
    pub name: String,
    /// As RBAC sees them: `system:nodes`.
    pub groups: Vec<String>,
}

/// A running cluster: our own, which ends when this is dropped and at the latest with this process, however that ends;
/// or one that somebody else runs.
#[derive(Debug)]
pub struct DevCluster {
    /// Nothing if it has none.
    nodes: Option<Nodes>,
    /// Empty for a cluster of somebody else. Dropped first: the folder goes after those who write into it.
    children: Mutex<Vec<Child>>,
    home: Home,
    kubeconfig: PathBuf,
    binaries: Option<Binaries>,
    /// Set once nodes are played.
    plays_nodes: OnceCell<()>,
}

/// The addresses that Services get.
struct Services {
    range: String,
    /// The first of them, of the Service `kubernetes`.
    api: Ipv4Addr,
}

impl Default for Services {
    fn default() -> Services {
        Services { range: "10.96.0.0/16".to_owned(), api: Ipv4Addr::new(10, 96, 0, 1) }
    }
}

/// A program of a cluster, and how to start it again.
#[derive(Debug)]
struct Child {
    program: Program,
    path: PathBuf,
    arguments: Vec<String>,
    process: Guarded,
    /// It was stopped on purpose.
    stopped: bool,
}

impl DevCluster {
    /// Starts a cluster and returns when its API server is ready. Builds the binaries if they are not there.
    pub async fn start(options: Options) -> Result<DevCluster> {
        let home = match &options.dir {
            Some(dir) => Home::in_dir(dir)?,
            None => Home::temporary()?,
        };
        DevCluster::start_in(home, &options).await
    }

    /// The same in a folder that is already ours.
    pub(crate) async fn start_in(home: Home, options: &Options) -> Result<DevCluster> {
        crate::init();
        let binaries = tokio::task::spawn_blocking(Binaries::find_or_build).await??;
        let kubeconfig = home.path().join(credentials::ADMIN_KUBECONFIG);
        let mut cluster = DevCluster {
            nodes: None,
            children: Mutex::default(),
            home,
            kubeconfig,
            binaries: Some(binaries),
            plays_nodes: OnceCell::new(),
        };
        let network = match options.nodes {
            0 => None,
            count => {
                nodes::check(count)?;
                Some(Network::start(cluster.dir()).await?)
            }
        };

        let mut attempt = 1;
        while let Err(error) = cluster.boot(options, network.as_ref()).await {
            if attempt == ATTEMPTS || !cluster.port_was_taken() {
                return Err(error);
            }
            tracing::info!("the port of the API server was taken meanwhile; trying another");
            attempt += 1;
            cluster.end(Duration::ZERO);
        }
        if let Some(network) = network {
            cluster.nodes = Some(cluster.start_nodes(network, options.nodes).await?);
        }
        Ok(cluster)
    }

    /// The cluster that the kubeconfig's current context names (`KUBECONFIG`, else `~/.kube/config`). Nothing is started
    /// or stopped; the folder is for logs.
    pub async fn current() -> Result<DevCluster> {
        DevCluster::current_in(Home::temporary()?).await
    }

    /// The same with a folder that is already ours.
    pub(crate) async fn current_in(home: Home) -> Result<DevCluster> {
        crate::init();
        let current =
            Kubeconfig::read().context("read the kubeconfig of the current cluster (KUBECONFIG)")?;
        let context = current.current_context.clone().context(
            "the kubeconfig has no current context: choose the cluster with `kubectl config use-context NAME`",
        )?;
        // A copy: the tests go on with this cluster when somebody changes the context meanwhile.
        let kubeconfig = home.path().join(credentials::ADMIN_KUBECONFIG);
        credentials::write(&kubeconfig, &serde_yaml_ng::to_string(&current)?)?;

        let cluster = DevCluster {
            nodes: None,
            children: Mutex::default(),
            home,
            kubeconfig,
            binaries: None,
            plays_nodes: OnceCell::new(),
        };
        let version = cluster.client().await?.apiserver_version().await.with_context(|| {
            format!("the cluster of the current context {context} does not answer; is it up?")
        })?;
        tracing::info!("using the current cluster {context}, Kubernetes {}", version.git_version);
        Ok(cluster)
    }

    /// Whether the cluster is ours and thrown away afterwards.
    pub fn is_own(&self) -> bool {
        self.binaries.is_some()
    }

    /// The folder with data and logs (`kube-apiserver.log`, …).
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubeconfig of one of [`Options::users`].
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.dir().join(credentials::kubeconfig_name(user))
    }

    /// The API server's audit log, a JSON line per request at level Metadata; nothing for somebody else's cluster.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.is_own().then(|| self.dir().join(commands::AUDIT_LOG))
    }

    /// Our own binaries; nothing for somebody else's cluster.
    pub fn binaries(&self) -> Option<&Binaries> {
        self.binaries.as_ref()
    }

    /// The process id of a program of this cluster; nothing if this cluster does not run it.
    pub fn pid(&self, program: Program) -> Option<u32> {
        self.children().iter().find(|child| child.program == program).map(|child| child.process.pid())
    }

    /// An error that names the first program that has ended by itself, and the end of its log; nothing while all run.
    pub fn died(&self) -> Option<anyhow::Error> {
        self.died_of(|_| true).or_else(|| self.nodes().iter().find_map(Node::died))
    }

    fn died_of(&self, programs: impl Fn(Program) -> bool) -> Option<anyhow::Error> {
        let children = self.children();
        let ended =
            |child: &&Child| programs(child.program) && !child.stopped && child.process.exited().is_some();
        let child = &children.iter().find(ended)?.process;
        let status = child.exited()?;
        let (name, log) = (child.name(), child.log().display());
        Some(anyhow::anyhow!("{name} ended ({status}); the end of {log}:\n{}", child.log_tail(15)))
    }

    /// One attempt to start everything, with an empty store and new credentials.
    async fn boot(&self, options: &Options, network: Option<&Network>) -> Result<()> {
        let start = Instant::now();
        let dir = self.home.path().to_owned();
        commands::remove_store(&dir)?;
        let at_nodes = network.map(Network::addresses);
        let usual = match at_nodes {
            Some(addresses) => addresses.host(),
            None => Ipv4Addr::LOCALHOST,
        };
        let address = options.bind_address.unwrap_or(IpAddr::V4(usual));
        let endpoint = (address, free_port(address)?).into();
        let services = at_nodes.map_or_else(Services::default, |addresses| Services {
            range: addresses.services(),
            api: addresses.api_service(),
        });
        let users = [&options.users[..], &nodes::users(options.nodes)].concat();
        credentials::create(&dir, endpoint, services.api, &users)?;
        fs::write(dir.join(commands::AUDIT_POLICY), commands::AUDIT_RULES)?;
        let has_controllers = self.has(Program::ControllerManager);

        self.spawn(Program::Etcd, commands::etcd())?;
        self.etcd_listens().await?;

        let mut arguments = commands::apiserver(endpoint, &services.range, has_controllers);
        arguments.extend_from_slice(&options.apiserver_args);
        self.spawn(Program::ApiServer, arguments)?;
        self.api_server_is_ready().await?;
        tracing::info!("API server ready after {:.1?}, data and logs in {}", start.elapsed(), dir.display());

        for (program, arguments, more) in [
            (Program::ControllerManager, commands::controller_manager(), &options.controller_manager_args),
            (Program::Scheduler, commands::scheduler(), &options.scheduler_args),
        ] {
            if self.has(program) {
                self.spawn(program, [arguments, more.clone()].concat())?;
            }
        }
        Ok(())
    }

    fn has(&self, program: Program) -> bool {
        self.binaries.as_ref().is_some_and(|binaries| binaries.path(program).is_some())
    }

    async fn etcd_listens(&self) -> Result<()> {
        self.until("etcd to listen", || async {
            UnixStream::connect(self.dir().join(commands::ETCD_SOCKET)).await?;
            Ok(())
        })
        .await
    }

    async fn api_server_is_ready(&self) -> Result<()> {
        let client = self.client().await?;
        self.until("the API server to be ready", || async {
            client.request_text(ready_request()?).await?;
            Ok(())
        })
        .await
    }

    fn spawn(&self, program: Program, arguments: Vec<String>) -> Result<()> {
        let path = self.binaries.as_ref().and_then(|binaries| binaries.path(program));
        self.spawn_from(path.with_context(|| format!("there is no {program}"))?, program, arguments)
    }

    fn spawn_from(&self, path: PathBuf, program: Program, arguments: Vec<String>) -> Result<()> {
        let process = self.run(program, &path, &arguments, &format!("{program}.log"))?;
        self.children().push(Child { program, path, arguments, process, stopped: false });
        Ok(())
    }

    fn run(&self, program: Program, path: &Path, arguments: &[String], log: &str) -> Result<Guarded> {
        let mut command = guarded::command(path);
        // The arguments name files of the folder, relative to it: a socket's path may have 108 characters only.
        command.args(arguments).current_dir(self.home.path());
        remove_proxies(&mut command);
        if program == Program::Kwok {
            // It would add the user's own stages from there.
            command.env("KWOK_WORKDIR", self.home.path());
        }
        Guarded::spawn(program.name(), command, self.home.path().join(log))
    }

    /// Waits for a step of the start, but not for a program that has died.
    async fn until<F, Fut>(&self, what: &str, mut step: F) -> Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let outcome = eventually(READY, what, || {
            // The others end when they cannot reach the API server while they start.
            let died = self.died_of(|it| !matches!(it, Program::ControllerManager | Program::Scheduler));
            let step = step();
            async move {
                match died {
                    Some(died) => Ok(Err(died)),
                    None => step.await.map(Ok),
                }
            }
        })
        .await;
        match outcome {
            Ok(outcome) => outcome,
            Err(timeout) => match self.children().last().map(|child| &child.process) {
                Some(child) => {
                    bail!("{timeout:#}; the end of {}:\n{}", child.log().display(), child.log_tail(15))
                }
                None => Err(timeout),
            },
        }
    }

    fn port_was_taken(&self) -> bool {
        let refused = |child: &Guarded| {
            child.exited().is_some() && child.log_tail(50).contains("address already in use")
        };
        self.children().iter().any(|child| refused(&child.process))
    }

    fn end(&self, grace: Duration) {
        let children = std::mem::take(&mut *self.children());
        let processes: Vec<Guarded> = children.into_iter().map(|child| child.process).collect();
        guarded::stop(&processes, grace);
    }

    fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.children.lock()
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        self.nodes = None;
        self.end(GRACE);
    }
}

/// A proxy of the user is not for the loopback interface, nor for nodes and webhooks.
fn remove_proxies(command: &mut Command) {
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
}

/// A port nobody listens on just now. Of those the kernel gives to clients it would be gone sooner.
fn free_port(address: IpAddr) -> Result<u16> {
    let mut random = [0; 2];
    for _ in 0..200 {
        credentials::random(&mut random)?;
        let port = 10_500 + u16::from_le_bytes(random) % 9_000;
        if TcpListener::bind((address, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free port for the API server on {address}: is that an address of this machine?")
}

fn ready_request() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}

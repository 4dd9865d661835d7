//! Who may talk to a cluster: its certificates, the key that signs ServiceAccount tokens, the users' tokens and their
//! kubeconfigs. All new at each start, all readable by us alone.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::User;

pub(super) const ADMIN_KUBECONFIG: &str = "kubeconfig";
pub(super) const TOKENS: &str = "tokens.csv";
pub(super) const CA_CERT: &str = "ca.crt";
pub(super) const SERVER_CERT: &str = "apiserver.crt";
pub(super) const SERVER_KEY: &str = "apiserver.key";
pub(super) const ACCOUNTS_KEY: &str = "service-accounts.key";
pub(super) const ACCOUNTS_PUBLIC: &str = "service-accounts.pub";

/// What the API server shows to kubelets.
pub(super) const KUBELET_CLIENT_CERT: &str = "kubelet-client.crt";
pub(super) const KUBELET_CLIENT_KEY: &str = "kubelet-client.key";

/// Users that Kubernetes gives their rights by name.
pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(super) const SCHEDULER: &str = "system:kube-scheduler";
pub(super) const KUBE_PROXY: &str = "system:kube-proxy";

/// Plays nodes, so it may do what nodes may, and more.
pub(super) const KWOK: &str = "kwok";

/// Writes all of them into the folder. `api_service` is the address at which pods find the API server.
pub(super) fn create(dir: &Path, endpoint: SocketAddr, api_service: Ipv4Addr, users: &[User]) -> Result<()> {
    let ca_cert = certificates(dir, endpoint, api_service).context("make the certificates")?;

    let mut tokens = String::new();
    let mut add = |file: &str, name: &str, groups: &[String]| -> Result<()> {
        let token = random_token()?;
        tokens += &format!("{token},{name},{name},\"{}\"\n", groups.join(","));
        write(&dir.join(file), &kubeconfig(endpoint, &ca_cert, name, &token)?)
    };
    add(ADMIN_KUBECONFIG, "admin", &["system:masters".to_owned()])?;
    for system in [CONTROLLER_MANAGER, SCHEDULER] {
        add(&kubeconfig_name(system), system, &[])?;
    }
    add(&kubeconfig_name(KWOK), KWOK, &["system:masters".to_owned()])?;
    for user in users {
        add(&kubeconfig_name(&user.name), &user.name, &user.groups)?;
    }
    write(&dir.join(TOKENS), &tokens)
}

/// The file name of a user's kubeconfig.
pub(super) fn kubeconfig_name(user: &str) -> String {
    format!("{}.{ADMIN_KUBECONFIG}", user.replace([':', '/'], "-"))
}

/// Writes a file that only we can read.
pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        file.write_all(content.as_bytes())
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Fills a buffer with bytes nobody can guess.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    SystemRandom::new().fill(bytes).ok().context("the system gives no random numbers")
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 24];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A CA, the API server's certificates and the key for ServiceAccounts; returns the CA's certificate.
fn certificates(dir: &Path, endpoint: SocketAddr, api_service: Ipv4Addr) -> Result<String> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "hostport devcluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let names = ["localhost", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
    let addresses = [endpoint.ip().to_string(), api_service.to_string()];
    let names: Vec<String> = names.into_iter().chain(addresses).collect();
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(names)?.signed_by(&server_key, &ca)?;
    let accounts = KeyPair::generate()?;
    let mut client = CertificateParams::new(Vec::new())?;
    client.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let client = client.signed_by(&client_key, &ca)?;

    write(&dir.join(CA_CERT), &ca.pem())?;
    write(&dir.join(SERVER_CERT), &server.pem())?;
    write(&dir.join(SERVER_KEY), &server_key.serialize_pem())?;
    write(&dir.join(KUBELET_CLIENT_CERT), &client.pem())?;
    write(&dir.join(KUBELET_CLIENT_KEY), &client_key.serialize_pem())?;
    write(&dir.join(ACCOUNTS_KEY), &accounts.serialize_pem())?;
    write(&dir.join(ACCOUNTS_PUBLIC), &accounts.public_key_pem())?;
    Ok(ca.pem())
}

fn kubeconfig(endpoint: SocketAddr, ca_cert: &str, user: &str, token: &str) -> Result<String> {
    let name = "hostport-devcluster";
    let ca_cert = k8s_openapi::ByteString(ca_cert.as_bytes().to_vec());
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{endpoint}"),
            "certificate-authority-data": ca_cert,
        }}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    });
    Ok(serde_yaml_ng::to_string(&kubeconfig)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_token_of_its_own_that_only_we_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let users = [User {
            name: "system:node:node1".to_owned(),
            groups: vec!["system:nodes".to_owned(), "b".to_owned()],
        }];

        create(dir.path(), "127.0.0.1:1".parse().unwrap(), Ipv4Addr::new(10, 96, 0, 1), &users).unwrap();

        let tokens = fs::read_to_string(dir.path().join(TOKENS)).unwrap();
        let (token, user) = tokens.lines().last().unwrap().split_once(',').unwrap();
        assert_eq!(user, "system:node:node1,system:node:node1,\"system:nodes,b\"");
        let kubeconfig = dir.path().join("system-node-node1.kubeconfig");
        assert!(fs::read_to_string(&kubeconfig).unwrap().contains(token));
        assert_eq!(fs::metadata(&kubeconfig).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

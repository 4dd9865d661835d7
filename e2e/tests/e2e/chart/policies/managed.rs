//! Managed namespaces: PodSecurity "baseline" except hostPorts, and no external IPs.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::chart::installed::{Tenant, installed, refusal};
use crate::support::pod_with;

type Change = fn(&mut Value);

/// What baseline forbids, and which words of the refusal tell it.
const FORBIDDEN: [(&str, Change, &str); 20] = [
    ("hostPID", |pod| pod["spec"]["hostPID"] = json!(true), "hostPID and hostIPC"),
    ("hostIPC", |pod| pod["spec"]["hostIPC"] = json!(true), "hostPID and hostIPC"),
    ("privileged", |pod| context(pod)["privileged"] = json!(true), "privileged containers"),
    ("privileged init container", |pod| init(pod)["privileged"] = json!(true), "privileged containers"),
    (
        "hostPath",
        |pod| pod["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}]),
        "hostPath volumes",
    ),
    ("SYS_ADMIN", |pod| context(pod)["capabilities"] = json!({"add": ["SYS_ADMIN"]}), "capabilities"),
    (
        "NET_RAW in an init container",
        |pod| init(pod)["capabilities"] = json!({"add": ["NET_RAW"]}),
        "capabilities",
    ),
    ("ALL", |pod| context(pod)["capabilities"] = json!({"add": ["ALL"]}), "capabilities"),
    ("seccomp of the pod", |pod| of_pod(pod)["seccompProfile"] = json!({"type": "Unconfined"}), "seccomp"),
    ("seccomp", |pod| context(pod)["seccompProfile"] = json!({"type": "Unconfined"}), "seccomp"),
    ("AppArmor of the pod", |pod| of_pod(pod)["appArmorProfile"] = json!({"type": "Unconfined"}), "AppArmor"),
    ("AppArmor", |pod| context(pod)["appArmorProfile"] = json!({"type": "Unconfined"}), "AppArmor"),
    (
        "procMount",
        |pod| {
            context(pod)["procMount"] = json!("Unmasked");
            pod["spec"]["hostUsers"] = json!(false);
        },
        "procMount",
    ),
    ("SELinux type", |pod| context(pod)["seLinuxOptions"] = json!({"type": "spc_t"}), "SELinux"),
    ("SELinux user of the pod", |pod| of_pod(pod)["seLinuxOptions"] = json!({"user": "root"}), "SELinux"),
    ("sysctl", |pod| of_pod(pod)["sysctls"] = json!([{"name": "kernel.msgmax", "value": "1"}]), "sysctls"),
    (
        "host of a probe",
        |pod| container(pod)["livenessProbe"] = json!({"httpGet": {"port": 80, "host": "127.0.0.1"}}),
        "hosts in probes",
    ),
    (
        "host of a sidecar's probe",
        |pod| {
            init(pod);
            pod["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
            let probe = json!({"tcpSocket": {"port": 80, "host": "192.0.2.11"}});
            pod["spec"]["initContainers"][0]["startupProbe"] = probe;
        },
        "hosts in probes",
    ),
    (
        "host of a hook",
        |pod| {
            let get = json!({"port": 80, "host": "192.0.2.11"});
            container(pod)["lifecycle"] = json!({"preStop": {"httpGet": get}});
        },
        "lifecycle hooks",
    ),
    ("hostNetwork", |pod| pod["spec"]["hostNetwork"] = json!(true), "does not allow hostNetwork"),
];

/// What baseline allows.
const ALLOWED: [(&str, Change); 7] = [
    ("a plain pod", |_| {}),
    ("an init container", |pod| init(pod)["runAsNonRoot"] = json!(true)),
    ("NET_BIND_SERVICE", |pod| {
        context(pod)["capabilities"] = json!({"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]});
    }),
    ("RuntimeDefault", |pod| of_pod(pod)["seccompProfile"] = json!({"type": "RuntimeDefault"})),
    ("a safe sysctl", |pod| {
        of_pod(pod)["sysctls"] = json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]);
    }),
    ("probes and hooks", |pod| {
        container(pod)["readinessProbe"] = json!({"httpGet": {"port": 80, "path": "/"}});
        container(pod)["livenessProbe"] = json!({"tcpSocket": {"port": 80, "host": ""}});
        container(pod)["lifecycle"] = json!({"preStop": {"exec": {"command": ["true"]}}});
    }),
    ("other volumes", |pod| pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}])),
];

fn container(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

fn context(pod: &mut Value) -> &mut Value {
    &mut container(pod)["securityContext"]
}

fn init(pod: &mut Value) -> &mut Value {
    pod["spec"]["initContainers"] = json!([{"name": "before", "image": "none"}]);
    &mut pod["spec"]["initContainers"][0]["securityContext"]
}

fn of_pod(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["securityContext"]
}

async fn try_pod(tenant: &Tenant, change: Change) -> Result<kube::Result<Pod>> {
    let mut pod = pod_with("p", json!({}), json!([]));
    change(&mut pod);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    Ok(tenant.api::<Pod>().create(&params, &serde_json::from_value(pod)?).await)
}

#[tokio::test]
async fn what_baseline_forbids_is_refused_in_a_managed_namespace_and_nowhere_else() -> Result<()> {
    let installed = installed().await?;
    let managed = installed.tenant("baseline", json!({"hostport.io/managed": "true"})).await?;
    let other = installed.tenant("not-baseline", json!({})).await?;
    let labels = json!({
        "hostport.io/managed": "true",
        "hostport.io/allow-privileged": "true",
        "hostport.io/allow-host-network": "true",
    });
    let let_off = installed.tenant("let-off", labels).await?;

    for (what, change, words) in FORBIDDEN {
        let said = refusal(try_pod(&managed, change).await?).context(what)?;
        ensure!(said.contains(words) && said.contains("managed.hostport.io"), "{what}: {said}");
        for tenant in [&other, &let_off] {
            try_pod(tenant, change).await?.with_context(|| format!("{what} in {}", tenant.namespace))?;
        }
    }
    for (what, change) in ALLOWED {
        try_pod(&managed, change).await?.context(what)?;
    }
    Ok(())
}

#[tokio::test]
async fn host_process_needs_the_label_too() -> Result<()> {
    let installed = installed().await?;
    let labels = json!({"hostport.io/managed": "true", "hostport.io/allow-host-network": "true"});
    let tenant = installed.tenant("windows", labels).await?;

    // The API server itself wants hostNetwork with it.
    let said = refusal(
        try_pod(&tenant, |pod| {
            pod["spec"]["hostNetwork"] = json!(true);
            of_pod(pod)["windowsOptions"] = json!({"hostProcess": true});
        })
        .await?,
    )?;

    ensure!(said.contains("hostProcess"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_ephemeral_container_gets_no_more_than_others() -> Result<()> {
    let installed = installed().await?;
    let tenant = installed.tenant("debugging", json!({"hostport.io/managed": "true"})).await?;
    let pods = tenant.api::<Pod>();
    let pod = serde_json::from_value(pod_with("web", json!({}), json!([])))?;
    pods.create(&PostParams::default(), &pod).await?;
    let debug = async |context: Value| {
        let container = json!({"name": "debug", "image": "none", "securityContext": context});
        let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
        // The role "edit" does not have it; whoever debugs does.
        let admin: Api<Pod> = Api::namespaced(installed.cluster.client().await?, &tenant.namespace);
        anyhow::Ok(
            admin.patch_subresource("ephemeralcontainers", "web", &PatchParams::default(), &patch).await,
        )
    };

    let said = refusal(debug(json!({"privileged": true})).await?)?;
    debug(json!({"runAsUser": 1000})).await??;

    ensure!(said.contains("privileged containers"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_mirror_pod_is_not_judged_if_it_is_one() -> Result<()> {
    let installed = installed().await?;
    let tenant = installed.tenant("static-pods", json!({"hostport.io/managed": "true"})).await?;
    let admin: Api<Pod> = Api::namespaced(installed.cluster.client().await?, &tenant.namespace);
    let mut pod = pod_with("p", json!({"kubernetes.io/config.mirror": "x"}), json!([]));
    pod["spec"]["hostPID"] = json!(true);
    pod["spec"]["nodeName"] = json!("node1");

    let params = PostParams { dry_run: true, ..PostParams::default() };
    admin.create(&params, &serde_json::from_value(pod.clone())?).await?;
    let said = refusal(tenant.api::<Pod>().create(&params, &serde_json::from_value(pod)?).await)?;

    ensure!(said.contains("hostPID"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_label_that_would_have_no_effect_is_refused() -> Result<()> {
    let installed = installed().await?;
    let namespaces = Api::<Namespace>::all(installed.cluster.client().await?);
    let labelled = |name: &str, labels: Value| -> Result<Namespace> {
        Ok(serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?)
    };
    let create = async |namespace: Namespace| namespaces.create(&PostParams::default(), &namespace).await;

    for label in ["managed", "allow-host-network", "allow-privileged", "allow-external-ips"] {
        let labels = json!({format!("hostport.io/{label}"): "True"});
        let said = refusal(create(labelled("mislabelled", labels)?).await)?;
        ensure!(said.contains("\"true\" or \"false\""), "{label}: {said}");
    }
    create(labelled("labelled", json!({"hostport.io/managed": "true"}))?).await?;
    let patch = async |labels: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        namespaces.patch("labelled", &PatchParams::default(), &patch).await
    };
    let said = refusal(patch(json!({"hostport.io/managed": "yes"})).await)?;
    patch(json!({"hostport.io/managed": "false"})).await?;
    patch(json!({"hostport.io/managed": null, "a": "b"})).await?;

    ensure!(said.contains("\"true\" or \"false\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn services_get_no_external_ips_in_a_managed_namespace() -> Result<()> {
    let installed = installed().await?;
    let managed = installed.tenant("services", json!({"hostport.io/managed": "true"})).await?;
    let other = installed.tenant("other-services", json!({})).await?;
    let labels = json!({"hostport.io/managed": "true", "hostport.io/allow-external-ips": "true"});
    let let_off = installed.tenant("external-services", labels).await?;
    let service = |ips: Value| -> Result<Service> {
        let spec = json!({"ports": [{"port": 9000}], "externalIPs": ips});
        Ok(serde_json::from_value(json!({"metadata": {"name": "thief"}, "spec": spec}))?)
    };
    let params = PostParams::default();

    let said = refusal(managed.api::<Service>().create(&params, &service(json!(["192.0.2.11"]))?).await)?;
    managed.api::<Service>().create(&params, &service(json!([]))?).await?;
    let patch = Patch::Merge(json!({"spec": {"externalIPs": ["192.0.2.11"]}}));
    let later = refusal(managed.api::<Service>().patch("thief", &PatchParams::default(), &patch).await)?;
    for tenant in [&other, &let_off] {
        tenant.api::<Service>().create(&params, &service(json!(["192.0.2.11"]))?).await?;
    }

    ensure!(said.contains("does not allow externalIPs"), "{said}");
    ensure!(later.contains("does not allow externalIPs"), "{later}");
    Ok(())
}

#[tokio::test]
async fn external_ips_that_were_there_before_may_stay_or_go() -> Result<()> {
    let installed = installed().await?;
    let tenant = installed.tenant("managed-later", json!({})).await?;
    let services = tenant.api::<Service>();
    let spec = json!({"ports": [{"port": 9000}], "externalIPs": ["192.0.2.11", "192.0.2.12"]});
    let service = serde_json::from_value(json!({"metadata": {"name": "old"}, "spec": spec}))?;
    services.create(&PostParams::default(), &service).await?;
    installed.tenant("managed-later", json!({"hostport.io/managed": "true"})).await?;
    let patch =
        async |patch: Value| services.patch("old", &PatchParams::default(), &Patch::Merge(patch)).await;

    patch(json!({"metadata": {"labels": {"a": "b"}}})).await?;
    let ports = refusal(patch(json!({"spec": {"ports": [{"port": 9001}]}})).await)?;
    let more = refusal(patch(json!({"spec": {"externalIPs": ["192.0.2.13"]}})).await)?;
    patch(json!({"spec": {"externalIPs": ["192.0.2.12"]}})).await?;
    patch(json!({"spec": {"externalIPs": null}})).await?;

    ensure!(ports.contains("externalIPs") && more.contains("externalIPs"), "{ports}; {more}");
    Ok(())
}

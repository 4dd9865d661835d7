//! I5: in a managed namespace a pod carries only the ports of its namespace's claims; elsewhere annotated pods are checked.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::support::{World, create, deployment, host_ports, pod, pod_with, range};

fn raw(name: &str, number: u16) -> Value {
    pod_with(name, json!({}), json!([{"name": "metrics", "containerPort": 80, "hostPort": number}]))
}

#[tokio::test]
async fn an_unclaimed_port_is_refused_wherever_it_stands() -> Result<()> {
    let world = World::managed("unclaimed").await?;
    let number = range(1);
    let mut init = raw("init", number);
    init["spec"]["initContainers"] =
        json!([{"name": "first", "image": "none", "ports": [{"containerPort": 80, "hostPort": number}]}]);
    init["spec"]["containers"][0]["ports"] = json!([]);
    let mut sidecar = init.clone();
    sidecar["metadata"]["name"] = json!("sidecar");
    sidecar["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");

    for refused in [raw("bare", number), init, sidecar] {
        let said = world.denied(refused).await?;
        let words = format!(
            "namespace \"{}\" is managed by hostport and no claim of it holds port {number} (",
            world.ns()
        );
        ensure!(said.contains(&words) && said.ends_with('.'), "{said}");
        ensure!(said.contains("admission webhook \"check.pods.hostport.io\" denied the request"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deployment_with_an_unclaimed_port_tells_why_by_event() -> Result<()> {
    let world = World::managed("workload").await?;
    let number = range(1);
    let mut workload = deployment("proxy", "none");
    let template = &mut workload["spec"]["template"];
    template["metadata"]["annotations"] = json!({});
    template["spec"]["containers"][0]["ports"] =
        json!([{"name": "metrics", "containerPort": 80, "hostPort": number}]);

    create::<Deployment>(&world.api(), workload).await?;

    let told = world.event("FailedCreate", &format!("no claim of it holds port {number}")).await?;
    ensure!(told.contains("Claim it: annotation claim.hostport.io/metrics."), "{told}");
    Ok(())
}

#[tokio::test]
async fn another_namespaces_claim_is_no_permission() -> Result<()> {
    let world = World::managed("other").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(1).await?;
    let number = neighbour.bind("theirs", &class).await?;

    let by_number = world.denied(raw("raw", number)).await?;
    let by_name = world.denied(pod("named", "theirs")).await?;

    ensure!(by_number.contains(&format!("no claim of it holds port {number}")), "{by_number}");
    ensure!(
        by_name.contains("names HostPortClaim \"theirs\", which does not exist in namespace"),
        "{by_name}"
    );
    ensure!(
        !by_number.contains(neighbour.ns()) && !by_name.contains(neighbour.ns()),
        "{by_number} {by_name}"
    );
    Ok(())
}

#[tokio::test]
async fn a_number_of_the_namespaces_own_claim_needs_no_annotation() -> Result<()> {
    let world = World::managed("own").await?;
    let class = world.class(1).await?;
    let number = world.bind("mine", &class).await?;

    let stored = world.create_pod(raw("raw", number)).await?;

    ensure!(host_ports(&stored) == [i32::from(number)]);
    Ok(())
}

#[tokio::test]
async fn host_network_needs_the_administrators_label_and_still_only_own_ports() -> Result<()> {
    let world = World::managed("hostnet").await?;
    let class = world.class(1).await?;
    let number = world.bind("mine", &class).await?;
    let foreign = range(1);
    let host_network = |name: &str, ports: Value, annotations: Value| {
        let mut pod = pod_with(name, annotations, ports);
        pod["spec"]["hostNetwork"] = json!(true);
        pod
    };
    let portless = host_network("portless", json!([]), json!({}));

    let said = world.denied(portless.clone()).await?;
    ensure!(
        said.contains("does not allow hostNetwork") && said.contains("hostport.io/allow-host-network"),
        "{said}"
    );

    world.label("hostport.io/allow-host-network", "true").await?;
    world.until("the label to count", || async { world.create_pod(portless.clone()).await }).await?;
    let metrics = json!([{"name": "metrics", "containerPort": foreign}]);
    let said = world.denied(host_network("foreign", metrics, json!({}))).await?;
    ensure!(said.contains(&format!("no claim of it holds port {foreign}")), "{said}");
    ensure!(
        said.contains("The pod uses hostNetwork, so every containerPort is a port of the node"),
        "{said}"
    );

    let web = json!([{"name": "web", "containerPort": 80}]);
    let stored =
        world.create_pod(host_network("mine", web, json!({"claim.hostport.io/web": "mine"}))).await?;
    let port = serde_json::to_value(&stored)?["spec"]["containers"][0]["ports"][0].clone();
    ensure!(port["hostPort"] == number && port["containerPort"] == number, "{port}");
    Ok(())
}

#[tokio::test]
async fn elsewhere_a_raw_port_is_nobodys_business_and_an_annotated_pod_is_checked() -> Result<()> {
    let world = World::new("unmanaged").await?;
    let class = world.class(2).await?;
    let number = world.bind("web", &class).await?;
    let mut lying = pod("lying", "web");
    lying["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(number + 1);

    let said = world.denied(lying).await?;
    let stored = world.create_pod(raw("raw", range(1))).await?;

    ensure!(said.contains(&format!("says hostPort {}, claim \"web\" holds {number}", number + 1)), "{said}");
    ensure!(host_ports(&stored).len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_mirror_pod_is_let_through_for_those_who_may_make_one_and_counts_as_foreign() -> Result<()> {
    let world = World::managed("mirror").await?;
    let class = world.class(2).await?;
    let mut mirror = raw("static", class.first);
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "abc"});
    mirror["spec"]["nodeName"] = json!("node1");
    let as_tenant = ["--as", "system:serviceaccount:kube-system:replicaset-controller"];

    let args = [&["--namespace", world.ns(), "create", "-f", "-"], &as_tenant[..]].concat();
    let refused = world.env.cluster().kubectl_with_input(args, &mirror.to_string()).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains(&format!("no claim of it holds port {}", class.first)), "{said}");

    world.create_pod(mirror).await?;
    world.counts(&class, [0, 0, 1, 1, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn kube_system_and_plain_pods_never_reach_us() -> Result<()> {
    let world = World::managed("plain").await?;
    let system: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(world.client(), "kube-system");
    let name = format!("{}-raw", world.ns());

    let stored = crate::support::create(&system, pod(&name, "no-such-claim")).await?;
    system.delete(&name, &kube::api::DeleteParams::default().grace_period(0)).await?;
    let plain = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"},
        "spec": {"containers": [{"name": "app", "image": "none"}]},
    });
    world.create_pod(plain).await?;

    ensure!(host_ports(&stored).is_empty(), "an annotation is not looked at in kube-system");
    Ok(())
}

# The first process of a node, in namespaces of its own: it gives the node folders and a network, runs its daemons, and
# starts them again when they end. The working folder is the node's.
set -eu

mount --make-rshared /
# By the open folder and not by its name: what is mounted next may hide that.
mount -t tmpfs tmpfs /run
mkdir /run/node
mount --no-canonicalize --bind . /run/node
cd /run/node
mount --bind lib /var/lib
mount --bind log /var/log
hostname "$NODE_NAME"

# The kubelet would set these for the whole machine. It is shown the values that it wants, and leaves them alone.
mkdir /run/sysctl
while read -r file value; do
    [ -e "/proc/sys/$file" ] || continue
    shown=/run/sysctl/$(basename "$file")
    echo "$value" >"$shown"
    mount --bind "$shown" "/proc/sys/$file"
done <<VALUES
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
VALUES

ip link set lo up
until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
ip address add "$NODE_ADDRESS/24" dev eth0
ip route add default via "$NODE_GATEWAY"
while read -r pods node; do ip route add "$pods" via "$node"; done <routes
echo 1 >/proc/sys/net/ipv4/ip_forward

# keep NAME COMMAND...: runs it for as long as the node lives.
keep() {
    name=$1
    shift
    while :; do
        "$@" >>"$name.log" 2>&1 </dev/null &
        echo $! >"$name.pid"
        wait $! || echo "$name ended with $?" >&2
        sleep 0.5
    done
}

keep containerd containerd --config /run/node/containerd.toml &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in images/*.tar; do ctr --namespace k8s.io images import "$image"; done

keep kube-proxy bin/kube-proxy --config /run/node/kube-proxy.yaml &
keep kubelet bin/kubelet --config /run/node/kubelet.yaml --kubeconfig /run/node/kubelet.kubeconfig \
    --hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS" &
wait

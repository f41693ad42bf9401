#!/bin/bash
# Pid 1 of a `real` cluster's node, in mount, network, pid, ipc and uts namespaces of its own. Started by up.sh; needs ROOT, TC, NAME, DIR, PORT, AUTH.
set -euo pipefail
. "$ROOT/lib/addons.sh"
RT=$ROOT/rt
kubectl() { "$TC" kubectl --kubeconfig "$DIR/admin.kubeconfig" "$@"; }
failed() { # whatever else runs here ends with pid 1
  for component in $("$TC" ps --dir "$DIR" | awk '$3 == "dead" { print $1 }'); do
    echo "$component ended:"; tail -n 20 "$DIR/log/$component.log"
  done
}
trap failed EXIT

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /var/log
echo 'nameserver 127.0.0.1' > /run/resolv.conf # CoreDNS; it knows nothing outside the cluster, so pulls fail at once instead of after a DNS timeout
mount --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf)"
# The kubelet insists on these, which are the whole machine's: it gets files that say so already.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=/run/sysctl/${setting%=*}; mkdir -p "${file%/*}"; echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
hostname "$NAME-node"
ip link set lo up
ip link add node0 type bridge; ip addr add 10.250.0.1/24 dev node0; ip link set node0 up
ip route add default via 10.250.0.254 dev node0 # leads nowhere; some components want one
echo 1 > /proc/sys/net/ipv4/ip_forward
export PATH=$RT/usr/bin:$RT/usr/sbin:$PATH LD_LIBRARY_PATH; LD_LIBRARY_PATH=$(echo "$RT"/usr/lib/*-linux-gnu)
mkdir -p /run/lock /run/netns /run/cni.d /var/lib/kubelet /var/log/pods /var/log/containers "$DIR/kubelet"
mount --bind "$DIR/kubelet" /var/lib/kubelet # a short path: sockets are in it
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # cgroup v2
  mkdir -p "/sys/fs/cgroup/tc-$NAME-$PORT"
else                                              # cgroup v1
  for c in cpu cpuacct cpuset memory systemd pids hugetlb; do [ ! -d "/sys/fs/cgroup/$c" ] || mkdir -p "/sys/fs/cgroup/$c/tc-$NAME-$PORT"; done
fi
mount --make-rshared /
cat > /run/containerd.toml <<Y
version = 2
root = "$DIR/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/opt" # by default it makes /opt/containerd
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tc.local/pause:1"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE a negative oom_score_adj kills runc's init ("can't get final child's PID from pipe: EOF")
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$RT/usr/lib/cni"
    conf_dir = "/run/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
Y
cat > /run/cni.d/10-tc.conflist <<'Y'
{"cniVersion":"0.4.0","name":"tc","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"/run/cni-ipam"}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
Y
cat > /run/kubelet.yaml <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $DIR/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $DIR/pki/kubelet.crt
tlsPrivateKeyFile: $DIR/pki/kubelet.key
port: $((PORT+5))
healthzPort: 0
cgroupDriver: cgroupfs
cgroupRoot: /tc-$NAME-$PORT
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
maxPods: 60
volumePluginDir: $DIR/volplugins
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%", memory.available: "1Mi"}
nodeStatusUpdateFrequency: 5s
syncFrequency: 5s
Y
cat > /run/proxy.yaml <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $DIR/proxy.kubeconfig}
mode: nftables
clusterCIDR: 10.244.0.0/16
hostnameOverride: $NAME-node
bindAddress: 10.250.0.1
healthzBindAddress: 127.0.0.1:$((PORT+7))
metricsBindAddress: 127.0.0.1:$((PORT+8))
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
Y
"$TC" spawn --dir "$DIR" -- containerd --config /run/containerd.toml > /dev/null
"$TC" up --name "$NAME" --dir "$DIR" --port "$PORT" --bind 0.0.0.0 ${AUTH:+--auth "$AUTH"}
ctr() { command ctr -a /run/containerd/containerd.sock -n k8s.io "$@"; }
for _ in {1..100}; do ! ctr version > /dev/null 2>&1 || break; sleep 0.1; done
for image in pause busybox; do
  pause=; [ $image = busybox ] || pause=--pause
  "$TC" mkimage --busybox "$RT/bin/busybox" --name "tc.local/$image:1" $pause --out "/run/$image.tar" > /dev/null
  ctr images import "/run/$image.tar" > /dev/null
done
"$TC" spawn --dir "$DIR" -- kubelet --config=/run/kubelet.yaml --kubeconfig="$DIR/kubelet.kubeconfig" --hostname-override="$NAME-node" --node-ip=10.250.0.1 \
  --root-dir=/var/lib/kubelet --maximum-dead-containers-per-container=3 > /dev/null
"$TC" spawn --dir "$DIR" -- kube-proxy --config=/run/proxy.yaml > /dev/null
dns
metrics

# Calls "$@" until it succeeds, for a minute, or until a component has ended.
eventually() {
  local end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "not in time: $*"; exit 1; }
    [ -z "$("$TC" ps --dir "$DIR" | grep ' dead$')" ] || exit 1
    sleep 0.1
  done
}
node_known() { kubectl get node "$NAME-node" > /dev/null 2>&1; }
names_known() { [ "$("$RT/bin/busybox" wget -qO- "http://127.0.0.1:$((PORT + 9))/ready" 2> /dev/null)" = OK ]; } # CoreDNS has its watches
eventually node_known
kubectl wait --for=condition=Ready "node/$NAME-node" --timeout=60s > /dev/null
eventually names_known
touch "$DIR/node-ready"
trap - EXIT
sleep infinity &
wait # as pid 1, bash collects the orphans meanwhile

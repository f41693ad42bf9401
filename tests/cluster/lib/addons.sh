# Components that are neither control plane nor node agent. Sourced by up.sh and node.sh; needs TC, DIR, PORT, ROOT, NAME.

# A manifest with the placeholders filled in.
manifest() {
  local text; text=$(< "$ROOT/manifests/$1")
  text=${text//@DIR@/"$DIR"} text=${text//@PORT@/"$((PORT + 6))"} text=${text//@CA@/"$(base64 -w0 "$DIR/pki/ca.crt")"}
  printf '%s\n' "$text"
}

# metrics-server, as a process beside the apiserver
metrics() {
  local config=$DIR/metrics-server.kubeconfig pki=$DIR/pki
  manifest metrics-server.yaml | kubectl apply -f - > /dev/null
  "$TC" spawn --dir "$DIR" -- metrics-server --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --bind-address=127.0.0.1 --secure-port=$((PORT + 6)) --tls-cert-file="$pki/metrics-server.crt" --tls-private-key-file="$pki/metrics-server.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP --kubelet-use-node-status-port \
    --metric-resolution=10s --kubelet-request-timeout=5s > /dev/null
}

# CoreDNS, as a process of the node, behind the service address 10.96.0.10
dns() {
  cat > "$DIR/Corefile" <<Y
.:53 {
    errors
    ready 127.0.0.1:$((PORT + 9))
    reload 2s 1s
    hosts "$DIR/hosts" {
        reload 2s
        fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig "$DIR/coredns.kubeconfig" $NAME
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }
    template ANY ANY . { # nothing outside the cluster exists
        rcode NXDOMAIN
    }
}
Y
  touch "$DIR/hosts" # extra names, in the format of /etc/hosts; may be edited while the cluster runs
  kubectl apply -f "$ROOT/manifests/dns.yaml" > /dev/null
  "$TC" spawn --dir "$DIR" -- coredns -conf "$DIR/Corefile" > /dev/null
}

#!/bin/bash
# `make demo`: a cluster, a sick shop in it, an McpEndpoint, k-mcp, and an agent's question, until Ctrl-C.
#   KMCP_BIN      the k-mcp to run; `make demo` builds it
#   KUBECONFIG    a cluster to use in place of one of its own; what is created there is deleted at the end
#   DEMO_EXIT=1   end after the answer
#   DEMO_IMAGE    busybox for the workloads, where the cluster cannot pull busybox:1.36
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/config/demo clients=$root/tests/clients cluster=$root/tests/cluster/cluster
bin=${KMCP_BIN:-$root/target/release/k-mcp}

say() { printf '\n== %s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }
needs() { command -v "$1" > /dev/null || die "needs $1: $2"; }

# Calls "$@" until it succeeds, for half a minute.
eventually() {
  local end=$((SECONDS + 30))
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

state=$(mktemp -d "${TMPDIR:-/tmp}/k-mcp-demo.XXXXXX") # tokens, logs, the own cluster: only for this user, gone at the end
server_pid='' own='' real='' created='' created_crd=''

cleanup() {
  trap - EXIT INT TERM HUP
  set +e
  if [ -n "$server_pid" ]; then kill "$server_pid"; wait "$server_pid"; fi 2> /dev/null
  if [ -n "$own" ]; then "$cluster" down demo; fi
  if [ -n "$created" ]; then
    say "Deleting what was created"
    kubectl delete --ignore-not-found --timeout=2m namespace/k-mcp-demo namespace/shop \
      clusterrole/k-mcp-demo-nodes clusterrolebinding/k-mcp-demo-nodes
    [ -z "$created_crd" ] || kubectl delete -f "$root/crds"
  fi
  rm -rf "$state"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# A cluster of its own: with real containers for root, with fake nodes for others and where that cannot be.
own_cluster() {
  [ -x "$root/tests/cluster/bin/tc" ] || die "no test cluster yet: run make cluster, which needs Go"
  export TC_RUN=$state
  own=yes kubectl_shown=$state/kubectl image=tc.local/busybox:1
  kubectl() { "$cluster" kubectl demo "$@"; }
  printf '#!/bin/sh\nTC_RUN=%q exec %q kubectl demo "$@"\n' "$state" "$cluster" > "$state/kubectl"
  chmod +x "$state/kubectl"
  if [ "$(id -u)" != 0 ]; then
    echo "Not root, so the nodes and what their pods come to are fake (kwok)."
  elif "$cluster" runtime > "$state/real.log" 2>&1 && "$cluster" up real demo --owner $$ >> "$state/real.log" 2>&1; then
    real=yes
    return
  else
    tail -n 3 "$state/real.log"
    echo "No real node can run here, so the nodes and what their pods come to are fake (kwok)."
  fi
  "$cluster" up kwok demo --owner $$ > "$state/kwok.log" 2>&1 || { cat "$state/kwok.log"; die "no cluster"; }
}

users_cluster() {
  needs kubectl "KUBECONFIG is set, and kubectl is what uses it here"
  real=yes kubectl_shown=kubectl image=${DEMO_IMAGE:-busybox:1.36}
  kubectl version > /dev/null || die "the cluster of KUBECONFIG does not answer"
  local namespace
  for namespace in k-mcp-demo shop; do
    [ -z "$(kubectl get namespaces -o name -l 'app.kubernetes.io/part-of!=k-mcp-demo' --field-selector "metadata.name=$namespace")" ] ||
      die "that cluster has a namespace $namespace already, which the demo would use and delete"
  done
}

free_port() { # the first from $1 on
  local port=$1
  while (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do port=$((port + 1)); done
  echo "$port"
}

# What a token says, as JSON.
claims() {
  local part; part=$(cut -d. -f2 <<< "$1" | tr '_-' '/+')
  while [ $((${#part} % 4)) != 0 ]; do part+='='; done
  base64 -d <<< "$part"
}

# A client that nobody here wrote, if there is one.
choose_client() {
  client=curl
  if "$clients/install" js > "$state/clients.log" 2>&1; then client=inspector
  elif "$clients/install" py >> "$state/clients.log" 2>&1; then client=python
  else
    tail -n 2 "$state/clients.log"
    needs curl "no MCP client can be installed"
    echo "No MCP client can be installed, so curl asks."
  fi
}

ask() { # a tool, its arguments
  echo; echo "agent> $1 $2"
  case $client in
  inspector)
    HOME=$state PATH=$clients/node_modules/.bin:$PATH mcp-inspector --cli --config "$state/mcp.json" --server k-mcp \
      --protocol-era auto --method tools/call --tool-name "$1" --tool-args-json "$2" \
      --quiet --output "$state/answer" --output-format raw
    printf '%s\n' "$(< "$state/answer")";;
  python)
    if URL=$url TOKEN=$(< "$state/token") "$clients/.venv/bin/python" "$clients/sdk.py" auto "$1" "$2" > "$state/answer"; then
      python3 -c 'import json, sys; print(json.load(sys.stdin)["text"].rstrip())' < "$state/answer"
    fi;;
  curl)
    curl -fsS "$url" -H "@$state/headers" -d "$(request "$1" "$2")"; echo;;
  esac
}

request() { printf '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}' "$1" "$2"; }

[ -x "$bin" ] || die "no $bin: make demo builds it, which needs cargo"

say "A cluster"
if [ -n "${KUBECONFIG:-}" ]; then users_cluster; else own_cluster; fi
api=$(kubectl config view --minify --raw -o jsonpath='{.clusters[0].cluster.server}')
api=${api/0.0.0.0/127.0.0.1} # k3d writes that
kubectl get nodes

say "A shop with faults, and who may see it"
[ -n "$own" ] || created=yes
if ! kubectl get crd mcpendpoints.k-mcp.dev > /dev/null 2>&1; then
  [ -n "$own" ] || created_crd=yes
  kubectl apply -f "$root/crds" > /dev/null
  kubectl wait --for=condition=Established crd/mcpendpoints.k-mcp.dev --timeout=30s > /dev/null
fi
kubectl apply -f "$here/access.yaml" > /dev/null
sed -e "s|busybox:1.36|$image|" ${real:+-e "s|, tc/fault: [a-z]*||"} "$here/workloads.yaml" | kubectl apply -f -

say "An McpEndpoint: config/samples/service-accounts.yaml with this cluster's values"
port=$(free_port 8080) admin=$(free_port 9090)
url=http://127.0.0.1:$port/mcp/demo
default=$(claims "$(kubectl -n shop create token agent)")
issuer=$(sed -E 's/.*"iss":"([^"]*)".*/\1/' <<< "$default")
audience=$(sed -E 's/.*"aud":\["([^"]*)".*/\1/' <<< "$default")
sed -e 's|^metadata:.*|metadata: {name: demo, namespace: k-mcp-demo}|' \
  -e "s|server: .*|server: $api|" -e "s|issuer: .*|issuer: $issuer}|" -e "s|audiences: .*|audiences: [$audience]}|" \
  "$root/config/samples/service-accounts.yaml" > "$state/endpoint.yaml"
"$bin" check "$state/endpoint.yaml" > /dev/null || { "$bin" check "$state/endpoint.yaml"; exit 1; }
kubectl apply -f "$state/endpoint.yaml"
sed '/^#/d' "$state/endpoint.yaml"

say "k-mcp"
eventually kubectl -n k-mcp-demo get configmap kube-root-ca.crt
kubectl -n k-mcp-demo get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}' > "$state/ca.crt"
kubectl -n k-mcp-demo create token k-mcp --duration=12h > "$state/k-mcp.token"
kubectl -n shop create token agent --duration=12h --audience="$url" --audience="$audience" > "$state/token"
"$bin" serve --listen "127.0.0.1:$port" --admin-listen "127.0.0.1:$admin" --public-url "http://127.0.0.1:$port" \
  --namespace k-mcp-demo --management-server "$api" --management-token-file "$state/k-mcp.token" \
  --management-ca-file "$state/ca.crt" --allow-loopback-upstreams --log-format text > "$state/k-mcp.log" 2>&1 &
server_pid=$!
serves() { (exec 3<> "/dev/tcp/127.0.0.1/$admin" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 '); }
eventually serves || { tail -n 5 "$state/k-mcp.log"; die "k-mcp is not ready"; }
is() { kubectl -n k-mcp-demo wait mcpep/demo --for="$1" --timeout=30s > /dev/null; }
{ is jsonpath='{.status.url}'="$url" && is condition=Ready; } || # the URL: not what an earlier k-mcp wrote
  { kubectl -n k-mcp-demo get mcpep demo -o yaml; die "the McpEndpoint is not Ready"; }
kubectl -n k-mcp-demo get mcpep

say "What an agent sees"
printf '%s: %s\n' Authorization "Bearer $(< "$state/token")" Content-Type application/json \
  Accept 'application/json, text/event-stream' > "$state/headers"
server=$(printf '"k-mcp":{"type":"http","url":"%s","headers":{"Authorization":"Bearer %s"}}' "$url" "$(< "$state/token")")
echo "{\"mcpServers\":{$server}}" > "$state/mcp.json"
echo "{\"servers\":{$server}}" > "$state/vscode.json"
choose_client
crashed() { [[ $(kubectl -n shop get pods -l app=checkout -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}') =~ [1-9] ]]; }
kubectl -n shop rollout status deployment/web --timeout=30s > /dev/null 2>&1 || true
eventually crashed || true
ask cluster_list '{}'
ask resource_list '{"resource":"pods","namespace":"shop"}'
ask resource_get '{"resource":"deployment/checkout","namespace":"shop"}'
ask resource_list '{"resource":"secrets","namespace":"shop"}' 2> "$state/refusal" || true # an error, for a client
[ "$client" != python ] || cat "$state/refusal"

[ -z "${DEMO_EXIT:-}" ] || exit 0
cat << EOT

== Now you, at $url
Claude Code      claude mcp add --transport http k-mcp $url --header "\$(head -n 1 $state/headers)"
VS Code          mkdir -p .vscode && cp $state/vscode.json .vscode/mcp.json
any other        $state/mcp.json
curl             curl -s $url -H @$state/headers -d '$(request resource_list '{"resource":"pods","namespace":"shop"}')'
Who asked what   tail -f $state/k-mcp.log | grep audit
Change the rule  $kubectl_shown -n k-mcp-demo edit mcpep demo
Or at once       $kubectl_shown -n k-mcp-demo patch mcpep demo --type=json -p '[{"op":"replace","path":"/spec/rules/0/allow/namespaces/names","value":["default"]}]'
                 and the next call for shop is refused
The token is in $state/token, for twelve hours. Ctrl-C ends the demo and removes all of this.
EOT
trap 'exit 0' INT TERM HUP
wait "$server_pid" || true
tail -n 5 "$state/k-mcp.log"
die "k-mcp ended"

#!/bin/bash
# Does the test cluster do what README.md says? About a minute. As root it covers `real` (run `cluster runtime` before) and a caller without rights, too.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")" && pwd)
TC_RUN=$(mktemp -d); export TC_RUN # also for this script's own files: .NAME
cluster=$ROOT/cluster passed=0 failed=0

ok() { # what, command...
  if "${@:2}" > "$TC_RUN/.out" 2>&1; then
    passed=$((passed + 1)); printf '%3d s ok   %s\n' "$SECONDS" "$1"
  else
    failed=$((failed + 1)); printf '%3d s FAIL %s\n' "$SECONDS" "$1"; tail -n 20 "$TC_RUN/.out" | sed 's/^/           /'
  fi
}
not() { ! "$@"; }
within() { # seconds, command...
  local end=$((SECONDS + $1))
  until "${@:2}"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
gone() { [ ! -e "$TC_RUN/$1" ] && ! grep -qs "$TC_RUN/$1/" /proc/[0-9]*/cmdline; }
token() { "$cluster" oidc token "$@"; }
get() { # cluster, token, path, curl options...
  curl -sS -m 5 --cacert "$TC_RUN/$1/pki/ca.crt" -H "Authorization: Bearer $2" "$(< "$TC_RUN/$1/url")$3" "${@:4}"
}
is_alice() { # cluster, token: who does the cluster think that is?
  get "$1" "$2" /apis/authentication.k8s.io/v1/selfsubjectreviews -H 'Content-Type: application/json' \
    -d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' > "$TC_RUN/.me"
  [ "$(jq -r '.status.userInfo | .username, .groups[0]' "$TC_RUN/.me" | xargs)" = "oidc:alice oidc:devs" ]
}
refused() { [ "$(get "$1" "$2" /api -o /dev/null -w '%{http_code}')" = 401 ]; }
audited() { # cluster, path
  [ -n "$(jq --arg path "$2" 'select(.user.username == "oidc:alice" and (.requestURI | split("?")[0]) == $path)' "$TC_RUN/$1/log/audit.log")" ]
}
jwks() { curl -sS -m 5 --cacert "$TC_RUN/oidc/ca.crt" "$(< "$TC_RUN/oidc/url")/jwks"; }
fetched() { grep -c '^GET /jwks 20' "$TC_RUN/oidc/access.log"; }
state() { [[ "$("$cluster" list)" =~ (^|$'\n')"$1 "[^$'\n']*" $2"($|$'\n') ]]; }

finish() {
  trap - EXIT
  kill $(jobs -p) 2> /dev/null || true
  "$cluster" down --all
  rm -rf "$TC_RUN"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

ok "build is up to date" "$cluster" build
ok "oidc init" "$cluster" oidc init --audience other
"$cluster" oidc serve --owner $$ & oidc=$!
issuer=$(< "$TC_RUN/oidc/url") auth=$TC_RUN/oidc/authentication.yaml
ok "oidc serves" within 10 jwks

# two at once, one issuer
"$cluster" up bare a --auth "$auth" > "$TC_RUN/.a" 2>&1 & a=$!
"$cluster" up bare b --auth "$auth" > "$TC_RUN/.b" 2>&1 & b=$!
ok "bare a" wait $a
ok "bare b, at the same time" wait $b
alice=$(token --groups devs,ops)
for c in a b; do
  ok "$c accepts a token" within 30 is_alice $c "$alice"
  ok "$c accepts ES256, an extra audience, several audiences" is_alice $c "$(token --groups devs --alg ES256 --aud x --aud other)"
  ok "$c refuses another audience" refused $c "$(token --aud x)"
  ok "$c refuses an expired token" refused $c "$(token --ttl -1m)"
  ok "$c refuses another issuer" refused $c "$(token --iss https://example.com)"
  ok "$c refuses an unknown kid" refused $c "$(token --header '{"kid":"nope"}')"
  ok "$c refuses alg none" refused $c "$(token --header '{"alg":"none"}')"
  ok "$c refuses a claim that its rules forbid" refused $c "$(token --claims '{"sub":null}')"
  get $c "$alice" /version > /dev/null; get $c "$alice" /apis > /dev/null; get $c "$alice" "/api/v1/namespaces?limit=1" > /dev/null
  for path in /version /apis /api/v1/namespaces /apis/authentication.k8s.io/v1/selfsubjectreviews; do ok "$c has $path in its audit log" audited $c $path; done
done

# rotation
before=$(fetched)
ok "rotate names the new key" [ "$("$cluster" oidc rotate)" = k2 ]
ok "the old key stays published" [ "$(jwks | jq -c '[.keys[].kid]')" = '["k2","k2-ec","k1","k1-ec"]' ]
for c in a b; do
  ok "$c accepts the new key" within 15 is_alice $c "$(token --groups devs)"
  ok "$c still accepts the old key" is_alice $c "$alice"
done
ok "access.log shows the fetches" [ "$(fetched)" -ge $((before + 3)) ]
"$cluster" oidc rotate --keep 0 > /dev/null
ok "keep 0 leaves one key" [ "$(jwks | jq -c '[.keys[].kid]')" = '["k3","k3-ec"]' ]
kill $oidc; wait $oidc 2> /dev/null || true
ok "the issuer goes away" not jwks
"$cluster" oidc serve --owner $$ & oidc=$!
ok "the issuer comes back" within 10 jwks

# faults
version() { get a "$alice" /version "$@"; }
"$cluster" freeze a kube-apiserver
ok "a frozen apiserver does not answer" not version -m 1
ok "list says frozen" state a 'kube-apiserver frozen'
"$cluster" thaw a kube-apiserver
ok "a thawed one does" version
"$cluster" kill a kube-apiserver
ok "a killed one does not" not version
ok "list says dead" state a 'kube-apiserver dead'
ok "revive" "$cluster" revive a kube-apiserver
ok "a revived one answers" version

# data
ok "an object" "$cluster" kubectl a create configmap kept
"$cluster" stop a
ok "stop ends all" not grep -qs "$TC_RUN/a/" /proc/[0-9]*/cmdline
ok "list says stopped" state a stopped
ok "up again" "$cluster" up bare a --auth "$auth"
ok "the data is still there" "$cluster" kubectl a get configmap kept
"$cluster" down a
ok "down leaves nothing" gone a

# failure and owners
echo nonsense > "$TC_RUN/.nonsense"
ok "up fails with a bad file" not "$cluster" up bare bad --auth "$TC_RUN/.nonsense"
ok "it leaves nothing" gone bad
sleep 1000 & owner=$!
ok "bare with an owner" "$cluster" up bare owned --owner $owner
kill -KILL $owner
ok "its owner gone, it goes" within 10 gone owned
sleep 1000 & owner=$!
"$cluster" up bare half --owner $owner > /dev/null 2>&1 & up=$!
within 10 [ -s "$TC_RUN/half/pids" ]
kill -KILL $owner $up
ok "owner and up killed half-way: it goes" within 20 gone half

sleep 1000 & owner=$!
"$cluster" up bare lost --owner $owner > /dev/null
rm -rf "$TC_RUN/lost" 2> /dev/null || true # etcd goes on writing there
kill -KILL $owner
ok "the folder removed before the owner ends: it goes all the same" within 10 gone lost

ok "kwok with 20 nodes" "$cluster" up kwok k --nodes 20
ok "they are ready" [ "$("$cluster" kubectl k get nodes --no-headers | grep -cw Ready)" = 20 ]
"$cluster" kubectl k create deployment web --image=x --replicas=3 > /dev/null
ok "fake pods run" "$cluster" kubectl k wait --for=condition=Available deployment/web --timeout=20s

if [ "$(id -u)" = 0 ]; then
  # a caller without rights or home, on a copy
  chmod 0711 "$TC_RUN"
  copy=$TC_RUN/copy; mkdir -p "$copy/bin" "$copy/run"; cp -r "$ROOT"/{cluster,lib,manifests} "$copy"; cp "$ROOT/bin/tc" "$copy/bin"; chown 65534 "$copy/run"
  nobody() { env -i PATH="$PATH" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$copy/cluster" "$@"; }
  ok "without rights: kwok" nobody up kwok n
  ok "without rights: kubectl" nobody kubectl n get nodes
  ok "without rights: down" nobody down n
  ok "without rights: nothing left" gone copy/run/n
fi
if [ "$(id -u)" = 0 ] && [ -e "$ROOT/rt/.complete" ]; then
  sysctls() { sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops; }
  before=$(sysctls)
  sleep 1000 & owner=$!
  ok "real" "$cluster" up real r --auth "$auth" --reverse "${issuer##*:}" --owner $owner
  ok "real accepts a token" within 30 is_alice r "$(token --groups devs)"
  ok "real has it in its audit log" audited r /apis/authentication.k8s.io/v1/selfsubjectreviews
  "$ROOT/bin/tc" mkimage --busybox "$ROOT/rt/bin/busybox" --user 65532 --name tc.local/web:1 --out "$TC_RUN/web.tar" \
    --entrypoint /bin/sh --cmd -c --cmd 'mkdir /tmp/www && echo hello > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www' > /dev/null
  ok "real imports an image" "$cluster" import r "$TC_RUN/web.tar"
  "$cluster" kubectl r run web --image=tc.local/web:1 --port=8080 --expose > /dev/null
  ok "real runs it" "$cluster" kubectl r wait --for=condition=Ready pod/web --timeout=30s
  port=$(($(< "$TC_RUN/r/port") + 1))
  ok "real exposes it" "$cluster" expose r $port web 8080
  ok "real answers" within 10 curl -sSf -m 2 "http://127.0.0.1:$port/"
  ok "real: pods end up as they should" "$cluster" check r
  ok "real leaves the machine's settings alone" [ "$(sysctls)" = "$before" ]
  kill -KILL $owner
  ok "real goes with its owner" within 10 gone r
  ok "no control group stays" [ -z "$(find /sys/fs/cgroup -maxdepth 2 -name 'tc-r-*')" ]
fi

ok "down --all" "$cluster" down --all
kill $oidc; wait $oidc 2> /dev/null || true
ok "no process is left" not grep -qs "$TC_RUN/" /proc/[0-9]*/cmdline
ok "no cluster is left" [ -z "$(find "$TC_RUN" -mindepth 2 -name kind)" ]
echo "$passed passed, $failed failed"
[ $failed = 0 ]

# Broken and healthy pods on a `real` cluster end in the states they should. Sourced by ../cluster; exits 1 if not.
start=$SECONDS bad=0
ok() { printf '%3d s ok   %s\n' $((SECONDS - start)) "$1"; }
bad() { printf '%3d s FAIL %s\n' $((SECONDS - start)) "$1"; bad=1; }

want() { # pod, jsonpath, value
  local got=
  for _ in {1..120}; do
    got=$(kubectl get pod "$1" -o jsonpath="$2" 2> /dev/null) || true
    [ "$got" != "$3" ] || { ok "$1: $3"; return; }
    sleep 0.5
  done
  bad "$1: wanted $3, got $got"
}

inpod() { # what, command in the pod, pattern
  local got; got=$(kubectl exec hello -- sh -c "$2" 2>&1) || true
  if grep -qE "$3" <<< "$got"; then ok "$1"; else bad "$1: $got"; fi
}

kubectl apply -f "$ROOT/manifests/pods.yaml" > /dev/null
ready='{.status.conditions[?(@.type=="Ready")].status}'
scheduled='{.status.conditions[?(@.type=="PodScheduled")].reason}'
waiting='{.status.containerStatuses[0].state.waiting.reason}'
last='{.status.containerStatuses[0].lastState.terminated'
want hello "$ready" True
want notready "$ready" False
want neverpull "$waiting" ErrImageNeverPull
want badconfig "$waiting" CreateContainerConfigError
want pull "$waiting" ImagePullBackOff
want toobig "$scheduled" Unschedulable
want pvcpending "$scheduled" Unschedulable
want crash "$waiting" CrashLoopBackOff
want crash "$last.exitCode}" 3
want oom "$last.reason}" OOMKilled
want badcmd "$last.reason}" StartError
want initfail '{.status.initContainerStatuses[0].state.waiting.reason}' CrashLoopBackOff
if kubectl logs crash --previous | grep 'boom at' > /dev/null; then ok "logs --previous"; else bad "logs --previous"; fi

service=$(kubectl get service hello -o jsonpath='{.spec.clusterIP}')
inpod "service address" "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 $service 80" '^web-hello$'
inpod "dns: service" "nslookup hello.default.svc.cluster.local" "Address: $service\$"
inpod "dns: kubernetes" "nslookup kubernetes.default.svc.cluster.local" 'Address: 10.96.0.1$'
inpod "dns: headless service" "nslookup headless.default.svc.cluster.local" "Address: $(kubectl get pod hello -o jsonpath='{.status.podIP}')\$"
inpod "dns: address to name" 'nslookup $(hostname -i)' 'headless.default.svc.cluster.local'
inpod "dns: search path" "wget -qO- http://hello.default/" '^web-hello$'
inpod "dns: absent service, at once" 's=$(date +%s); nslookup nope.default.svc.cluster.local; [ $(($(date +%s) - s)) -lt 2 ] && echo quick' 'quick'
inpod "dns: absent service" 'nslookup nope.default.svc.cluster.local' 'NXDOMAIN'
inpod "dns: name outside" 'nslookup example.com' 'NXDOMAIN'
exit $bad

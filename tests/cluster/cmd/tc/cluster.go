package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// advertise is the address in the Endpoints of the service `kubernetes`, which
// may not be a loopback: that of a `real` node, and of nothing elsewhere.
const advertise = "10.250.0.1"

// cluster holds what `tc up` was asked for. Ports: port = apiserver, then +1
// etcd client, +2 etcd peer, +3 controller manager, +4 scheduler, +5 node, +6
// metrics-server, +7 and +8 kube-proxy, +9 coredns.
type cluster struct {
	name, dir, bind, authConfig string
	port                        int
	pids                        table
}

func (c *cluster) p(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *cluster) url() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port) }

func (c *cluster) writeFiles() {
	pki := c.p("pki")
	check(os.MkdirAll(c.p("log"), 0o700))
	check(os.MkdirAll(c.p("etcd"), 0o700))
	check(os.WriteFile(c.p("audit-policy.yaml"), []byte(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
- level: None
  userGroups: ["system:nodes"]
- level: None
  nonResourceURLs: ["/healthz*", "/readyz*", "/livez*"]
- level: Metadata
`), 0o600))
	check(os.WriteFile(c.p("url"), []byte(c.url()+"\n"), 0o644))
	if exists(c.p("admin.kubeconfig")) { // written last
		return // a restart keeps its keys and its data
	}
	root := newCA(pki, "ca")
	sans := []string{"127.0.0.1", "localhost", "10.96.0.1", advertise, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	root.issue("apiserver", "kube-apiserver", nil, sans)
	root.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil)
	root.issue("admin", "admin", []string{"system:masters"}, nil)
	root.issue("kcm", "system:kube-controller-manager", nil, []string{"127.0.0.1"})
	root.issue("scheduler", "system:kube-scheduler", nil, []string{"127.0.0.1"})
	root.issue("proxy", "system:kube-proxy", nil, nil)
	root.issue("kubelet", "system:node:"+c.name+"-node", []string{"system:nodes"}, []string{c.name + "-node", "127.0.0.1", advertise})
	root.issue("metrics-server", "system:serviceaccount:kube-system:metrics-server", nil, []string{"127.0.0.1", "metrics-server.kube-system.svc", advertise})
	root.issue("coredns", "system:serviceaccount:kube-system:coredns", nil, nil)
	newCA(pki, "front-proxy-ca").issue("front-proxy", "front-proxy-client", nil, nil)
	writeRSA(filepath.Join(pki, "sa"))
	for _, u := range []string{"kcm", "scheduler", "proxy", "kubelet", "metrics-server", "coredns", "admin"} {
		kubeconfig(c.p(u+".kubeconfig"), c.name, c.url(), pki, u)
	}
}

func (c *cluster) args(component string) []string {
	port := func(n int) string { return strconv.Itoa(c.port + n) }
	pki := func(f string) string { return c.p("pki", f) }
	switch component {
	case "etcd":
		u, peer := "http://127.0.0.1:"+port(1), "http://127.0.0.1:"+port(2)
		return []string{"--name=" + c.name, "--data-dir=" + c.p("etcd"), "--listen-client-urls=" + u, "--advertise-client-urls=" + u,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + c.name + "=" + peer,
			"--unsafe-no-fsync", "--log-level=warn", "--auto-compaction-retention=1h"}
	case "kube-apiserver":
		a := []string{"--bind-address=" + c.bind, "--secure-port=" + port(0), "--advertise-address=" + advertise,
			"--etcd-servers=http://127.0.0.1:" + port(1), "--service-cluster-ip-range=10.96.0.0/16",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--service-account-issuer=https://" + c.name + ".tc.local", "--service-account-signing-key-file=" + pki("sa.key"), "--service-account-key-file=" + pki("sa.pub"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
			"--kubelet-preferred-address-types=InternalIP,Hostname",
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + pki("front-proxy.crt"), "--proxy-client-key-file=" + pki("front-proxy.key"),
			"--audit-policy-file=" + c.p("audit-policy.yaml"), "--audit-log-path=" + c.p("log", "audit.log"),
			"--audit-log-mode=blocking", "--audit-log-format=json", "--audit-log-maxsize=4096", "--profiling=false"}
		if c.authConfig != "" {
			a = append(a, "--authentication-config="+c.authConfig)
		}
		return a
	case "kube-controller-manager":
		k := c.p("kcm.kubeconfig")
		return []string{"--kubeconfig=" + k, "--authentication-kubeconfig=" + k, "--authorization-kubeconfig=" + k, "--bind-address=127.0.0.1", "--secure-port=" + port(3),
			"--tls-cert-file=" + pki("kcm.crt"), "--tls-private-key-file=" + pki("kcm.key"),
			"--leader-elect=false", "--use-service-account-credentials", "--service-account-private-key-file=" + pki("sa.key"), "--root-ca-file=" + pki("ca.crt"),
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"), "--controllers=*", "--flex-volume-plugin-dir=" + c.p("volplugins"), "--kube-api-qps=500", "--kube-api-burst=1000", "--profiling=false"}
	case "kube-scheduler":
		k := c.p("scheduler.kubeconfig")
		return []string{"--kubeconfig=" + k, "--authentication-kubeconfig=" + k, "--authorization-kubeconfig=" + k, "--bind-address=127.0.0.1", "--secure-port=" + port(4),
			"--tls-cert-file=" + pki("scheduler.crt"), "--tls-private-key-file=" + pki("scheduler.key"), "--leader-elect=false", "--profiling=false"}
	}
	panic(component)
}

func (c *cluster) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(c.p("pki", "ca.crt"))))
	cert := must(tls.LoadX509KeyPair(c.p("pki", "admin.crt"), c.p("pki", "admin.key")))
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}}}
}

// waitOK waits until the apiserver answers 200, or one of procs has ended.
func (c *cluster) waitOK(path string, limit time.Duration, procs ...proc) {
	cl, last := c.client(), ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, p := range procs {
			if !p.alive() {
				check(fmt.Errorf("%s ended", p.Name))
			}
		}
		r, err := cl.Get(c.url() + path)
		if err != nil {
			last = err.Error()
			continue
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			return
		}
		last = fmt.Sprint(r.StatusCode, " ", string(b))
	}
	check(fmt.Errorf("%s not ready after %s: %s", path, limit, last))
}

func init() {
	applets["up"] = func() { // the control plane, with new keys or with those of last time
		c := &cluster{}
		fs := flag.NewFlagSet("up", flag.ExitOnError)
		fs.StringVar(&c.name, "name", "", "cluster name")
		fs.StringVar(&c.dir, "dir", "", "state directory")
		fs.IntVar(&c.port, "port", 0, "first of ten ports")
		fs.StringVar(&c.bind, "bind", "127.0.0.1", "bind address of the apiserver")
		fs.StringVar(&c.authConfig, "auth", "", "AuthenticationConfiguration file")
		_ = fs.Parse(os.Args[1:])
		c.dir = must(filepath.Abs(c.dir))
		c.pids = table(c.p("pids"))
		start := func(component string) proc {
			return c.pids.spawn(component, append([]string{component}, c.args(component)...), 0)
		}
		t := time.Now()
		step := func(s string) { fmt.Printf("%6.2fs %s\n", time.Since(t).Seconds(), s) }
		c.writeFiles()
		step("files written")
		etcd, apiserver := start("etcd"), start("kube-apiserver")
		c.waitOK("/readyz", 2*time.Minute, etcd, apiserver)
		step("apiserver ready")
		kcm, scheduler := start("kube-controller-manager"), start("kube-scheduler")
		c.waitOK("/api/v1/namespaces/default/serviceaccounts/default", time.Minute, etcd, apiserver, kcm, scheduler)
		step("controller manager working")
	}
	applets["wait"] = func() { // tc wait DIR: until the apiserver of that running cluster is ready
		c := &cluster{dir: must(filepath.Abs(os.Args[1]))}
		c.port = must(strconv.Atoi(strings.TrimSpace(string(must(os.ReadFile(c.p("port")))))))
		c.waitOK("/readyz", time.Minute)
	}
}

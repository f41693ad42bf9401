package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// issuer is a tiny OpenID Connect issuer in a folder: url, its own CA and TLS
// key, signing keys in keys/N.pem, authentication.yaml for apiservers that are
// to trust it, and access.log.
type issuer string

// generation is one set of signing keys: kid kN for RS256, kN-ec for ES256.
type generation struct {
	n   int
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

var b64 = base64.RawURLEncoding.EncodeToString

func (i issuer) p(name string) string { return filepath.Join(string(i), name) }

func (i issuer) url() string { return strings.TrimSpace(string(must(os.ReadFile(i.p("url"))))) }

// generations returns the published keys, the newest first.
func (i issuer) generations() (all []generation) {
	for _, f := range must(filepath.Glob(i.p("keys/*.pem"))) {
		g := generation{n: must(strconv.Atoi(strings.TrimSuffix(filepath.Base(f), ".pem")))}
		b, err := os.ReadFile(f)
		if os.IsNotExist(err) {
			continue // just rotated out
		}
		check(err)
		first, rest := pem.Decode(b)
		second, _ := pem.Decode(rest)
		g.rsa = must(x509.ParsePKCS1PrivateKey(first.Bytes))
		g.ec = must(x509.ParseECPrivateKey(second.Bytes))
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b generation) int { return b.n - a.n })
	return all
}

// rotate adds a generation, which signs from now on, and leaves keep older ones.
func (i issuer) rotate(keep int) string {
	all := i.generations()
	next := 1
	if len(all) > 0 {
		next = all[0].n + 1
	}
	var b bytes.Buffer
	check(pem.Encode(&b, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(must(rsa.GenerateKey(rand.Reader, 2048)))}))
	check(pem.Encode(&b, &pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))}))
	file := i.p(fmt.Sprintf("keys/%d.pem", next))
	check(os.WriteFile(file+".new", b.Bytes(), 0o600))
	check(os.Rename(file+".new", file))
	for _, g := range all[min(max(keep, 0), len(all)):] {
		check(os.Remove(i.p(fmt.Sprintf("keys/%d.pem", g.n))))
	}
	return fmt.Sprintf("k%d", next)
}

// init creates what is missing, so that a second call changes no key and no URL.
func (i issuer) init(address string, audiences []string) {
	check(os.MkdirAll(i.p("keys"), 0o700))
	if old, err := os.ReadFile(i.p("url")); err == nil {
		if address != "" && address != strings.TrimSpace(string(old)) {
			check(fmt.Errorf("%s is already %s", i, old))
		}
	} else {
		if address == "" {
			address = fmt.Sprintf("https://127.0.0.1:%d", reserve(string(i), 0))
		}
		host := must(url.Parse(address)).Hostname()
		newCA(string(i), "ca").issue("tls", "oidc", nil, []string{"127.0.0.1", "localhost", host})
		i.rotate(0)
		check(os.WriteFile(i.p("url"), []byte(address+"\n"), 0o644))
	}
	ca := strings.TrimSpace(string(must(os.ReadFile(i.p("ca.crt")))))
	check(os.WriteFile(i.p("authentication.yaml"), fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: %s
    audiences: %s
    audienceMatchPolicy: MatchAny
    certificateAuthority: |
      %s
  claimMappings:
    username: {claim: sub, prefix: "oidc:"}
    groups: {claim: groups, prefix: "oidc:"}
    uid: {claim: sub}
    extra:
    - key: example.com/email
      valueExpression: "has(claims.email) ? claims.email : ''"
  claimValidationRules:
  - expression: claims.exp - claims.iat <= 86400
    message: token lifetime must not exceed one day
  userValidationRules:
  - expression: "!user.username.startsWith('system:')"
    message: username must not use the reserved system prefix
`, i.url(), must(json.Marshal(append([]string{"tc"}, audiences...))), strings.ReplaceAll(ca, "\n", "\n      ")), 0o644))
}

// serve reads the keys for every request, and writes one line per request,
// before it answers: method, path, time.
func (i issuer) serve() {
	u := must(url.Parse(i.url()))
	access := must(os.OpenFile(i.p("access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644))
	documents := map[string]struct {
		kind string
		make func() map[string]any
	}{
		u.Path + "/.well-known/openid-configuration": {"application/json", func() map[string]any {
			return map[string]any{
				"issuer": i.url(), "jwks_uri": i.url() + "/jwks",
				"response_types_supported":              []string{"id_token"},
				"subject_types_supported":               []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
			}
		}},
		u.Path + "/jwks": {"application/jwk-set+json", func() map[string]any {
			keys := []any{}
			for _, g := range i.generations() {
				point := must(g.ec.PublicKey.Bytes()) // 4, X, Y
				keys = append(keys,
					map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": fmt.Sprintf("k%d", g.n),
						"n": b64(g.rsa.N.Bytes()), "e": b64(big.NewInt(int64(g.rsa.E)).Bytes())},
					map[string]any{"kty": "EC", "alg": "ES256", "use": "sig", "kid": fmt.Sprintf("k%d-ec", g.n),
						"crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])})
			}
			return map[string]any{"keys": keys}
		}},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(access, r.Method, r.URL.EscapedPath(), time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
		d, ok := documents[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", d.kind)
		_ = json.NewEncoder(w).Encode(d.make())
	})
	check(http.ListenAndServeTLS(u.Host, i.p("tls.crt"), i.p("tls.key"), handler))
}

// sign makes a compact JWT with the newest key. A header that says alg none
// gets an empty signature; otherwise more may make the header lie.
func (i issuer) sign(alg string, more, claims map[string]any) string {
	g := i.generations()[0]
	header := map[string]any{"alg": alg, "typ": "JWT", "kid": fmt.Sprintf("k%d", g.n)}
	if alg == "ES256" {
		header["kid"] = fmt.Sprintf("k%d-ec", g.n)
	}
	merge(header, more)
	input := b64(must(json.Marshal(header))) + "." + b64(must(json.Marshal(claims)))
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	switch {
	case header["alg"] == "none":
	case alg == "RS256":
		signature = must(rsa.SignPKCS1v15(rand.Reader, g.rsa, crypto.SHA256, sum[:]))
	case alg == "ES256":
		r, s, err := ecdsa.Sign(rand.Reader, g.ec, sum[:])
		check(err)
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	default:
		check(fmt.Errorf("--alg %s: want RS256 or ES256", alg))
	}
	return input + "." + b64(signature)
}

// merge puts more over m; null removes.
func merge(m, more map[string]any) {
	for k, v := range more {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
}

// object is a flag that holds a JSON object.
type object map[string]any

func (o *object) String() string { return "" }
func (o *object) Set(v string) error {
	d := json.NewDecoder(strings.NewReader(v))
	d.UseNumber() // large integers stay what they are
	return d.Decode(o)
}

func init() {
	applets["oidc"] = func() {
		if len(os.Args) < 2 {
			check(fmt.Errorf("oidc init|serve|token|rotate --dir DIR"))
		}
		command := os.Args[1]
		fs := flag.NewFlagSet("oidc "+command, flag.ExitOnError)
		dir := fs.String("dir", "", "state directory")
		parse := func() issuer {
			_ = fs.Parse(os.Args[2:])
			if *dir == "" || fs.NArg() > 0 {
				check(fmt.Errorf("oidc %s: --dir is needed, and nothing beside options", command))
			}
			return issuer(must(filepath.Abs(*dir)))
		}
		switch command {
		case "init":
			var audiences list
			address := fs.String("url", "", "issuer URL (default: a free port of 127.0.0.1)")
			fs.Var(&audiences, "audience", "accepted by the clusters beside tc (again for more)")
			i := parse()
			i.init(strings.TrimSuffix(*address, "/"), audiences)
			fmt.Println(i.url())
		case "serve":
			owner := fs.Int("owner", 0, "ends when this process does")
			i := parse()
			if *owner != 0 {
				go func() { until(*owner, func() {}); os.Exit(0) }()
			}
			i.serve()
		case "rotate":
			keep := fs.Int("keep", 1, "older keys that stay published")
			fmt.Println(parse().rotate(*keep))
		case "token":
			var audiences list
			claims, header := object{}, object{}
			sub := fs.String("sub", "alice", "")
			groups := fs.String("groups", "", "comma separated")
			ttl := fs.Duration("ttl", time.Hour, "may be negative")
			alg := fs.String("alg", "RS256", "or ES256")
			iss := fs.String("iss", "", "another issuer than this one")
			fs.Var(&audiences, "aud", "(again for more; default tc)")
			fs.Var(&claims, "claims", "JSON object merged over the claims; null removes one")
			fs.Var(&header, "header", "JSON object merged over the JOSE header")
			i := parse()
			now := time.Now()
			issued := now
			if *ttl < 0 {
				issued = now.Add(*ttl - time.Hour) // it was good for an hour
			}
			all := map[string]any{
				"iss": i.url(), "sub": *sub, "aud": "tc", "email": *sub + "@example.com",
				"iat": issued.Unix(), "nbf": issued.Unix(), "exp": now.Add(*ttl).Unix(),
			}
			if len(audiences) == 1 {
				all["aud"] = audiences[0]
			} else if len(audiences) > 1 {
				all["aud"] = audiences
			}
			if *groups != "" {
				all["groups"] = strings.Split(*groups, ",")
			}
			if *iss != "" {
				all["iss"] = *iss
			}
			merge(all, claims)
			fmt.Println(i.sign(*alg, header, all))
		default:
			check(fmt.Errorf("oidc %s: no such command", command))
		}
	}
}

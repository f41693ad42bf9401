package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "tc:", err)
		os.Exit(1)
	}
}

type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

var serial = time.Now().UnixNano()

func template(cn string, orgs ...string) *x509.Certificate {
	serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: cn, Organization: orgs},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
}

func writePEM(path, kind string, der []byte, mode os.FileMode) {
	check(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
}

func writeKey(path string, key *ecdsa.PrivateKey) {
	writePEM(path, "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)), 0o600)
}

func newCA(dir, name string) *ca {
	check(os.MkdirAll(dir, 0o700))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := template(name)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	der := must(x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key))
	writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der, 0o644)
	writeKey(filepath.Join(dir, name+".key"), key)
	return &ca{must(x509.ParseCertificate(der)), key, dir}
}

func loadCA(dir, name string) *ca {
	b, _ := pem.Decode(must(os.ReadFile(filepath.Join(dir, name+".crt"))))
	k, _ := pem.Decode(must(os.ReadFile(filepath.Join(dir, name+".key"))))
	return &ca{must(x509.ParseCertificate(b.Bytes)), must(x509.ParseECPrivateKey(k.Bytes)), dir}
}

// issue writes <file>.crt/.key; sans != nil makes it a serving certificate too.
func (c *ca) issue(file, cn string, orgs, sans []string) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := template(cn, orgs...)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if sans != nil {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, s := range sans {
		if ip := net.ParseIP(s); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, s)
		}
	}
	der := must(x509.CreateCertificate(rand.Reader, t, c.cert, &key.PublicKey, c.key))
	writePEM(filepath.Join(c.dir, file+".crt"), "CERTIFICATE", der, 0o644)
	writeKey(filepath.Join(c.dir, file+".key"), key)
}

func writeRSA(path string) *rsa.PrivateKey {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	writePEM(path+".key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), 0o600)
	writePEM(path+".pub", "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&key.PublicKey)), 0o644)
	return key
}

func kubeconfig(path, cluster, server, pki, cert string) {
	b64 := func(f string) string {
		return base64.StdEncoding.EncodeToString(must(os.ReadFile(filepath.Join(pki, f))))
	}
	check(os.WriteFile(path, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: %[1]q, cluster: {server: %[2]q, certificate-authority-data: %[3]s}}]
users: [{name: %[4]s, user: {client-certificate-data: %[5]s, client-key-data: %[6]s}}]
contexts: [{name: %[1]q, context: {cluster: %[1]q, user: %[4]s}}]
current-context: %[1]q
`, cluster, server, b64("ca.crt"), cert, b64(cert+".crt"), b64(cert+".key"))), 0o600))
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// certified writes a certificate that is good for two days around now, and its key.
func certified(t *testing.T, now time.Time, names ...string) apiConfig {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour), DNSNames: names}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := apiConfig{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	for path, b := range map[string]*pem.Block{c.Cert: {Type: "CERTIFICATE", Bytes: cert}, c.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// A dashboard beyond this machine that answers to no name there is no use.
func TestCertificateWithoutANameIsLookedAt(t *testing.T) {
	now := time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		listen, certified string
		allowed           []string
		nameless          bool
	}{
		{"0.0.0.0:4580", "", nil, true}, {"127.0.0.1:4580", "", nil, false}, {"0.0.0.0:4580", "shoal.test", nil, false},
		{"0.0.0.0:4580", "*.test", nil, true}, {"0.0.0.0:4580", "", []string{"shoal.test"}, false},
	} {
		c := certified(t, now, strings.Fields(tt.certified)...)
		c.Listen, c.AllowedHosts = tt.listen, tt.allowed
		if got := certificate(c, now); strings.Contains(got.Detail, "for no name") != tt.nameless || got.State != api.CheckWarn {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}

func TestCertificateIsLookedAt(t *testing.T) {
	now := time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)
	c := certified(t, now)
	for _, tt := range []struct {
		at    time.Time
		state string
		told  string
	}{
		{now, api.CheckWarn, "until 2026-05-06"}, {now.Add(48 * time.Hour), api.CheckFail, "was good until 2026-05-06"},
		{now.Add(-14 * 24 * time.Hour), api.CheckFail, "from 2026-05-04"},
	} {
		if got := certificate(c, tt.at); got.State != tt.state || !strings.Contains(got.Detail, tt.told) || got.Hint == "" {
			t.Errorf("%v: %+v", tt.at, got)
		}
	}
	c.Key = c.Cert
	if got := certificate(c, now); got.State != api.CheckFail {
		t.Errorf("no key: %+v", got)
	}
}

func TestAddressesAreTried(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := hostConfig{API: apiConfig{Listen: taken.Addr().String()}, Metrics: metricsConfig{Listen: taken.Addr().String()}}
	cfg.Home = t.TempDir()
	states := func(running bool) string {
		var out []string
		for _, c := range doors(t.Context(), cfg, running, time.Now()) {
			out = append(out, c.Name+" "+c.State)
		}
		return strings.Join(out, ", ")
	}
	if got := states(false); got != "dashboard warn, metrics fail, secrets ok" {
		t.Error(got)
	}
	if got := states(true); got != "secrets ok" { // they are taken by the node
		t.Error(got)
	}
	cfg.API.Chosen, cfg.Metrics.Listen = true, ""
	if got := states(false); got != "dashboard fail, metrics ok, secrets ok" {
		t.Error(got)
	}
}

func TestSecretsAreLookedAt(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("modes are of Unix")
	}
	cfg := hostConfig{API: certified(t, time.Now())}
	cfg.Home = t.TempDir()
	cfg.Logs = newLogs(io.Discard, logOptions{file: filepath.Join(cfg.Home, "node.log"), maxSize: 1 << 20, keep: 1})
	for _, path := range []string{filepath.Join(cfg.Home, "api.token"), cfg.API.Key, cfg.Logs.file.Filename} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := secrets(cfg); got.State != api.CheckOK {
			t.Errorf("%+v", got)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if got := secrets(cfg); got.State != api.CheckWarn || !strings.Contains(got.Detail, path+" can be read") {
			t.Errorf("%s: %+v", path, got)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

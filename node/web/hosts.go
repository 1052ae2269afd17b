package web

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// hosts says by which names this server may be called.
type hosts struct {
	local bool   // only this machine can connect
	own   string // the name to print
	names map[string]bool
}

// allowed is made of the address that is listened on and of names that were allowed besides.
func allowed(listen string, more []string) (hosts, error) {
	h := hosts{local: isLoopback(listen), own: listen, names: map[string]bool{}}
	if ip, err := netip.ParseAddr(listen); listen == "" || err == nil && ip.IsUnspecified() {
		h.own = "localhost" // every interface has no name of its own
	} else {
		h.names[canonical(listen)] = true
	}
	for i, name := range more {
		bare := canonical(name)
		if bare == "" || strings.ContainsAny(bare, "/*@ ") || strings.Contains(bare, ":") && !isAddress(bare) {
			return hosts{}, fmt.Errorf("%w: allowed host %q", ErrAddress, name)
		}
		h.names[bare] = true
		if i == 0 && !h.local { // the name that others know this machine by, and that its certificate is for
			h.own = bare
		}
	}
	return h, nil
}

// Named are the names and addresses that a certificate is for, without patterns; none if it cannot be read.
func Named(certFile string) []string {
	b, err := os.ReadFile(certFile)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	names := slices.DeleteFunc(slices.Clone(cert.DNSNames), func(n string) bool { return strings.Contains(n, "*") })
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// allows judges a Host header, with or without port. The port is not looked at: a tunnel may have another one, and who
// could choose it cannot choose the name.
func (h hosts) allows(header string) bool {
	name := header
	if host, port, err := net.SplitHostPort(header); err == nil {
		if !isPort(port) {
			return false
		}
		name = host
	}
	name = canonical(name)
	// An address of IPv6 stands in brackets, and nothing else does.
	bracketed := strings.HasPrefix(header, "[") && strings.Contains(header, "]")
	return name != "" && bracketed == strings.Contains(name, ":") && (isLoopback(name) || h.names[name])
}

// canonical is a name as it is compared: lower case, an IPv6 address without brackets.
func canonical(name string) string {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	return strings.ToLower(name)
}

// Exposed tells whether others than this machine could connect to address: New wants TLS for it. What is not HOST:PORT is no
// address that anybody could connect to.
func Exposed(address string) bool {
	name, _, err := net.SplitHostPort(address)
	return err == nil && !isLoopback(name)
}

// LocalNames refuses requests under other names than those of loopback: a page whose name was made to mean this machine
// must not read what a listener without token serves.
func LocalNames(next http.Handler) http.Handler {
	local := hosts{local: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local.allows(r.Host) {
			misdirected.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback tells of a name or an address without port whether only this machine can reach it. Names other than
// localhost are not resolved: what they mean is for somebody else to say.
func isLoopback(name string) bool {
	name = canonical(name)
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func isPort(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) <= 5
}

package main

import (
	"net"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/rest"
)

// hostConfig is what a command tells the node it hosts, and what serves it here.
type hostConfig struct {
	node.Config
	API      apiConfig
	Metrics  metricsConfig
	Logs     *logs        // behind Config.Log
	Testnet  rest.Testnet // that the node is one of; nil in production
	Settings values       // all of the above as it was written, by key
	// Effective reads the settings anew, as this command has them.
	Effective func() ([]setting, error)
}

// apiConfig says where the dashboard and the REST API are served.
type apiConfig struct {
	Listen       string       // HOST:PORT; "" = on the socket of the home only
	Chosen       bool         // somebody named Listen: no other port will do
	AllowedHosts []string     // names they may be asked for under, besides those of loopback
	Cert, Key    string       // files in PEM, absolute; "" = none
	Listener     net.Listener // opened by the service manager: then this one and not Listen; nil = none
}

// metricsConfig says where the metrics are served besides the API's address.
type metricsConfig struct {
	Listen   string       // HOST:PORT; "" = nowhere
	Listener net.Listener // opened by the service manager: then this one and not Listen; nil = none
}

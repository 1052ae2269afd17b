// Package web is what a node shows to a browser on this machine: the dashboard, and the guards that stand before it and
// before the REST API.
//
// A page that any other site can reach by a request must not believe in requests. Each one passes, in this order:
//
//  1. the Host header names this machine (localhost, a loopback address, a host that was allowed), or 421. A name that an
//     attacker's DNS points here (rebinding) is none of them.
//  2. a request that may change something is not sent by another origin, or 403 (http.CrossOriginProtection).
//  3. it shows the token (Authorization: Bearer), or the cookie of a browser that signed in and then also headers by which
//     the browser says that the page itself asks; or 401 and 403.
//
// Only /healthz, /readyz and /version, and /metrics on loopback, need no token. The token is 32 random bytes, new with each
// start, in a file that only this user can read. A browser signs in with a code that is good once and for a minute
// (LoginURL): it is in a URL, and therefore worth nothing afterwards. What it gets is a cookie that scripts cannot read
// and that other sites cannot make the browser send. A cookie is sent to every port of a host: other servers of this
// machine that the same browser visits under the same name see it, which is why it is not the token, and ends with
// the process.
//
// A listener beyond loopback is refused without a token file and TLS. There the token file is the operator's: a token
// that it has stays.
//
// The pages below static are ES modules without a build step. Nothing is fetched from elsewhere, and the Content
// Security Policy forbids it, together with scripts and styles in line.
package web

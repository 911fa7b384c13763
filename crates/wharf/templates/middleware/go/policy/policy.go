// Package policy is what the middleware asks for. It knows nothing of HTTP, so that `go test ./policy` tests it without a server.
package policy

import "strings"

// Fields are what every response gets.
var Fields = map[string]string{"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}

// IsAllowed says whether a request for this path comes through.
func IsAllowed(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return path != "/private" && !strings.HasPrefix(path, "/private/")
}

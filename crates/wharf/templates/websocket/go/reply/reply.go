// Package reply is what the service says. It knows nothing of WebSockets, so that `go test ./reply` tests it without a server.
package reply

import "strings"

// Reply greets whoever says who they are.
func Reply(text string) string {
	return "Hello, " + strings.TrimSpace(text) + "!"
}

// Package greeting is what the service says. It knows nothing of HTTP, so that `go test ./greeting` tests it without a server.
package greeting

import "strings"

// Greeting greets whom the path names: /Ada is Hello, Ada!
func Greeting(path string) string {
	name := strings.Trim(path, "/")
	if name == "" {
		name = "world"
	}
	return "Hello, " + name + "!\n"
}

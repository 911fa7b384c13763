// Package greeting is what the library says. It knows nothing of components, so that `go test ./greeting` tests it without a host.
package greeting

import (
	"errors"
	"strings"
)

// ErrNobody is the answer to an empty name.
var ErrNobody = errors.New("there is nobody to greet")

// Greeting greets somebody, or says why not.
func Greeting(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", ErrNobody
	}
	return "Hello, " + name + "!", nil
}

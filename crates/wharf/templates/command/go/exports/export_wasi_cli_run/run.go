// Package export_wasi_cli_run is the program: it counts the lines, words and bytes of what it reads. The folder and the package have the
// name that the bindings look for. What stands in imports is made of wit/ when the component is built.
package export_wasi_cli_run

import (
	"fmt"
	"os"

	"local/{{name}}/count"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Run is what main is elsewhere. An error becomes the exit status 1.
func Run() wit.Result[wit.Unit, wit.Unit] {
	counted, err := count.Count(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot read:", err)
		return wit.Err[wit.Unit](wit.Unit{})
	}
	fmt.Printf("%d lines, %d words, %d bytes\n", counted.Lines, counted.Words, counted.Bytes)
	return wit.Ok[wit.Unit, wit.Unit](wit.Unit{})
}

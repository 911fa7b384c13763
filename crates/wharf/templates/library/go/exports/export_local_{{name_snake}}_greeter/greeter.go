// Package export_local_{{name_snake}}_greeter is the library: what other components call, as wit/ has it. The folder and the package have the
// name that the bindings look for. What stands in imports is made of wit/ when the component is built.
package export_local_{{name_snake}}_greeter

import (
	"local/{{name}}/greeting"
	greeter "local/{{name}}/imports/local_{{name_snake}}_greeter"
	clock "local/{{name}}/imports/wasi_clocks_monotonic_clock"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// What it takes to think of a greeting, in nanoseconds. In place of this, call what the library is for: a file, a request, a database.
// Not time.Sleep, which holds up all other calls.
const moment = 10_000_000

func Greet(name string) wit.Result[string, string] {
	clock.WaitFor(moment)
	text, err := greeting.Greeting(name)
	if err != nil {
		return wit.Err[string, string](err.Error())
	}
	return wit.Ok[string, string](text)
}

func GreetAll(names []string) *wit.StreamReader[string] {
	greetings, reader := greeter.MakeStreamString()
	// It goes on after this call has returned: nobody reads a stream before he has it.
	go func() {
		defer greetings.Drop()
		for _, name := range names {
			clock.WaitFor(moment)
			text, err := greeting.Greeting(name)
			if err != nil {
				text = err.Error()
			}
			// The reader has left: no more is wanted.
			if greetings.WriteAll([]string{text}) == 0 {
				return
			}
		}
	}()
	return reader
}

// Package export_example_polyglot_lookup is the database for those who cannot wait for it. The folder and the package have the name that
// the bindings look for.
package export_example_polyglot_lookup

import (
	"errors"

	lookup "database/imports/example_polyglot_lookup"
	"database/load"
	"database/table"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Find reads one row, at once: its caller stands still until it has it.
func Find(berth uint32) wit.Result[wit.Option[lookup.Ship], string] {
	defer load.Begin()()
	ship, err := table.Find(berth)
	if errors.Is(err, table.ErrNotFound) {
		return wit.Ok[wit.Option[lookup.Ship], string](wit.None[lookup.Ship]())
	}
	if err != nil {
		return wit.Err[wit.Option[lookup.Ship]](err.Error())
	}
	return wit.Ok[wit.Option[lookup.Ship], string](wit.Some(lookup.Ship(ship)))
}

// Package export_example_polyglot_monitor says what the database does. The folder and the package have the name that the bindings look
// for.
package export_example_polyglot_monitor

import (
	monitor "database/imports/example_polyglot_monitor"
	"database/load"
)

// Now is what was counted so far, in this instance.
func Now() monitor.Load {
	return monitor.Load{Calls: load.Calls, Busiest: load.Busiest, Rows: load.Rows}
}

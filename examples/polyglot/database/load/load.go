// Package load counts what the database does. All goroutines of an instance take turns: plain variables will do.
package load

var underWay uint32

// Calls, the most of them that were under way at once, and the rows that were sent.
var Calls, Busiest, Rows uint32

// Begin counts a call, which ends with what it returns.
func Begin() (end func()) {
	Calls++
	underWay++
	Busiest = max(Busiest, underWay)
	return func() { underWay-- }
}

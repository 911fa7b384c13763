// Package export_example_polyglot_database is the database as the component exports it. The folder and the package have the name that
// the bindings look for.
package export_example_polyglot_database

import (
	"errors"
	"os"
	"strconv"

	database "database/imports/example_polyglot_database"
	clock "database/imports/wasi_clocks_monotonic_clock"
	"database/load"
	"database/table"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Find reads one row. While it waits, other calls go on. Berths are counted from 1: a mistake of its callers' ends in a panic here, which
// ends this instance with all its calls. Each caller meets it as a failure, `unavailable`, where the instance is not a part of its own.
func Find(berth uint32) wit.Result[database.Ship, database.Failure] {
	defer load.Begin()()
	if berth == 0 {
		panic("there is no berth 0")
	}
	pause()
	ship, err := table.Find(berth)
	if errors.Is(err, table.ErrNotFound) {
		return wit.Err[database.Ship](database.MakeFailureNotFound())
	}
	if err != nil {
		return wit.Err[database.Ship](database.MakeFailureDamaged(err.Error()))
	}
	return wit.Ok[database.Ship, database.Failure](database.Ship(ship))
}

// Ships sends each row once it is there, as long as somebody reads.
func Ships() *wit.StreamReader[database.Ship] {
	writer, reader := database.MakeStreamShip()
	go func() {
		defer writer.Drop()
		for _, ship := range table.All() {
			load.Rows++
			writer.WriteAll([]database.Ship{database.Ship(ship)})
			if writer.ReaderDropped() {
				return
			}
			pause()
		}
	}()
	return reader
}

// pause takes as long as a row does, in milliseconds of ROW_MS. Not by time.Sleep, which would hold up all other calls.
func pause() {
	if ms, err := strconv.ParseUint(os.Getenv("ROW_MS"), 10, 32); err == nil && ms > 0 {
		clock.WaitFor(ms * 1_000_000)
	}
}

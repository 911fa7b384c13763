// Package table is what the database keeps. It knows nothing of components, so that `go test ./table` tests it without one.
package table

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Berth, name and tons, in lines. One of them is damaged.
//
//go:embed ships.csv
var ships string

// Ship is a row.
type Ship struct {
	Berth uint32
	Name  string
	Tons  uint32
}

// ErrNotFound says that no ship is at a berth. Any other error says that its row cannot be read.
var ErrNotFound = errors.New("no ship is at this berth")

// Find reads the row of a berth.
func Find(berth uint32) (Ship, error) {
	key := strconv.FormatUint(uint64(berth), 10)
	for number, line := range lines() {
		if at, _, _ := strings.Cut(line, ","); at == key {
			return read(number+1, line)
		}
	}
	return Ship{}, ErrNotFound
}

// All are the rows that can be read.
func All() []Ship {
	var all []Ship
	for number, line := range lines() {
		if ship, err := read(number+1, line); err == nil {
			all = append(all, ship)
		}
	}
	return all
}

func lines() []string {
	return strings.Split(strings.TrimSpace(ships), "\n")
}

func read(number int, line string) (Ship, error) {
	fields := strings.Split(line, ",")
	if len(fields) != 3 {
		return Ship{}, fmt.Errorf("row %d has %d fields", number, len(fields))
	}
	berth, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return Ship{}, fmt.Errorf("row %d: %q is no berth", number, fields[0])
	}
	tons, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return Ship{}, fmt.Errorf("row %d: %q is no number of tons", number, fields[2])
	}
	return Ship{Berth: uint32(berth), Name: fields[1], Tons: uint32(tons)}, nil
}

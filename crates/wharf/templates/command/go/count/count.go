// Package count is what the program does. It reads from anywhere, so that `go test ./count` tests it without a host.
package count

import (
	"bufio"
	"bytes"
	"io"
)

// Counted is what there was to read.
type Counted struct{ Lines, Words, Bytes int }

// Count counts what there is to read, a line at a time.
func Count(input io.Reader) (Counted, error) {
	var counted Counted
	reader := bufio.NewReader(input)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			counted.Lines++
			counted.Words += len(bytes.Fields(line))
			counted.Bytes += len(line)
		}
		if err == io.EOF {
			return counted, nil
		}
		if err != nil {
			return counted, err
		}
	}
}

package count

import (
	"strings"
	"testing"
)

func TestLinesWordsAndBytesAreCounted(t *testing.T) {
	for text, expected := range map[string]Counted{"": {}, "one two\nthree\n": {2, 3, 14}, "no end": {1, 2, 6}} {
		if counted, err := Count(strings.NewReader(text)); counted != expected || err != nil {
			t.Errorf("%q: %v, %v", text, counted, err)
		}
	}
}

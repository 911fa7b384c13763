package reply

import "testing"

func TestWhoeverSaysWhoTheyAreIsGreeted(t *testing.T) {
	if said := Reply("Ada\n"); said != "Hello, Ada!" {
		t.Error(said)
	}
}

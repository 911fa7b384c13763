package greeting

import "testing"

func TestWhoeverHasANameIsGreeted(t *testing.T) {
	if said, err := Greeting(" Ada "); said != "Hello, Ada!" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := Greeting(" "); err != ErrNobody {
		t.Errorf("%q, %v", said, err)
	}
}

package notes

import "testing"

func TestANoteIsALineOfText(t *testing.T) {
	if text, err := Text([]byte(" Buy tea.\n")); text != "Buy tea." || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	for _, sent := range []string{" \n", "one\ntwo", "\xff"} {
		if text, err := Text([]byte(sent)); err == nil {
			t.Errorf("%q is %q", sent, text)
		}
	}
}

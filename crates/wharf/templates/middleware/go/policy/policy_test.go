package policy

import "testing"

func TestWhatIsPrivateDoesNotComeThrough(t *testing.T) {
	for path, expected := range map[string]bool{
		"/": true, "/privateer": true, "/private": false, "/private?x": false, "/private/a": false,
	} {
		if IsAllowed(path) != expected {
			t.Error(path)
		}
	}
}

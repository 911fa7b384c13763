package greeting

import "testing"

func TestWhomThePathNamesIsGreeted(t *testing.T) {
	for path, expected := range map[string]string{"/": "Hello, world!\n", "/Ada": "Hello, Ada!\n"} {
		if said := Greeting(path); said != expected {
			t.Errorf("%s: %q", path, said)
		}
	}
}

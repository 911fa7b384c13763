// Package notes is what a note is. It knows nothing of HTTP and databases, so that `go test ./notes` tests it without either.
package notes

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Note is a note as clients see it.
type Note struct {
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

// Text is the text of a note in what a client sent, or says why it is none.
func Text(sent []byte) (string, error) {
	text := strings.TrimSpace(string(sent))
	switch {
	case !utf8.ValidString(text):
		return "", errors.New("a note is text in UTF-8")
	case text == "":
		return "", errors.New("a note has a text")
	case strings.Contains(text, "\n"):
		return "", errors.New("a note is one line")
	}
	return text, nil
}

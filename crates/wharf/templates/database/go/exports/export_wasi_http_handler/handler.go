// Package export_wasi_http_handler is the service: which request is answered how. The folder and the package have the name that the
// bindings look for. What stands beside these files and in imports is made of wit/ when the component is built.
package export_wasi_http_handler

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	wasi "local/{{name}}/imports/wasi_http_types"
	"local/{{name}}/notes"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle answers one request.
func Handle(request *wasi.Request) wit.Result[*wasi.Response, wasi.ErrorCode] {
	status, value, err := respond(request)
	if err != nil {
		// Why, is the operator's to know, in the log.
		fmt.Fprintln(os.Stderr, "the database:", err)
		status, value = 503, problem("the database does not answer")
	}
	return wit.Ok[*wasi.Response, wasi.ErrorCode](response(status, value))
}

// respond says what a request is answered with: a status, and what becomes JSON. An error is the database's. Not with the names of net/http,
// which would make the component twice as large.
func respond(request *wasi.Request) (int, any, error) {
	path, _, _ := strings.Cut(request.GetPathWithQuery().SomeOr("/"), "?")
	method := request.GetMethod().Tag()
	// This takes the request, whatever it is: nothing of it is left to be collected as garbage.
	content := read(request)
	number, isNote := strings.CutPrefix(path, "/notes/")
	id, err := strconv.ParseInt(number, 10, 64)
	isNote = isNote && err == nil
	switch {
	case path == "/notes" && method == wasi.Method_Get:
		all, err := All()
		return 200, all, err
	case path == "/notes" && method == wasi.Method_Post:
		text, err := notes.Text(content)
		if err != nil {
			return 422, problem(err.Error()), nil
		}
		note, err := Add(text)
		return 201, note, err
	case isNote && method == wasi.Method_Get:
		note, err := One(id)
		if note == nil {
			return 404, problem("there is no such note"), err
		}
		return 200, note, nil
	case isNote && method == wasi.Method_Delete:
		removed, err := Remove(id)
		if !removed {
			return 404, problem("there is no such note"), err
		}
		return 204, nil, nil
	case isNote || path == "/notes":
		return 405, problem("notes know no such method"), nil
	}
	return 404, problem("there is nothing at this path; /notes has the notes"), nil
}

func problem(text string) any {
	return map[string]string{"error": text}
}

// read takes the request's body. The manifest says how large it may be.
func read(request *wasi.Request) []byte {
	done, doneReader := wasi.MakeFutureResultUnitErrorCode()
	body, trailers := wasi.RequestConsumeBody(request, doneReader)
	defer trailers.Drop()
	defer body.Drop()
	var content []byte
	buffer := make([]byte, 4096)
	for !body.WriterDropped() {
		content = append(content, buffer[:body.Read(buffer)]...)
	}
	go done.Write(wit.Ok[wit.Unit, wasi.ErrorCode](wit.Unit{}))
	return content
}

// response makes a response whose body is sent while the server reads it.
func response(status int, value any) *wasi.Response {
	var content []byte
	if value != nil {
		// What has no JSON, such as a channel, is in no note.
		content, _ = json.Marshal(value)
	}
	body, bodyReader := wasi.MakeStreamU8()
	trailers, trailersReader := wasi.MakeFutureResultOptionFieldsErrorCode()
	headers := []wit.Tuple2[string, []uint8]{{F0: "content-type", F1: []uint8("application/json")}}
	made, sent := wasi.ResponseNew(wasi.FieldsFromList(headers).Ok(), wit.Some(bodyReader), trailersReader)
	made.SetStatusCode(uint16(status))
	// Nobody reads the body before the response is returned.
	go func() {
		defer sent.Drop()
		body.WriteAll(content)
		body.Drop()
		none := wit.None[*wasi.Fields]()
		trailers.Write(wit.Ok[wit.Option[*wasi.Fields], wasi.ErrorCode](none))
	}()
	return made
}

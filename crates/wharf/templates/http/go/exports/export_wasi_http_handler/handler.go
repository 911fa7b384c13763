// Package export_wasi_http_handler is the service: it takes requests and answers them. The folder and the package have the name that
// the bindings look for. What stands beside this file and in imports is made of wit/ when the component is built.
package export_wasi_http_handler

import (
	"strings"

	"local/{{name}}/greeting"
	http "local/{{name}}/imports/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle answers one request. To wait, call what WASI offers, such as WaitFor of wasi:clocks/monotonic-clock: time.Sleep holds up the
// requests of others.
func Handle(request *http.Request) wit.Result[*http.Response, http.ErrorCode] {
	path, _, _ := strings.Cut(request.GetPathWithQuery().SomeOr("/"), "?")
	// Here and not by the garbage collector, which may come after the task that the request belongs to.
	request.Drop()
	return wit.Ok[*http.Response, http.ErrorCode](respond("text/plain", greeting.Greeting(path)))
}

// respond makes a response whose body is sent while the server reads it.
func respond(contentType, text string) *http.Response {
	body, bodyReader := http.MakeStreamU8()
	trailers, trailersReader := http.MakeFutureResultOptionFieldsErrorCode()
	headers := []wit.Tuple2[string, []uint8]{{F0: "content-type", F1: []uint8(contentType)}}
	response, sent := http.ResponseNew(http.FieldsFromList(headers).Ok(), wit.Some(bodyReader), trailersReader)
	// Nobody reads the body before the response is returned.
	go func() {
		defer sent.Drop()
		body.WriteAll([]uint8(text))
		body.Drop()
		none := wit.None[*http.Fields]()
		trailers.Write(wit.Ok[wit.Option[*http.Fields], http.ErrorCode](none))
	}()
	return response
}

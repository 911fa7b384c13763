// Package export_wasi_http_handler is the middleware: it sees each request before the service does, and each response after it. The
// folder and the package have the name that the bindings look for. What stands in imports is made of wit/ when the component is built.
package export_wasi_http_handler

import (
	service "local/{{name}}/imports/wasi_http_handler"
	http "local/{{name}}/imports/wasi_http_types"
	"local/{{name}}/policy"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle passes a request on, unless it is refused.
func Handle(request *http.Request) wit.Result[*http.Response, http.ErrorCode] {
	if !policy.IsAllowed(request.GetPathWithQuery().SomeOr("/")) {
		// Here and not by the garbage collector, which may come after the task that the request belongs to.
		request.Drop()
		return wit.Ok[*http.Response, http.ErrorCode](refused())
	}
	answered := service.Handle(request)
	if answered.IsErr() {
		return answered
	}
	return wit.Ok[*http.Response, http.ErrorCode](withFields(answered.Ok()))
}

// refused is an answer of the middleware's own: the service does not hear of it.
func refused() *http.Response {
	trailers, trailersReader := http.MakeFutureResultOptionFieldsErrorCode()
	response, sent := http.ResponseNew(http.MakeFields(), wit.None[*wit.StreamReader[uint8]](), trailersReader)
	response.SetStatusCode(403)
	// Nobody reads the response before it is returned.
	go func() {
		defer sent.Drop()
		none := wit.None[*http.Fields]()
		trailers.Write(wit.Ok[wit.Option[*http.Fields], http.ErrorCode](none))
	}()
	return response
}

// withFields is the same response with further fields. Its body passes by: no byte of it comes here.
func withFields(response *http.Response) *http.Response {
	headers := response.GetHeaders().Clone()
	for name, value := range policy.Fields {
		headers.Set(name, [][]uint8{[]uint8(value)})
	}
	status := response.GetStatusCode()
	taken, takenReader := http.MakeFutureResultUnitErrorCode()
	body, trailers := http.ResponseConsumeBody(response, takenReader)
	passed, sent := http.ResponseNew(headers, wit.Some(body), trailers)
	passed.SetStatusCode(status)
	// Whoever made the response hears what became of it.
	go func() { taken.Write(sent.Read()) }()
	return passed
}

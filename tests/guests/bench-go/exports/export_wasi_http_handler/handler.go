// Answers every request with the same 12 bytes, as tests/guests/http/examples/http-hello.rs does: what the benchmark
// compares across languages. `cargo xtask bench` has a copy of this module built as `wharf build` would, from wit/wasi-0.3.

package export_wasi_http_handler

import (
	http "bench-go/imports/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle is what the component exports as wasi:http/handler.
func Handle(request *http.Request) wit.Result[*http.Response, http.ErrorCode] {
	// Here and not by the garbage collector, which may come after the task that the request belongs to.
	request.Drop()
	body, bodyReader := http.MakeStreamU8()
	trailers, trailersReader := http.MakeFutureResultOptionFieldsErrorCode()
	headers := []wit.Tuple2[string, []uint8]{{F0: "content-type", F1: []uint8("text/plain")}}
	response, sent := http.ResponseNew(http.FieldsFromList(headers).Ok(), wit.Some(bodyReader), trailersReader)
	// Nobody reads the body before the response is returned.
	go func() {
		defer sent.Drop()
		body.WriteAll([]uint8("hello, wharf"))
		body.Drop()
		none := wit.None[*http.Fields]()
		trailers.Write(wit.Ok[wit.Option[*http.Fields], http.ErrorCode](none))
	}()
	return wit.Ok[*http.Response, http.ErrorCode](response)
}

// The service: takes requests and answers them.
//
// An async function of C is what happens until it has to wait, and a callback that goes on from there. What it keeps meanwhile is an Answer,
// which the task carries along. service.h is made of wit/ by `wharf build`; the README says where it is.

#include <stdlib.h>
#include <string.h>

#include "greeting.h"
#include "service.h"

// Shorter names for what the bindings call after the WIT.
typedef wasi_http_types_future_result_option_own_trailers_error_code_t trailers_t;
typedef wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers_writer_t;
typedef wasi_http_types_result_option_own_trailers_error_code_t trailers_result_t;
typedef exports_wasi_http_handler_result_own_response_error_code_t answer_result_t;

#define new_trailers wasi_http_types_future_result_option_own_trailers_error_code_new
#define write_trailers wasi_http_types_future_result_option_own_trailers_error_code_write
#define drop_trailers wasi_http_types_future_result_option_own_trailers_error_code_drop_writable
#define drop_sent wasi_http_types_future_result_void_error_code_drop_readable

enum step { BODY, TRAILERS };

// What is still to be sent.
struct answer {
  enum step step;
  char *text;
  size_t length;
  size_t written;
  wasi_http_types_stream_u8_writer_t body;
  trailers_writer_t trailers;
  // No trailers; where it is read from while it is written.
  trailers_result_t none;
  service_waitable_set_t waiting;
};

static service_callback_code_t go_on(struct answer *answer);

// Whom the path of a request names.
static char *text_for(exports_wasi_http_handler_own_request_t request) {
  service_string_t path;
  if (!wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path)) {
    return greeting("/", 1);
  }
  const uint8_t *query = memchr(path.ptr, '?', path.len);
  char *text = greeting((const char *)path.ptr, query ? (size_t)(query - path.ptr) : path.len);
  service_string_free(&path);
  return text;
}

static wasi_http_types_own_fields_t headers(void) {
  wasi_http_types_tuple2_field_name_field_value_t entry;
  service_string_set(&entry.f0, "content-type");
  entry.f1.ptr = (uint8_t *)"text/plain";
  entry.f1.len = strlen("text/plain");
  wasi_http_types_list_tuple2_field_name_field_value_t entries = {&entry, 1};
  wasi_http_types_own_fields_t fields;
  wasi_http_types_header_error_t error;
  if (!wasi_http_types_static_fields_from_list(&entries, &fields, &error)) {
    abort();
  }
  return fields;
}

service_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request) {
  struct answer *answer = calloc(1, sizeof *answer);
  if (!answer) {
    abort();
  }
  answer->text = text_for(request);
  answer->length = strlen(answer->text);
  wasi_http_types_request_drop_own(request);

  wasi_http_types_stream_u8_t body = wasi_http_types_stream_u8_new(&answer->body);
  trailers_t trailers = new_trailers(&answer->trailers);
  wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
  wasi_http_types_static_response_new(headers(), &body, trailers, &made);
  drop_sent(made.f1);
  // Nobody reads the body before the response is returned; the task goes on after it.
  answer_result_t result = {.is_err = false, .val.ok = made.f0};
  exports_wasi_http_handler_handle_return(result);
  return go_on(answer);
}

// Waits until a stream or a future is ready, and is called back.
static service_callback_code_t wait_for(struct answer *answer, uint32_t waitable) {
  if (!answer->waiting) {
    answer->waiting = service_waitable_set_new();
  }
  service_waitable_join(waitable, answer->waiting);
  service_context_set_0(answer);
  return SERVICE_CALLBACK_CODE_WAIT(answer->waiting);
}

// Takes in how a write ended. False where the reader has gone: what is left is for nobody then.
static bool is_taken(struct answer *answer, uint32_t status) {
  if (answer->step == BODY) {
    answer->written += SERVICE_WAITABLE_COUNT(status);
  }
  return SERVICE_WAITABLE_STATE(status) == SERVICE_WAITABLE_COMPLETED;
}

static service_callback_code_t go_on(struct answer *answer) {
  if (answer->step == BODY) {
    while (answer->written < answer->length) {
      const uint8_t *rest = (const uint8_t *)answer->text + answer->written;
      uint32_t status = wasi_http_types_stream_u8_write(answer->body, rest, answer->length - answer->written);
      if (status == SERVICE_WAITABLE_STATUS_BLOCKED) {
        return wait_for(answer, answer->body);
      }
      if (!is_taken(answer, status)) {
        break;
      }
    }
    wasi_http_types_stream_u8_drop_writable(answer->body);
    answer->step = TRAILERS;
    answer->none.is_err = false;
    answer->none.val.ok.is_some = false;
    if (write_trailers(answer->trailers, &answer->none) == SERVICE_WAITABLE_STATUS_BLOCKED) {
      return wait_for(answer, answer->trailers);
    }
  }
  drop_trailers(answer->trailers);
  if (answer->waiting) {
    service_waitable_set_drop(answer->waiting);
  }
  free(answer->text);
  free(answer);
  return SERVICE_CALLBACK_CODE_EXIT;
}

service_callback_code_t exports_wasi_http_handler_handle_callback(service_event_t *event) {
  struct answer *answer = service_context_get_0();
  service_waitable_join(event->waitable, 0);
  if (!is_taken(answer, event->code)) {
    answer->written = answer->length;
  }
  return go_on(answer);
}

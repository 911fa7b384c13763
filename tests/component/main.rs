//! The component model as this engine is configured.
//!
//! | row of the mission | shown by |
//! |---|---|
//! | A1 async I/O: guests in plain async/await, one instance overlaps what it waits for | `flow::a_thousand_subtasks_at_once`, `flow::tasks_of_one_instance_take_turns`; files, sockets and HTTP in the suites `wasi` and `http` |
//! | A2 `future<T>` across components and the host, with cancellation and dropped ends | `payloads::futures_carry_every_type`, `wast::future`, `ends::*future*`, `ends::*awaits*`, `later` and `rows` of `matrix` |
//! | A3 `stream<T>` the same; backpressure both ways, partial reads, nothing buffered whole | `payloads::streams_carry_every_type`, `wast::stream`, `wast::stream_passing`, `ends`, `flow::*three_components*`; `bytes`, `points`, `counters` and `rows` of `matrix` |
//! | A5 subtasks, cancellation, backpressure, waitable sets, yields, error contexts; both kinds of lift | `wast::cancel`, `wast::backpressure`, `wast::waitable_set`, `wast::yields`, `wast::error_context`, `wast::context`, `wast::borrow`, `wast::task_return`, `flow::subtasks_are_cancelled_while_they_await_a_timer`, `flow::the_loser_of_a_race_is_not_waited_for` |
//! | A6 sync and async, lifted and lowered, in every combination | `matrix`, `wast::lift_lower`, `wast::host_calls` |
//!
//! Where Wasmtime 48.0.8 does not do as the standard says, a test holds on to what it does; it stands beside the word
//! "Today" in `wast/` (its export, if it has one, begins with `today-`), so that an upgrade which changes it fails here.

mod compose;
mod embed;
mod ends;
mod engine;
mod flow;
mod host;
mod matrix;
mod payloads;
mod pool;
mod wast;

//! Reports the environment, the arguments and what stdin holds; says a line on stdout and one on stderr. `print` writes
//! that many bytes to stdout and as many to stderr first.

use guests_http::{Query, collect, text};
use wasip3::cli::{environment, stderr, stdin, stdout};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_stream;

const LINE: &[u8] = b"0123456789 0123456789 0123456789 0123456789 0123456789 0123456\n";

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let lines = query.number("print").unwrap_or(0) as usize / LINE.len();
    let noise = LINE.repeat(lines);
    let (mut out, reader) = wit_stream::new();
    let written_out = stdout::write_via_stream(reader);
    let (mut err, reader) = wit_stream::new();
    let written_err = stderr::write_via_stream(reader);
    let err_noise = noise.clone();
    let errors = spawn_local(async move {
        err.write_all(err_noise).await;
        err.write_all(b"a line on stderr\n".to_vec()).await;
    });
    out.write_all(noise).await;
    out.write_all(b"a line on stdout\n".to_vec()).await;
    drop(out);
    errors.await;
    let (written_out, written_err) = (written_out.await, written_err.await);
    let (input, _) = stdin::read_via_stream();
    let input = collect(input).await;
    let variables = environment::get_environment().into_iter();
    let variables: String = variables.map(|(name, value)| format!("env {name}={value}\n")).collect();
    let arguments = environment::get_arguments().into_iter();
    let arguments: String = arguments.map(|argument| format!("arg {argument}\n")).collect();
    let directory = environment::get_initial_cwd();
    Ok(text(format!(
        "{variables}{arguments}cwd {directory:?}\nstdin {} bytes\nstdout {written_out:?}\nstderr {written_err:?}\n",
        input.len()
    )))
}

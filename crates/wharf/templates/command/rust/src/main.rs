//! Counts the lines, words and bytes of what it reads.

mod count;

use std::io;
use std::process::ExitCode;

use count::count;

fn main() -> ExitCode {
    match count(&mut io::stdin().lock()) {
        Ok(counted) => {
            println!("{} lines, {} words, {} bytes", counted.lines, counted.words, counted.bytes);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read: {error}");
            ExitCode::FAILURE
        }
    }
}

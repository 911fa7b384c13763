//! The program: everything that Wharf has.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf::main(wharf_capabilities::kinds())
}

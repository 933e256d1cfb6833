//! The program `cargo boot`: see [`boot::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    boot::cli::main()
}

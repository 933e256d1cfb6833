//! Prints the tables of `docs/cost.md`, or puts them there.

mod document;
mod table;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            print!("{}", table::all());
            ExitCode::SUCCESS
        }
        ["--write"] => match document::write() {
            Ok(path) => {
                println!("{path} is up to date");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("lines: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: lines [--write]");
            ExitCode::from(2)
        }
    }
}

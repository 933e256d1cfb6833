//! Compiles and runs the C programs of `tests/c`, a named test for each of their cases, each variant and
//! each compiler: `contract::cache_aware::gcc_c11::completed_must_follow_wait`.
//!
//! - [`archive`]: the static libraries, built once each, when a test first needs one;
//! - [`compiler`]: the compilers, as C11 and as C++17;
//! - [`toolchain`]: the cargos on this machine;
//! - [`program`]: what a program is made of, and which cases its source has; also under ThreadSanitizer, with a
//!   race that it must find;
//! - [`freestanding`]: a link without any library, and the machine code;
//! - [`header`]: whether the header declares what the sources define.

mod archive;
mod compiler;
mod freestanding;
mod header;
mod program;
mod toolchain;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("header::declares_what_the_sources_define", || {
        Ok(header::declares_what_the_sources_define()?)
    })];
    trials.extend(program::trials());
    trials.extend(freestanding::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

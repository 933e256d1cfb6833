//! Starts QEMU and prints the text on its screen once that shows what is wanted; the picture stays in a file:
//!
//!     cargo run --package tests --example screen -- PICTURE.ppm SECONDS TEXT qemu-system-x86_64 ARGUMENTS...

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("PICTURE SECONDS TEXT QEMU ARGUMENTS...")
    };
    let (picture, seconds, wanted, qemu) = (next()?, next()?, next()?, next()?);
    let deadline = Duration::from_secs(seconds.parse()?);
    let mut qemu = Command::new(qemu);
    qemu.args(arguments);
    let text = tests::screen::until(&mut qemu, &wanted, deadline, Path::new(&picture))?;
    println!("{text}");
    Ok(())
}

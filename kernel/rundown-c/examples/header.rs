//! Regenerates `include/rundown.h` from the sources: `cargo run --package rundown-c --example header`.

#[path = "../tests/harness/header.rs"]
mod header;

fn main() -> anyhow::Result<()> {
    let made = header::make()?;
    std::fs::write(header::path(), made)?;
    println!("{}", header::path().display());
    Ok(())
}

//! Makes `include/rundown.h`, as the example and the test on its freshness both do.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The header that is checked in.
pub(crate) fn path() -> PathBuf {
    folder().join("include/rundown.h")
}

/// The header that the sources make now.
pub(crate) fn make() -> anyhow::Result<String> {
    let config = cbindgen::Config::from_file(folder().join("cbindgen.toml"))
        .map_err(anyhow::Error::msg)
        .context("cbindgen.toml")?;
    // From the one crate, not by asking cargo: its dependencies have no C names.
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(folder().join("src/lib.rs"))
        .generate()
        .context("cbindgen")?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    Ok(String::from_utf8(header)?)
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

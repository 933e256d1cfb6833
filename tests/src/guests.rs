//! The guests' ELF files, built when the first case asks for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use boot::guest::Guests;

/// What came of building a package. A failure is kept as well: it is not tried again for each case.
static BUILT: Mutex<BTreeMap<&str, Result<Guests, String>>> = Mutex::new(BTreeMap::new());

/// Path of the guest `name`; builds its package, once. Cases that run in parallel wait for that.
pub(crate) fn elf(package: &'static str, name: &str) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let guests = built
        .entry(package)
        .or_insert_with(|| boot::guest::build(package).map_err(|error| format!("{error:#}")));
    match guests {
        Ok(guests) => Ok(guests.elf(name).to_path_buf()),
        Err(error) => Err(anyhow!("the guests cannot be built: {error}")),
    }
}

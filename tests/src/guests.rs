//! The guests' ELF files, built when the first case asks for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};

/// Package and name.
type Guest = (&'static str, &'static str);

/// The result of building each. A failure is kept as well: it is not tried again for each case.
static BUILT: Mutex<BTreeMap<Guest, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());

/// Path of the guest `name`; builds it, once, and no other: work on one scenario does not wait for
/// the guests of all. Cases that run in parallel wait for that.
pub(crate) fn elf(package: &'static str, name: &'static str) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let guest = built.entry((package, name)).or_insert_with(|| {
        boot::guest::build_one(package, name).map_err(|error| format!("{error:#}"))
    });
    match guest {
        Ok(elf) => Ok(elf.clone()),
        Err(error) => Err(anyhow!("the guest cannot be built: {error}")),
    }
}

//! `cargo boot doctor`.

use super::{NOT_TRIED, print};
use crate::accel::{Accel, Host};
use crate::firmware::Ovmf;
use crate::toolchain::{self, Toolchain};
use crate::workspace::{TARGET, UEFI_TARGET};
use crate::{guest, qemu};

/// Shows what was found, what was chosen and why. Returns the process's exit status: 0 if the
/// kernel can be built and booted here.
pub(super) fn doctor() -> anyhow::Result<u8> {
    let is_complete = toolchain(TARGET)? & qemu()?;
    let host = Host::probe();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let auto = Accel::Auto.engine(host);
    print(format_args!("\nEngine:\n  --accel auto takes {auto}: {}", host.reason()))?;
    print(format_args!("  {cpus} host CPUs: more guest CPUs than that take turns"))?;
    // For `--firmware uefi` and `cargo boot image` alone, so nothing that has to be there.
    print("\nUEFI:")?;
    match Ovmf::find() {
        Ok(ovmf) => print(format_args!("  OVMF: {}\n", ovmf.code.display()))?,
        Err(error) => print(indented(&error) + "\n")?,
    }
    toolchain(UEFI_TARGET)?;
    if is_complete {
        print("\nAll is there: `cargo boot --smp 8`.")?;
        return Ok(0);
    }
    print("\nSomething is missing: see above.")?;
    Ok(NOT_TRIED)
}

fn toolchain(target: &'static str) -> anyhow::Result<bool> {
    let found = toolchain::probe(target);
    print(format_args!("Toolchains for {target}:"))?;
    describe("active", found.active.as_ref())?;
    describe("distribution's", found.distribution.as_ref())?;
    for flavor in toolchain::flavors(target) {
        let linker = found.linkers.iter().find(|linker| linker.flavor == *flavor);
        let path = linker.map_or("not found".into(), |linker| linker.path.to_string_lossy());
        print(format_args!("  {flavor}: {path}"))?;
    }
    let choice = match toolchain::choose(&found) {
        Ok(choice) => choice,
        Err(error) => {
            print(indented(&error))?;
            return Ok(false);
        }
    };
    print(format_args!("  chosen: {}", choice.reason))?;
    let linker = choice.linker.as_ref().map(|linker| linker.path.to_string_lossy());
    print(format_args!("  linked by: {}", linker.unwrap_or("its own rust-lld".into())))?;
    print(format_args!("  built in: {}", guest::target_dir(&choice).display()))?;
    Ok(true)
}

fn describe(name: &str, toolchain: Option<&Toolchain>) -> anyhow::Result<()> {
    let Some(toolchain) = toolchain else {
        return print(format_args!("  {name}: none (or it is the other one)"));
    };
    let has = |there: bool| if there { "yes" } else { "no" };
    print(format_args!(
        "  {name}: rustc {} ({}); target: {}; sources: {}; rust-lld: {}",
        toolchain.version,
        toolchain.rustc.display(),
        has(toolchain.has_target),
        has(toolchain.has_sources),
        has(toolchain.rust_lld.is_some()),
    ))
}

fn qemu() -> anyhow::Result<bool> {
    let found = qemu::find(None).and_then(|path| Ok((qemu::version(&path)?, path)));
    let text = match &found {
        Ok((version, path)) => format!("  {version} ({})", path.display()),
        Err(error) => indented(error),
    };
    print(format_args!("\nQEMU:\n{text}"))?;
    let is_old = found.as_ref().is_ok_and(|(version, _)| *version < qemu::OLDEST);
    if is_old {
        print(format_args!("  is too old: {} or later is needed", qemu::OLDEST))?;
    }
    Ok(found.is_ok() && !is_old)
}

fn indented(error: &anyhow::Error) -> String {
    format!("  {error:#}").replace('\n', "\n  ")
}

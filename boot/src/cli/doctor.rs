//! `cargo boot doctor`.

use std::fmt::Write;

use super::{NOT_TRIED, print};
use crate::accel::{Accel, Host};
use crate::firmware::Ovmf;
use crate::toolchain::{self, Toolchain};
use crate::workspace::{TARGET, UEFI_TARGET};
use crate::{guest, qemu};

/// Adds a line to the page.
macro_rules! say {
    ($out:expr, $($text:tt)*) => {
        {
            // A string takes all that is written to it.
            let _ = writeln!($out, $($text)*);
        }
    };
}

/// Shows what was found, what was chosen and why. Returns the process's exit status: 0 if the
/// kernel can be built and booted here.
pub(super) fn doctor() -> anyhow::Result<u8> {
    let out = &mut String::new();
    let is_complete = toolchain(out, TARGET) & qemu(out);
    engine(out);
    uefi(out);
    let (verdict, status) = match is_complete {
        true => ("All is there: `cargo boot --smp 8`.", 0),
        false => ("Something is missing: see above.", NOT_TRIED),
    };
    print(format!("{out}\n{verdict}"))?;
    Ok(status)
}

fn toolchain(out: &mut String, target: &'static str) -> bool {
    let found = toolchain::probe(target);
    say!(out, "Toolchains for {target}:");
    describe(out, "active", found.active.as_ref());
    describe(out, "distribution's", found.distribution.as_ref());
    let path = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => path.display().to_string(),
        None => "not found".to_string(),
    };
    say!(
        out,
        "  ld.lld: {}; lld-link: {}; ld: {}",
        path(&found.ld_lld),
        path(&found.lld_link),
        path(&found.gnu_ld)
    );
    match toolchain::choose(&found) {
        Ok(choice) => {
            say!(out, "  chosen: {}", choice.reason);
            let folder = guest::target_dir(&choice);
            match choice.linker {
                Some(linker) => say!(out, "  linked by: {}", linker.path.display()),
                None => say!(out, "  linked by: its own rust-lld"),
            }
            say!(out, "  built in: {}", folder.display());
            true
        }
        Err(error) => {
            say!(out, "  {}", error.to_string().replace('\n', "\n  "));
            false
        }
    }
}

fn describe(out: &mut String, name: &str, toolchain: Option<&Toolchain>) {
    let Some(toolchain) = toolchain else {
        say!(out, "  {name}: none (or it is the other one)");
        return;
    };
    let has = |there: bool| if there { "yes" } else { "no" };
    say!(
        out,
        "  {name}: rustc {} ({}); target: {}; sources: {}; rust-lld: {}",
        toolchain.version,
        toolchain.rustc.display(),
        has(toolchain.has_target),
        has(toolchain.has_sources),
        has(toolchain.rust_lld.is_some()),
    );
}

fn qemu(out: &mut String) -> bool {
    say!(out, "\nQEMU:");
    let found = qemu::find(None).and_then(|path| Ok((qemu::version(&path)?, path)));
    match found {
        Ok((version, path)) if version >= qemu::OLDEST => {
            say!(out, "  {version} ({})", path.display());
            true
        }
        Ok((version, path)) => {
            let oldest = qemu::OLDEST;
            say!(out, "  {version} ({}) is too old: {oldest} or later is needed", path.display());
            false
        }
        Err(error) => {
            say!(out, "  {}", format!("{error:#}").replace('\n', "\n  "));
            false
        }
    }
}

/// For `--firmware uefi` and `cargo boot image` alone, so nothing that has to be there.
fn uefi(out: &mut String) {
    say!(out, "\nUEFI:");
    match Ovmf::find() {
        Ok(ovmf) => {
            say!(out, "  OVMF: {}", ovmf.code.display());
        }
        Err(error) => {
            say!(out, "  {}", error.to_string().replace('\n', "\n  "));
        }
    }
    out.push('\n');
    toolchain(out, UEFI_TARGET);
}

fn engine(out: &mut String) {
    let host = Host::probe();
    say!(out, "\nEngine:");
    say!(out, "  --accel auto takes {}: {}", Accel::Auto.engine(host), host.reason());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    say!(out, "  {cpus} host CPUs: more guest CPUs than that take turns");
}

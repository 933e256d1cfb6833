//! `cargo boot doctor`.

use super::NOT_TRIED;
use crate::accel::{Accel, Host};
use crate::firmware::Ovmf;
use crate::qemu;
use crate::toolchain::{self, Toolchain};
use crate::workspace::{self, TARGET, UEFI_TARGET};

/// Shows what was found, what was chosen and why. Returns the process's exit status: 0 if the
/// kernel can be built and booted here.
pub(super) fn doctor() -> u8 {
    let (toolchain, qemu) = (toolchain(TARGET), qemu());
    engine();
    uefi();
    if toolchain && qemu {
        println!("\nAll is there: `cargo boot --smp 8`.");
        0
    } else {
        println!("\nSomething is missing: see above.");
        NOT_TRIED
    }
}

fn toolchain(target: &'static str) -> bool {
    let found = toolchain::probe(target);
    println!("Toolchains for {target}:");
    describe("active", found.active.as_ref());
    describe("distribution's", found.distribution.as_ref());
    let path = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => path.display().to_string(),
        None => "not found".to_string(),
    };
    println!(
        "  ld.lld: {}; lld-link: {}; ld: {}",
        path(&found.ld_lld),
        path(&found.lld_link),
        path(&found.gnu_ld)
    );
    match toolchain::choose(&found) {
        Ok(choice) => {
            println!("  chosen: {}", choice.reason);
            match choice.linker {
                Some(linker) => println!("  linked by: {}", linker.path.display()),
                None => println!("  linked by: its own rust-lld"),
            }
            println!("  built in: {}", workspace::guest_target_dir().display());
            true
        }
        Err(error) => {
            println!("  {}", error.to_string().replace('\n', "\n  "));
            false
        }
    }
}

fn describe(name: &str, toolchain: Option<&Toolchain>) {
    let Some(toolchain) = toolchain else {
        println!("  {name}: none (or it is the other one)");
        return;
    };
    let has = |there: bool| if there { "yes" } else { "no" };
    println!(
        "  {name}: rustc {} ({}); target: {}; sources: {}; rust-lld: {}",
        toolchain.version,
        toolchain.rustc.display(),
        has(toolchain.has_target),
        has(toolchain.has_sources),
        has(toolchain.rust_lld.is_some()),
    );
}

fn qemu() -> bool {
    println!("\nQEMU:");
    let found = qemu::find(None).and_then(|path| Ok((qemu::version(&path)?, path)));
    match found {
        Ok((version, path)) if version >= qemu::OLDEST => {
            println!("  {version} ({})", path.display());
            true
        }
        Ok((version, path)) => {
            let oldest = qemu::OLDEST;
            println!(
                "  {version} ({}) is too old: {oldest} or later is needed",
                path.display()
            );
            false
        }
        Err(error) => {
            println!("  {}", format!("{error:#}").replace('\n', "\n  "));
            false
        }
    }
}

/// For `--firmware uefi` and `cargo boot image` alone, so nothing that has to be there.
fn uefi() {
    println!("\nUEFI:");
    match Ovmf::find() {
        Ok(ovmf) => println!("  OVMF: {}", ovmf.code.display()),
        Err(error) => println!("  {}", error.to_string().replace('\n', "\n  ")),
    }
    println!();
    toolchain(UEFI_TARGET);
}

fn engine() {
    let host = Host::probe();
    println!("\nEngine:");
    println!(
        "  --accel auto takes {}: {}",
        Accel::Auto.engine(host),
        host.reason()
    );
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("  {cpus} host CPUs: more guest CPUs than that take turns");
}

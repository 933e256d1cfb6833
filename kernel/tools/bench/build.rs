//! Finds the C peers (Debian: liburcu-dev, libck-dev) and compiles their loops; says which compiler
//! builds the benchmark. A peer that is missing is a line in the table, not an error.

use std::env;
use std::error::Error;
use std::process::Command;

/// cfg, the package that pkg-config is asked for, the file with the loop.
const C_PEERS: [(&str, &str, &str); 3] = [
    ("has_urcu_memb", "liburcu-memb", "c/urcu.c"),
    ("has_urcu_bp", "liburcu-bp", "c/urcu.c"),
    ("has_ck", "ck", "c/ck_epoch.c"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let rustc =
        Command::new(env::var_os("RUSTC").ok_or("cargo sets RUSTC")?).arg("--version").output()?;
    println!("cargo:rustc-env=BENCH_RUSTC={}", String::from_utf8(rustc.stdout)?.trim());
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");
    for (cfg, package, source) in C_PEERS {
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        let Ok(library) = pkg_config::Config::new().cargo_metadata(false).probe(package) else {
            // A file that does not exist: look again each time, it may have been installed.
            println!("cargo:rerun-if-changed=c/missing");
            continue;
        };
        let mut build = cc::Build::new();
        if package == "liburcu-bp" {
            build.define("BP", None);
        }
        build.file(source).includes(library.include_paths).opt_level(2).try_compile(cfg)?;
        println!("cargo:rustc-cfg={cfg}");
        // Only now: a static library must come before those that it needs.
        pkg_config::Config::new().probe(package)?;
    }
    Ok(())
}

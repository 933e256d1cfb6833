//! What tags cost where diagnosis is off: nothing, by the machine code.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::archive;
use crate::compiler::succeed;

pub(crate) fn trials() -> Vec<Trial> {
    ["acquire", "acquire_held", "release"]
        .into_iter()
        .flat_map(|call| [format!("rundown_{call}"), format!("rundown_ref_{call}")])
        .map(|call| {
            Trial::test(format!("tags::cost_nothing::{call}"), move || {
                Ok(same_code(&call)?)
            })
        })
        .collect()
}

/// A call with a tag is, instruction by instruction, the one without.
fn same_code(call: &str) -> Result<()> {
    let mut disassemble = Command::new("objdump");
    disassemble.args(["-d", "--no-show-raw-insn", "--no-addresses"]);
    let code = succeed(disassemble.arg(archive::host(false)?))?;
    let (plain, tagged) = (format!("{call}_many"), format!("{call}_tagged"));
    let plain = function(&code, &plain)?;
    ensure!(
        plain == function(&code, &tagged)?,
        "{tagged} is longer, or another"
    );
    Ok(())
}

/// A function's instructions, without what is relative to its place.
fn function(code: &str, name: &str) -> Result<Vec<String>> {
    let start = format!("<{name}>:\n");
    let (_, rest) = code
        .split_once(&start)
        .with_context(|| format!("no {name}"))?;
    let (body, _) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let instructions = body.lines().map(|line| {
        let line = line.split(['<', '#']).next().unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let instructions: Vec<_> = instructions.collect();
    ensure!(!instructions.is_empty(), "{name} is empty");
    Ok(instructions)
}

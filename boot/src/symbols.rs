//! Addresses in a guest's backtrace, by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use addr2line::{Context, Frame};
use gimli::{Dwarf, EndianRcSlice, Error, LittleEndian};
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::workspace;

/// The start of a line of a backtrace; the address follows.
const AT: &str = "    at 0x";

/// The start of the report that a backtrace belongs to.
const PANIC: &str = "PANIC ";

type Reader = EndianRcSlice<LittleEndian>;

/// Adds names to backtraces: function, file and line, and what was inlined there.
pub(crate) struct Symbols {
    elf: PathBuf,
    /// Read at the first address: most guests do not panic. `Some(None)`: no debug information.
    program: Option<Option<Program>>,
    /// The next address is an instruction's; all others are return addresses, behind their call.
    is_exact: bool,
}

impl Symbols {
    pub(crate) fn of(elf: &Path) -> Self {
        Self { elf: elf.to_path_buf(), program: None, is_exact: false }
    }

    /// For a line of log that has an address of a backtrace: the same line with the name behind it,
    /// and one for each caller that it was inlined into.
    pub(crate) fn named(&mut self, line: &str) -> Option<Vec<String>> {
        if let Some((_, message)) = line.split_once(PANIC) {
            // An exception or an interrupt is reported with the instruction that it came upon.
            self.is_exact =
                ["exception ", "non-maskable "].iter().any(|it| message.starts_with(it));
        }
        let digits = line.split_once(AT)?.1;
        let address = u64::from_str_radix(digits.trim(), 16).ok()?;
        let returns = u64::from(!std::mem::take(&mut self.is_exact));
        let program = self.program.get_or_insert_with(|| Program::read(&self.elf));
        let names = program.as_ref()?.frames(address.checked_sub(returns)?)?;
        let indent = " ".repeat(line.len().min(60));
        let lines = names.iter().enumerate().map(|(place, name)| match place {
            0 => format!("{line}  {name}"),
            _ => format!("{indent}  inlined into {name}"),
        });
        Some(lines.collect())
    }
}

/// A program's debug information and symbols.
struct Program {
    debug_information: Context<Reader>,
    /// Addresses and names: all that there is of assembly code.
    symbols: BTreeMap<u64, String>,
}

impl Program {
    /// That of an ELF file, if it has any.
    fn read(elf: &Path) -> Option<Self> {
        let bytes = fs::read(elf).ok()?;
        let file: ElfFile64<'_> = ElfFile64::parse(&*bytes).ok()?;
        let dwarf = Dwarf::load(|section| {
            let found = file.section_by_name(section.name());
            let data = found.and_then(|section| section.data().ok());
            Ok::<_, Error>(Reader::new(Rc::from(data.unwrap_or_default()), LittleEndian))
        });
        let named = |symbol: ElfSymbol64<'_, '_>| {
            let name = symbol.name().ok().filter(|name| !name.is_empty())?;
            Some((symbol.address(), name.to_string()))
        };
        let symbols = file.symbols().filter_map(named).collect();
        Some(Self { debug_information: Context::from_dwarf(dwarf.ok()?).ok()?, symbols })
    }

    /// The function at an address, and those that it was inlined into.
    fn frames(&self, address: u64) -> Option<Vec<String>> {
        // There are no split files of debug information to be loaded.
        let mut frames = self.debug_information.find_frames(address).skip_all_loads().ok()?;
        let mut names = Vec::new();
        while let Some(frame) = frames.next().ok()? {
            names.push(name(&frame));
        }
        if names.is_empty() {
            names.push(self.symbols.range(..=address).next_back()?.1.clone());
        }
        Some(names)
    }
}

fn name(frame: &Frame<'_, Reader>) -> String {
    let function = frame.function.as_ref().and_then(|it| Some(it.demangle().ok()?.into_owned()));
    let mut text = function.unwrap_or_else(|| "?".to_string());
    if let Some((file, at)) = frame.location.as_ref().and_then(|at| Some((at.file?, at))) {
        text.push_str(&format!(" ({}:{})", short(file), at.line.unwrap_or(0)));
    }
    text
}

/// A path below the workspace, or below what is known to all: the standard library, a package.
fn short(file: &str) -> &str {
    let root = workspace::root().to_str().unwrap_or_default();
    if let Some(path) = file.strip_prefix(root) {
        return path.trim_start_matches('/');
    }
    ["/library/", "/registry/src/"]
        .iter()
        .find_map(|part| Some(&file[file.find(part)? + 1..]))
        .unwrap_or(file)
}

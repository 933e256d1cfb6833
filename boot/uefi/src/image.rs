//! The kernel's ELF file.

use alloc::{format, string::String};
use core::ops::Range;

use handover::tables::{Failure, Rights, Tables};
use object::{
    LittleEndian as Endian, Object, ObjectSection,
    elf::{PF_W, PF_X, PT_LOAD, ProgramHeader64},
    read::elf::{ElfFile64, ProgramHeader},
};

use crate::firmware;

const PAGE: u64 = 4096;

/// The file, read.
pub(crate) struct Image {
    file: ElfFile64<'static, Endian>,
    /// The addresses that its segments take, in whole pages.
    pub(crate) pages: Range<u64>,
    /// Where it starts.
    pub(crate) entry: u64,
}

impl Image {
    pub(crate) fn read(bytes: &'static [u8]) -> Result<Self, String> {
        let file =
            ElfFile64::parse(bytes).map_err(|why| format!("the kernel's ELF file: {why}"))?;
        let segments = || segments(&file).map(pages);
        let start = segments().map(|pages| pages.start).min();
        let end = segments().map(|pages| pages.end).max();
        let pages = start.zip(end).map(|(start, end)| start..end);
        Ok(Self {
            pages: pages.ok_or("the kernel's ELF file has nothing to load")?,
            entry: file.entry(),
            file,
        })
    }

    /// How much memory its segments take.
    pub(crate) fn bytes(&self) -> u64 {
        self.pages.end - self.pages.start
    }

    /// Section `.bootloader-config`.
    pub(crate) fn config(&self) -> Result<&'static [u8], String> {
        let section = self.file.section_by_name(".bootloader-config");
        let data = section.and_then(|section| section.data().ok());
        data.ok_or_else(|| "the kernel has no section .bootloader-config".into())
    }

    /// Copies the segments to zeroed memory at `to`.
    pub(crate) fn load(&self, to: u64) -> Result<(), String> {
        for segment in segments(&self.file) {
            let data = segment.data(Endian, self.file.data());
            let data = data.map_err(|()| "a segment lies outside of the kernel's ELF file")?;
            if data.len() as u64 > segment.p_memsz(Endian) {
                return Err("a segment of the kernel is larger in its file than in memory".into());
            }
            firmware::copy(data, to + (segment.p_vaddr(Endian) - self.pages.start));
        }
        Ok(())
    }

    /// Maps the segments, which lie at `physical`, each with its own rights.
    pub(crate) fn map(&self, tables: &mut Tables, physical: u64) -> Result<(), Failure> {
        for segment in segments(&self.file) {
            let rights = match segment.p_flags(Endian) & (PF_W | PF_X) {
                0 => Rights::Read,
                PF_X => Rights::Execute,
                PF_W => Rights::Write,
                _ => return Err("a segment of the kernel is writable and executable"),
            };
            let pages = pages(segment);
            let at = physical + (pages.start - self.pages.start);
            tables.pages(pages, at, rights)?;
        }
        Ok(())
    }
}

fn segments<'a>(
    file: &'a ElfFile64<'static, Endian>,
) -> impl Iterator<Item = &'a ProgramHeader64<Endian>> {
    let headers = file.elf_program_headers().iter();
    headers.filter(|header| header.p_type(Endian) == PT_LOAD)
}

/// The pages that a segment takes.
fn pages(segment: &ProgramHeader64<Endian>) -> Range<u64> {
    let start = segment.p_vaddr(Endian);
    let end = start + segment.p_memsz(Endian);
    start & !(PAGE - 1)..end.next_multiple_of(PAGE)
}

//! The kernel's ELF file is laid out as each of its loaders wants it (`boot/direct/link.ld`).

use bootloader_api::BootloaderConfig;
use libtest_mimic::Trial;
use object::{
    LittleEndian as Endian, Object, ObjectSection, ObjectSymbol,
    elf::{PF_W, PF_X, PT_LOAD, PT_NOTE},
    read::elf::{ElfFile64, ProgramHeader},
};

/// Linked here, loaded here less this.
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

pub(crate) fn trials() -> Vec<Trial> {
    let test = || {
        every_loader_finds_what_it_looks_for();
        Ok(())
    };
    vec![Trial::test("layout::every_loader_finds_what_it_looks_for", test)]
}

fn every_loader_finds_what_it_looks_for() {
    let path = boot::guest::build_one("kernel", "kernel").expect("the kernel builds");
    let bytes = std::fs::read(path).expect("cargo has just built it");
    let kernel = ElfFile64::<Endian>::parse(&*bytes).expect("an ELF file");

    // The `bootloader` crate takes all addresses between the lowest and the highest segment for
    // used, and maps page by page.
    let headers = kernel.elf_program_headers().iter();
    let mut loaded = headers.filter(|header| header.p_type(Endian) == PT_LOAD);
    assert!(loaded.clone().count() >= 3, "code, constants, data");
    assert!(loaded.all(|header| {
        let address = header.p_vaddr(Endian);
        let both = PF_W | PF_X;
        address >= KERNEL_BASE
            && header.p_paddr(Endian) == address - KERNEL_BASE
            && header.p_offset(Endian) % 4096 == address % 4096
            && header.p_flags(Endian) & both != both
    }));

    // It looks for a section of that name.
    let section = kernel.section_by_name(".bootloader-config");
    let section = section.expect("a section of its own").data().unwrap();
    let config = BootloaderConfig::deserialize(section).expect("bootloader_api's");
    // The kernel's own level-4 entries begin with 507.
    let last = config.mappings.dynamic_range_end.expect("a limit");
    assert!(last >> 39 & 511 < 507, "{last:#x}");

    // QEMU enters at the physical address in the note.
    let mut symbols = kernel.symbols();
    let entry = symbols.find(|it| it.name() == Ok("pvh_start32"));
    let entry = entry.expect("the entry").address() - KERNEL_BASE;
    let mut headers = kernel.elf_program_headers().iter();
    let note = headers.find(|header| header.p_type(Endian) == PT_NOTE);
    let notes = note.expect("notes").notes(Endian, kernel.data()).unwrap();
    let mut notes = notes.expect("well aligned");
    let note = notes.next().unwrap().expect("one");
    let (name, kind) = (note.name(), note.n_type(Endian));
    let expected = (&b"Xen"[..], 18, &entry.to_le_bytes()[..]);
    assert_eq!((name, kind, note.desc()), expected);
    assert!(notes.next().unwrap().is_none(), "the only one");

    // `BOOTX64.EFI` is not built of a segment that is both: the first header's flags (gABI).
    let mut both = bytes.clone();
    let headers = u64::from_le_bytes(both[0x20..0x28].try_into().unwrap());
    both[headers as usize + 4] = 7;
    let elf = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(elf.path(), both).expect("written");
    let why = boot::guest::build_loader(elf.path()).expect_err("refused");
    assert!(format!("{why:#}").contains("writable and executable"));
}

//! The kernel's ELF file is laid out as each of its loaders wants it (`boot/direct/link.ld`).

use bootloader_api::BootloaderConfig;
use libtest_mimic::Trial;
use object::{
    LittleEndian as Endian, Object, ObjectSection, ObjectSymbol,
    elf::{PF_W, PF_X, PT_LOAD, PT_NOTE},
    read::elf::{ElfFile64, ProgramHeader},
};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 3] = [
        (
            "segments",
            segments_lie_high_and_none_is_writable_and_executable,
        ),
        ("configuration", the_configuration_is_a_section),
        ("note", the_note_names_the_entry),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(format!("layout::{name}"), move || {
            test();
            Ok(())
        })
    };
    tests.map(trial).into()
}

/// Linked here, loaded here less this.
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

fn with_kernel(test: impl FnOnce(&ElfFile64<'_, Endian>)) {
    let path = boot::guest::build_one("kernel", "kernel").expect("the kernel builds");
    let bytes = std::fs::read(path).expect("cargo has just built it");
    test(&ElfFile64::parse(&*bytes).expect("an ELF file"));
}

/// The `bootloader` crate takes all addresses between the lowest and the highest segment for used, and maps
/// page by page.
fn segments_lie_high_and_none_is_writable_and_executable() {
    with_kernel(|kernel| {
        let headers = kernel.elf_program_headers().iter();
        let loaded: Vec<_> = headers
            .filter(|header| header.p_type(Endian) == PT_LOAD)
            .collect();
        assert!(loaded.len() >= 3, "code, constants, data");
        for header in loaded {
            let address = header.p_vaddr(Endian);
            assert!(address >= KERNEL_BASE, "{address:#x}");
            assert_eq!(header.p_paddr(Endian), address - KERNEL_BASE);
            assert_eq!(header.p_offset(Endian) % 4096, address % 4096);
            let both = PF_W | PF_X;
            assert_ne!(header.p_flags(Endian) & both, both, "{address:#x}");
        }
    });
}

/// The `bootloader` crate looks for a section of that name.
fn the_configuration_is_a_section() {
    with_kernel(|kernel| {
        let section = kernel.section_by_name(".bootloader-config");
        let bytes = section.expect("a section of its own").data().unwrap();
        let config = BootloaderConfig::deserialize(bytes).expect("bootloader_api's");
        // The kernel's own level-4 entries begin with 507.
        let last = config.mappings.dynamic_range_end.expect("a limit");
        assert!(last >> 39 & 511 < 507, "{last:#x}");
    });
}

/// QEMU enters at the physical address in the note.
fn the_note_names_the_entry() {
    with_kernel(|kernel| {
        let entry = kernel.symbols().find(|it| it.name() == Ok("pvh_start32"));
        let entry = entry.expect("the entry").address() - KERNEL_BASE;
        let mut named = Vec::new();
        for header in kernel.elf_program_headers() {
            if header.p_type(Endian) == PT_NOTE {
                let notes = header.notes(Endian, kernel.data()).unwrap();
                let mut notes = notes.expect("well aligned");
                while let Some(note) = notes.next().expect("well formed") {
                    named.push((
                        note.name().to_vec(),
                        note.n_type(Endian),
                        note.desc().to_vec(),
                    ));
                }
            }
        }
        assert_eq!(named, [(b"Xen".to_vec(), 18, entry.to_le_bytes().to_vec())],);
    });
}

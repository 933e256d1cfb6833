extern crate std;

use std::{format, vec};

use bootloader_api::{BootloaderConfig, config::Mapping};
use x86_64::{
    VirtAddr,
    registers::control::Cr4Flags,
    structures::paging::{
        OffsetPageTable, PageTable, PageTableFlags, Translate, mapper::TranslateResult,
    },
};

use super::{
    PHYSICAL_MEMORY_OFFSET, STACK_TOP, check_paging, stack_size,
    tables::{Frames, PageTables, Rights, bytes_needed},
};

const IMAGE_AT: u64 = 0xffff_ffff_8020_0000;
/// Somewhere; not where the host keeps the frames.
const FRAMES: u64 = 0x7abc_d000;

/// Memory of this process, as `bytes` of a machine's frames; and where it is mapped.
fn frames(bytes: u64) -> (Frames, VirtAddr) {
    let memory = vec![[0_u64; 512]; bytes as usize / 4096 + 1].leak();
    let at = (memory.as_mut_ptr() as u64).next_multiple_of(4096);
    (Frames { next: FRAMES, end: FRAMES + bytes }, VirtAddr::new(at - FRAMES))
}

/// The address and the rights that a page has in the tables.
fn look_up(mapper: &OffsetPageTable<'_>, page: u64) -> Option<(u64, PageTableFlags)> {
    match mapper.translate(VirtAddr::new(page)) {
        TranslateResult::Mapped { frame, offset, flags } => {
            assert!(offset < frame.size());
            Some((frame.start_address().as_u64() + offset, flags))
        }
        _ => None,
    }
}

#[test]
fn each_page_has_its_address_and_its_rights() {
    const STACK: u64 = 5 * 4096;
    const SCREEN: u64 = 3 << 40;
    let needed = bytes_needed(0x3000, 600 << 30, STACK);
    let (frames, offset) = frames(needed);
    // SAFETY: zeroed memory of this process, which nothing else refers to.
    let mut tables = unsafe { PageTables::new(frames, offset) }.unwrap();
    tables.memory(0..600 << 30).unwrap();
    tables.memory(SCREEN + 0x1000..SCREEN + (3 << 20)).unwrap();
    tables.pages(0x5000..0x7000, 0x5000, Rights::Execute).unwrap();
    for (n, rights) in [Rights::Execute, Rights::Read, Rights::Write].into_iter().enumerate() {
        let page = IMAGE_AT + 4096 * n as u64;
        tables.pages(page..page + 4096, 0x9000 + 0x2_0000 * n as u64, rights).unwrap();
    }
    tables.stack(STACK).unwrap();
    assert!(tables.pages(IMAGE_AT..IMAGE_AT + 1, 0, Rights::Read).is_err(), "mapped twice");
    let (level_4, _) = tables.finish();

    let table = offset + level_4.start_address().as_u64();
    // SAFETY: the root, of which there is no other reference any more.
    let table = unsafe { &mut *table.as_mut_ptr::<PageTable>() };
    // SAFETY: all tables lie in that memory.
    let mapper = unsafe { OffsetPageTable::new(table, offset) };
    let (writable, none) = (PageTableFlags::WRITABLE, PageTableFlags::NO_EXECUTE);
    let expect = |page: u64, address: u64, rights: PageTableFlags| {
        let (found, flags) = look_up(&mapper, page).expect("mapped");
        assert_eq!(found, address, "{page:#x}");
        assert_eq!(flags & (writable | none), rights, "{page:#x}");
        assert!(flags.contains(PageTableFlags::PRESENT | PageTableFlags::GLOBAL), "{page:#x}");
    };
    for address in [0, 0xfee0_0000, (600 << 30) - 1, SCREEN, SCREEN + (3 << 20)] {
        expect(PHYSICAL_MEMORY_OFFSET + address, address, writable | none);
    }
    expect(0x6123, 0x6123, PageTableFlags::empty());
    expect(IMAGE_AT, 0x9000, PageTableFlags::empty());
    expect(IMAGE_AT + 0x1000, 0x2_9000, none);
    expect(IMAGE_AT + 0x2000, 0x4_9000, writable | none);
    for page in (STACK_TOP - STACK..STACK_TOP).step_by(4096) {
        let (address, _) = look_up(&mapper, page).expect("mapped");
        assert!((FRAMES..FRAMES + needed).contains(&address));
        expect(page, address, writable | none);
    }
    for page in [
        0,
        STACK_TOP,
        STACK_TOP - STACK - 1,
        IMAGE_AT - 1,
        IMAGE_AT + 0x3000,
        PHYSICAL_MEMORY_OFFSET + (600 << 30),
        PHYSICAL_MEMORY_OFFSET + SCREEN - 1,
        PHYSICAL_MEMORY_OFFSET + SCREEN + (4 << 20),
    ] {
        assert_eq!(look_up(&mapper, page), None, "{page:#x}");
    }
}

#[test]
fn too_few_frames_are_an_error() {
    let (frames, offset) = frames(3 * 4096);
    // SAFETY: zeroed memory of this process, which nothing else refers to.
    let mut tables = unsafe { PageTables::new(frames, offset) }.unwrap();
    assert!(tables.memory(0..2 << 20).is_ok(), "three levels");
    assert!(tables.stack(4096).is_err());
}

#[test]
fn the_stack_is_whole_pages_and_what_cannot_be_done_is_named() {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = 5000;
    assert_eq!(stack_size(&config.serialize()).unwrap(), 8192);
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSICAL_MEMORY_OFFSET));
    assert!(stack_size(&config.serialize()).is_ok());
    config.mappings.physical_memory = Some(Mapping::FixedAddress(0x1000));
    let why = stack_size(&config.serialize()).expect_err("elsewhere");
    assert!(why.contains(&format!("{PHYSICAL_MEMORY_OFFSET:#x}")), "{why}");
    assert!(stack_size(&[]).is_err());
    let usual = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::PAGE_GLOBAL;
    assert!(check_paging(true, usual).is_ok());
    let why = check_paging(false, usual).expect_err("no NX");
    assert!(why.contains("not executable"), "{why}");
    // Bit 12: Intel SDM 3A, 2.5.
    let five = usual | Cr4Flags::from_bits_retain(1 << 12);
    let why = check_paging(true, five).expect_err("five levels");
    assert!(why.contains("LA57"), "{why}");
}

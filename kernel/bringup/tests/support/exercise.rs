//! What holds for any bytes whatever. For the property tests and for the fuzz target.

use bringup::{
    ApicId, CpuIndex, CpuMap, CpuState, Disabled, LintUse, MAX_CPUS, Madt, MadtError, MapError,
    NmiPins,
};

/// Reads all that can be read from `bytes` as a MADT, and checks what always holds of it.
///
/// # Errors
/// If they have no header of one.
pub(crate) fn exercise(bytes: &[u8]) -> Result<(), MadtError> {
    let madt = Madt::parse(bytes)?;
    // An iterator that came to the same entry twice would not end at this.
    let most = bytes.len() / 2;
    assert!(madt.io_apics().count() <= most);
    assert!(madt.cpus().count() <= most);
    for entry in madt.bad_entries() {
        assert_eq!(bytes[entry.offset], entry.kind);
        let length = bytes[..madt_length(bytes)].get(entry.offset + 1);
        assert_eq!(length.copied().unwrap_or(0), entry.length);
        assert!(entry.to_string().contains("MADT"));
    }

    let first = madt.cpus().next();
    let last_enabled = madt
        .cpus()
        .filter(|cpu| cpu.state == CpuState::Enabled)
        .last();
    let listed = [first, last_enabled].into_iter().flatten();
    let ids = listed.map(|cpu| cpu.apic_id).chain([ApicId::new(0)]);
    for id in ids {
        check_map(&madt, id);
    }
    Ok(())
}

/// As the header states it.
fn madt_length(bytes: &[u8]) -> usize {
    let length = bytes[4..].first_chunk().expect("a header");
    u32::from_le_bytes(*length) as usize
}

/// A map of what `madt` lists, if there can be one, has everything that is listed, and in its order.
fn check_map(madt: &Madt<'_>, bsp: ApicId) {
    let mut enabled = madt.cpus().filter(|cpu| cpu.state == CpuState::Enabled);
    let map = match CpuMap::from_madt(madt, Disabled::MayCome, bsp) {
        Ok(map) => map,
        Err(MapError::NoneListed) => return assert!(enabled.next().is_none()),
        Err(MapError::BspNotListed { .. }) => {
            return assert!(enabled.all(|cpu| cpu.apic_id != bsp));
        }
    };
    check_order(&map, bsp);
    let mut found = [false; MAX_CPUS];
    for cpu in madt.cpus() {
        let Some(index) = map.index_of(cpu.apic_id) else {
            assert!(map.left_out() > 0, "{} is lost", cpu.apic_id);
            continue;
        };
        let enabled = cpu.state == CpuState::Enabled;
        assert!(
            map.is_enabled(index) || !enabled,
            "{} is enabled",
            cpu.apic_id
        );
        found[index.get()] |= map.is_enabled(index) == enabled;
    }
    // Each is where it is because an entry says so.
    assert!(found[..map.len()].iter().all(|found| *found));
    // Whatever the firmware says, the BSP gets NMIs.
    let is_nmi = |pin| matches!(pin, LintUse::Nmi { .. });
    assert!(
        NmiPins::new(madt, &map)
            .of(CpuIndex::BSP)
            .into_iter()
            .any(is_nmi)
    );
    let listed = CpuMap::from_madt(madt, Disabled::StaysAway, bsp).expect("as above");
    assert!(listed.raw_ids().iter().all(|id| map.raw_ids().contains(id)));
}

/// Both directions agree; the BSP has index 0, the other enabled CPUs ascend, so do the rest.
pub(crate) fn check_order(map: &CpuMap, bsp: ApicId) {
    for (place, (index, id)) in map.iter().enumerate() {
        assert_eq!(index.get(), place);
        assert_eq!(map.apic_id(index), Some(id));
        assert_eq!(map.index_of(id), Some(index), "{id}");
        assert_eq!(map.is_enabled(index), place < map.enabled());
    }
    let (enabled, pluggable) = map.raw_ids().split_at(map.enabled());
    assert_eq!(enabled[0], bsp.get());
    assert!(enabled[1..].is_sorted_by(|a, b| a < b));
    assert!(pluggable.is_sorted_by(|a, b| a < b));
}

/// Sets signature, length and checksum right. The bytes have to be as many as a header at least.
pub(crate) fn seal(bytes: &mut [u8]) {
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(b"APIC");
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[9] = 0;
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[9] = sum.wrapping_neg();
}

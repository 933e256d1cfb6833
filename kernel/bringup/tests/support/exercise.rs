//! Properties that hold for any bytes. For the property tests and for the fuzz target.

use bringup::{ApicId, CpuIndex, CpuMap, CpuState, LintUse, Madt, NmiPins};

/// Reads all that can be read from `bytes` as a MADT, and checks what always holds of it. `None` if
/// they have no header of one.
pub(crate) fn exercise(bytes: &[u8]) -> Option<()> {
    let madt = Madt::parse(bytes)?;
    // An iterator that came to the same entry twice would not end at this.
    let most = bytes.len() / 2;
    assert!(madt.io_apics().count() <= most);
    assert!(madt.cpus().count() <= most);
    let table = &bytes[..u32::from_le_bytes(bytes[4..8].try_into().expect("4 bytes")) as usize];
    for entry in madt.bad_entries() {
        assert_eq!(table[entry.offset], entry.kind);
        let length = table.get(entry.offset + 1);
        assert_eq!(length.copied().unwrap_or(0), entry.length);
        assert!(entry.to_string().contains("MADT"));
    }

    let is_enabled = |cpu: &bringup::MadtCpu| cpu.state == CpuState::Enabled;
    let last_enabled = madt.cpus().filter(is_enabled).last();
    let listed = [madt.cpus().next(), last_enabled].into_iter().flatten();
    let ids = listed.map(|cpu| cpu.apic_id).chain([ApicId::new(0)]);
    for bsp in ids {
        let map = CpuMap::from_madt(&madt, None, bsp);
        let is_listed = madt.cpus().filter(is_enabled).any(|cpu| cpu.apic_id == bsp);
        assert_eq!(map.is_some(), is_listed);
        if let Some(map) = map {
            check_map(&madt, &map, bsp);
        }
    }
    Some(())
}

/// By any table of the firmware, the map is in order, and the BSP gets NMIs.
fn check_map(madt: &Madt<'_>, map: &CpuMap, bsp: ApicId) {
    check_order(map, bsp);
    let is_lost = |cpu: bringup::MadtCpu| map.index_of(cpu.apic_id).is_none();
    assert!(map.left_out() > 0 || !madt.cpus().any(is_lost));
    let pins = NmiPins::new(madt, map).of(CpuIndex::BSP);
    assert!(pins.iter().any(|pin| matches!(pin, LintUse::Nmi { .. })));
}

/// Both directions agree; the BSP has index 0, the other enabled CPUs ascend, so do the rest.
pub(crate) fn check_order(map: &CpuMap, bsp: ApicId) {
    for (place, (index, id)) in map.iter().enumerate() {
        assert_eq!(index.get(), place);
        assert_eq!(map.apic_id(index), Some(id));
        assert_eq!(map.index_of(id), Some(index), "{id}");
    }
    assert_eq!(map.apic_id(CpuIndex::new(map.len() as u32)), None);
    let ids: Vec<_> = map.iter().map(|(_, id)| id).collect();
    let (enabled, pluggable) = ids.split_at(map.enabled());
    assert_eq!(enabled[0], bsp);
    assert!(enabled[1..].is_sorted_by(|a, b| a < b));
    assert!(pluggable.is_sorted_by(|a, b| a < b));
}

/// Sets signature and length right. The bytes have to be as many as a header at least.
pub(crate) fn seal(bytes: &mut [u8]) {
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(b"APIC");
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
}

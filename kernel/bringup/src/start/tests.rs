use super::*;

struct WithoutLowPages;

// SAFETY: it has nothing that it could promise falsely, and no CPU is started.
unsafe impl Kernel for WithoutLowPages {
    fn nanos(&self) -> u64 {
        0
    }
    fn low_pages(&self) -> Option<u64> {
        None
    }
    fn virt(&self, _: u64) -> *mut u8 {
        ptr::null_mut()
    }
    fn stack(&self, _: CpuIndex) -> Option<*mut u8> {
        None
    }
    fn enter(&'static self, _: Arrival) -> ! {
        unreachable!()
    }
}

#[test]
fn a_kernel_without_low_pages_may_try_again() {
    static CPUS: Starter<WithoutLowPages, 1> = Starter::new(WithoutLowPages);
    let map = CpuMap::new([ApicId::new(0)], [], ApicId::new(0)).expect("one CPU");
    for _ in 0..2 {
        let page = ptr::null_mut();
        assert_eq!(CPUS.prepare(LocalApic { page }, &map), Err(CannotStart::NoLowPages));
        assert_eq!(CPUS.progress().count(), 1, "the BSP is known");
    }
}

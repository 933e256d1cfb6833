//! Starting CPUs: all at once.
//!
//! INIT; a stack for every CPU, and a pause where one is needed ([`Plan::init_ns`]); SIPI; after
//! 200 us a second one if any boot slot is still EXPECTED (Intel SDM 3A, 9.4.4.1). CPUs make their
//! way in parallel; nothing is locked. A CPU that times out or faults is withdrawn and started
//! again, once, with all others that did, and then given up.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use crate::{
    apic::{Ipi, LocalApic, Target},
    arrival::Arrival,
    entry::SHARED,
    id::{ApicId, CpuIndex},
    kernel::{Event, Kernel},
    map::CpuMap,
    memory_types,
    plan::{CannotStart, Plan, Progress, Steps},
    record::{NO_VECTOR, Stage},
    registers,
    slot::{BootSlot, SlotState},
    trampoline::{self, LOW_PAGES},
};

/// Between the two SIPIs (Intel SDM 3A, 9.4.4.1).
const BETWEEN_SIPIS_NS: u64 = 200_000;

/// How many times a CPU is started before it is given up.
const ATTEMPTS: u32 = 2;

/// Stops all CPUs but this one until they are started. Before time is measured, since firmware may
/// leave its APs spinning, which slows this CPU.
///
/// # Safety
/// Ring 0, before anything but the firmware's waiting loops runs on another CPU, and nothing waits
/// for what another CPU does.
pub unsafe fn quiet_others(apic: LocalApic) {
    // SAFETY: the caller's promise: nothing needs the state that they lose.
    unsafe { apic.send(Target::AllOthers, Ipi::Init) };
}

/// Starts a machine's CPUs, up to `N` with the BSP, for kernel `K`. One per machine, in a static.
#[derive(Debug)]
pub struct Starter<K, const N: usize> {
    pub(crate) kernel: K,
    pub(crate) slots: [BootSlot; N],
    ids: [AtomicU32; N],
    /// How many there are, and how many of them the firmware lists as enabled.
    listed: AtomicUsize,
    enabled: AtomicUsize,
    /// Where the low pages are; 0 until [`prepare`](Self::prepare) has them.
    pub(crate) low: AtomicU64,
    busy: AtomicBool,
}

impl<K: Kernel, const N: usize> Starter<K, N> {
    /// One that knows no CPU yet.
    #[must_use]
    pub const fn new(kernel: K) -> Self {
        const { assert!(N > 0) };
        Self {
            kernel,
            slots: [const { BootSlot::new() }; N],
            ids: [const { AtomicU32::new(0) }; N],
            listed: AtomicUsize::new(0),
            enabled: AtomicUsize::new(0),
            low: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// Learns which CPUs there are, and takes the low pages. On the BSP; once, or again while there
    /// are no low pages. Of more than `N` CPUs the first `N` are used.
    ///
    /// # Errors
    /// [`CannotStart::NoLowPages`], [`CannotStart::AlreadyPrepared`].
    pub fn prepare(&'static self, apic: LocalApic, map: &CpuMap) -> Result<(), CannotStart> {
        const END: u64 = (1 << 20) - LOW_PAGES as u64 * 4096;
        if self.low.load(Ordering::Relaxed) != 0 {
            return Err(CannotStart::AlreadyPrepared);
        }
        for ((_, id), place) in map.iter().zip(&self.ids) {
            place.store(id.get(), Ordering::Relaxed);
        }
        let listed = map.len().min(N);
        self.enabled.store(map.enabled().min(N), Ordering::Relaxed);
        self.slots[0].transition(SlotState::Vacant, SlotState::Online);
        // Release: pairs with the load in `progress`.
        self.listed.store(listed, Ordering::Release);
        // Before the claim, so that a kernel that has none may try again.
        let low = self.kernel.low_pages();
        let low = low.filter(|low| low.is_multiple_of(4096) && (1..=END).contains(low));
        let low = low.ok_or(CannotStart::NoLowPages)?;
        let this = ptr::from_ref(self).cast_mut().cast();
        let main = ap_main::<K, N> as *const () as *mut ();
        if !SHARED.claim(this, &self.slots, main) {
            return Err(CannotStart::AlreadyPrepared);
        }
        SHARED.mmio.store(apic.page, Ordering::Relaxed);
        SHARED.ids_len.store(listed as u64, Ordering::Relaxed);
        self.low.store(low, Ordering::Relaxed);
        Ok(())
    }

    /// Starts those of the listed CPUs that are `wanted` and not online, and returns when each of
    /// them is online or given up: none comes online after that. On a CPU that is online, as a rule
    /// the BSP; interrupts may be on or off. Fills in `steps`.
    ///
    /// # Errors
    /// [`CannotStart::NotPrepared`], [`CannotStart::Busy`].
    pub fn start(
        &'static self,
        wanted: impl Fn(Progress) -> bool,
        plan: &Plan,
        steps: &mut Steps,
    ) -> Result<(), CannotStart> {
        if self.low.load(Ordering::Relaxed) == 0 {
            return Err(CannotStart::NotPrepared);
        }
        // Acquire: pairs with the store below.
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(CannotStart::Busy);
        }
        // Records and errors of an earlier start.
        self.poll();
        let _ = SHARED.apic().take_errors();
        for cpu in self.progress() {
            let is_up = cpu.state == SlotState::Online;
            let is_wanted = !is_up && SHARED.apic().can_address(cpu.apic_id) && wanted(cpu);
            self.slots[cpu.cpu.get()].want(is_wanted);
        }
        if self.wanted().next().is_some() {
            let ids = self.ids.as_ptr().cast_mut().cast();
            SHARED.ids.store(ids, Ordering::Relaxed);
            // SAFETY: the pages are the crate's, and the BSP runs in ring 0.
            unsafe { trampoline::install(&self.kernel, self.low.load(Ordering::Relaxed)) };
            // SAFETY: as above.
            unsafe { memory_types::keep() };
        }
        while self.wanted().next().is_some() {
            self.attempt(plan, steps);
            for (cpu, slot) in self.wanted() {
                // Before it is withdrawn: later records of this CPU are those of a CPU given up.
                if slot.attempts() >= ATTEMPTS {
                    slot.want(false);
                }
                slot.withdraw();
                if slot.state() == SlotState::Online {
                    slot.want(false);
                } else if slot.is_wanted() {
                    self.kernel.report(Event::Retried(self.apic_id(cpu)));
                }
            }
        }
        self.poll();
        // Release: pairs with the swap above.
        self.busy.store(false, Ordering::Release);
        Ok(())
    }

    /// Starts the wanted CPUs, and waits until each is online, has faulted or has timed out.
    fn attempt(&'static self, plan: &Plan, steps: &mut Steps) {
        // A record of the attempt before must not end this one.
        self.poll();
        let may_be_reached = |cpu: Progress| match cpu.is_enabled {
            true => self.slots[cpu.cpu.get()].is_wanted(),
            false => cpu.state != SlotState::Online,
        };
        let broadcast = plan.broadcast && self.progress().skip(1).all(may_be_reached);
        let pause = plan.pause_ns(self.wanted().map(|(_, slot)| slot.state()));
        let mut all_have_stacks = false;
        let mut prepared = 0;
        let reset = || {
            self.send(broadcast, |_| true, Ipi::Init);
            let init = self.kernel.nanos();
            if steps.begin == 0 {
                steps.begin = init;
            }
            // While the CPUs see to the INIT.
            all_have_stacks = self.give_stacks();
            prepared = self.kernel.nanos();
            self.spin_until(init.saturating_add(pause));
            for (cpu, slot) in self.wanted() {
                self.kernel.stopped(cpu);
                slot.expect();
            }
        };
        // INIT may stop a CPU that holds a lock, for which a handler would wait until `stopped`.
        // SAFETY: ring 0.
        unsafe { registers::without_interrupts(reset) };
        let sipi = self.kernel.nanos();
        let page = (self.low.load(Ordering::Relaxed) >> 12) as u8;
        let start_up = Ipi::StartUp { page };
        // A CPU without a stack must not come.
        let broadcast = broadcast && all_have_stacks;
        self.send(broadcast, |_| true, start_up);
        self.spin_until(sipi + BETWEEN_SIPIS_NS);
        self.poll();
        // For those that were not through with the INIT when the first one came, and have lost it.
        let is_silent = |slot: &BootSlot| slot.state() == SlotState::Expected;
        let silent = self.wanted().filter(|(_, slot)| is_silent(slot)).count();
        if silent > 0 {
            self.send(broadcast, is_silent, start_up);
            steps.seconds += silent as u32;
            steps.second_sipi_ns = self.kernel.nanos() - steps.begin;
        }
        if steps.sipi_ns == 0 {
            steps.prepared_ns = prepared - steps.begin;
            steps.sipi_ns = sipi - steps.begin;
        }
        let errors = SHARED.apic().take_errors();
        if errors.0 != 0 {
            self.kernel.report(Event::NotSent(errors));
        }
        self.wait(plan.timeout_ns);
        steps.all_ns = self.kernel.nanos() - steps.begin;
    }

    /// Sends an interrupt to the wanted CPUs that are `due`, or to all others at once.
    fn send(&self, broadcast: bool, due: impl Fn(&BootSlot) -> bool, ipi: Ipi) {
        let apic = SHARED.apic();
        if broadcast {
            // SAFETY: none of them was online when the INIT was sent, so nothing is lost. To a CPU
            // that runs, a SIPI does nothing.
            return unsafe { apic.send(Target::AllOthers, ipi) };
        }
        for (cpu, _) in self.wanted().filter(|(_, slot)| due(slot)) {
            // SAFETY: as above.
            unsafe { apic.send(Target::One(self.apic_id(cpu)), ipi) };
        }
    }

    /// Asks for the missing stacks; a CPU that gets none is left out. Whether each has one.
    fn give_stacks(&self) -> bool {
        let mut all_have_stacks = true;
        for (cpu, slot) in self.wanted() {
            if slot.stack_top.load(Ordering::Relaxed) == 0 {
                match self.kernel.stack(cpu) {
                    // Published by `expect`.
                    Some(top) => slot.stack_top.store(top as u64 & !15, Ordering::Relaxed),
                    None => {
                        slot.want(false);
                        all_have_stacks = false;
                    }
                }
            }
        }
        all_have_stacks
    }

    /// Waits until each is online or has faulted, or none has come online for too long. The timeout
    /// restarts whenever a CPU comes online: a slow machine is only slow.
    fn wait(&'static self, timeout_ns: u64) {
        let mut online = 0;
        let mut deadline = self.kernel.nanos().saturating_add(timeout_ns);
        loop {
            self.poll();
            let states = || self.wanted().map(|(_, slot)| slot.state());
            if !states().any(|state| matches!(state, SlotState::Expected | SlotState::Arrived)) {
                return;
            }
            let now_online = states().filter(|state| *state == SlotState::Online).count();
            let now = self.kernel.nanos();
            if now_online > online {
                online = now_online;
                deadline = now.saturating_add(timeout_ns);
            }
            if now >= deadline {
                return;
            }
            self.kernel.pause();
        }
    }

    /// Has CPUs that park send this interrupt to this CPU, whose handler [polls](Self::poll): a CPU
    /// that wakes up late is then reported when it comes.
    ///
    /// # Safety
    /// On the CPU that starts others, after [`prepare`](Self::prepare); it has a handler for the
    /// interrupt, for good.
    pub unsafe fn notify(&'static self, vector: u8) {
        let apic = SHARED.apic();
        let bell = apic.command(Target::One(apic.id()), Ipi::Vector(vector));
        // Relaxed: a CPU that has not seen it yet is found by `poll` as before.
        SHARED.bell.store(bell.unwrap_or(0), Ordering::Relaxed);
    }

    /// Reports the records of CPUs that have parked. [`start`](Self::start) does so all the while;
    /// later calls find CPUs that have woken up late. On the BSP, also in a handler (even one that
    /// interrupts this function); or on another CPU when the BSP has stopped for good.
    pub fn poll(&'static self) {
        let Some(records) = SHARED.records() else {
            return;
        };
        while let Some((apic_id, fault)) = records.next() {
            let mut listed = self.progress();
            let slot = listed.find(|cpu| cpu.apic_id == apic_id);
            let slot = slot.map(|cpu| &self.slots[cpu.cpu.get()]);
            self.kernel.report(match (fault, slot) {
                (Some(fault), slot) => {
                    // It will not go on by itself.
                    slot.inspect(|slot| slot.withdraw());
                    Event::Faulted(fault)
                }
                // By a SIPI of an earlier attempt, which QEMU does not forget at an INIT: it came
                // before its slot was free. Or it is being started anew.
                (None, Some(slot)) if slot.was_too_early() || slot.is_wanted() => continue,
                (None, Some(slot)) if slot.attempts() > 0 => Event::Late(apic_id),
                // A broadcast reaches CPUs that are not listed as enabled.
                (None, _) => Event::Unlisted(apic_id),
            });
        }
    }

    /// All listed CPUs by index, and how far each has come. Any CPU.
    pub fn progress(&self) -> impl Iterator<Item = Progress> + Clone {
        // Acquire: pairs with the store in `prepare`.
        let listed = self.listed.load(Ordering::Acquire);
        let enabled = self.enabled.load(Ordering::Relaxed);
        let slots = self.slots.iter().zip((0..).map(CpuIndex::new)).take(listed);
        slots.map(move |(slot, cpu)| Progress {
            cpu,
            apic_id: self.apic_id(cpu),
            is_enabled: cpu.get() < enabled,
            state: slot.state(),
            mtrr: Some(slot.mtrr.load(Ordering::Relaxed)).filter(|number| *number != 0),
            attempts: slot.attempts(),
            stamps: slot.stamps(),
        })
    }

    /// How far a CPU has come; [`SlotState::Vacant`] if there is no such CPU. Any CPU, any context.
    #[must_use]
    pub fn state(&self, cpu: CpuIndex) -> SlotState {
        let slot = self.slots.get(cpu.get());
        slot.map_or(SlotState::Vacant, BootSlot::state)
    }

    /// Records and parks this CPU, which faulted before it was online. For the kernel's handlers.
    ///
    /// # Panics
    /// If there is no such CPU.
    pub fn fail(&self, cpu: CpuIndex, vector: Option<u8>, address: u64) -> ! {
        let what = (Stage::Rust as u32) << 8 | vector.map_or(NO_VECTOR, u32::from);
        SHARED.record_and_park(self.apic_id(cpu), what, address)
    }

    /// Takes this CPU out: it can be started again, by INIT and on the same stack.
    ///
    /// # Panics
    /// If there is no such CPU.
    ///
    /// # Safety
    /// On that CPU, interrupts off, as its last step before [`park`](crate::park). Nothing refers
    /// to its stack.
    pub unsafe fn leave(&self, cpu: CpuIndex) {
        self.slots[cpu.get()].transition(SlotState::Online, SlotState::Offline);
    }

    pub(crate) fn apic_id(&self, cpu: CpuIndex) -> ApicId {
        ApicId::new(self.ids[cpu.get()].load(Ordering::Relaxed))
    }

    fn wanted(&self) -> impl Iterator<Item = (CpuIndex, &BootSlot)> {
        (0..).map(CpuIndex::new).zip(&self.slots).filter(|(_, slot)| slot.is_wanted())
    }

    fn spin_until(&self, nanos: u64) {
        while self.kernel.nanos() < nanos {
            core::hint::spin_loop();
        }
    }
}

/// An AP's first Rust, on the stack of its boot slot, which it has claimed.
extern "C" fn ap_main<K: Kernel, const N: usize>(
    starter: &'static Starter<K, N>,
    index: usize,
) -> ! {
    let slot = &starter.slots[index];
    slot.stamp(2);
    // SAFETY: a CPU that starts is in ring 0, interrupts off, and has touched nothing but the
    // kernel's code and data and its APIC, whose types no PAT changes.
    let mtrr = unsafe { memory_types::adopt() };
    slot.mtrr.store(mtrr, Ordering::Relaxed);
    let cpu = CpuIndex::new(index as u32);
    let apic_id = starter.apic_id(cpu);
    starter.kernel.enter(Arrival { slot, cpu, apic_id })
}

#[cfg(test)]
mod tests;

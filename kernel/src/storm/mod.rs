//! The main job: every CPU hammers one live object while it is torn down again and again.
//!
//! ```text
//!   CPU 1..n                                   CPU 0, the closer
//!   acquire -> use -> release                  close -> wait until drained -> take out -> free
//!      |  in thread context and, each tick,       ^                                        |
//!      |  in interrupt context                    +--------- publish a new one <-----------+
//!      v
//!   every 16th protection goes to another CPU's mailbox and is released there
//! ```
//!
//! The three variants of rundown protection each guard a device, and take turns, a slice of 100 ms
//! each, so that all see the same disturbances from outside. `stormed` says what counts as a
//! violation, `closer` how the storm stays alive where many virtual CPUs share few real ones.

mod closer;
mod device;
mod report;
mod shared;
mod stormed;

use protocol::exit::ExitCode;

use self::{
    closer::Closer,
    shared::{STORM, Storm, on_tick},
};
use crate::{cpu::CpuIndex, machine::Machine, smp, timer};

/// Runs the storm for as long as the options say; reports each second and at the end, and gives the
/// verdict: passed if nothing was violated and every online CPU took part.
///
/// Thread context on the BSP, once per boot; uses every CPU and its timer. Panics if it is called a
/// second time, if memory runs out, or if a device does not drain within 20 s.
pub fn run(machine: &'static Machine) -> ExitCode {
    assert!(STORM.get().is_none(), "one storm per boot");
    let storm = STORM.call_once(Storm::new);
    let closer = spin::Mutex::new(Closer::new(storm));
    smp::run_on_each(&|cpu| {
        timer::start(storm.tick, on_tick);
        if cpu == CpuIndex::BSP {
            // No other CPU ever takes this lock.
            closer.lock().run(machine.options.seconds);
        } else {
            storm.hammer();
        }
        timer::stop();
    });
    closer.into_inner().finish()
}

//! How `rundown` and its peers are measured: [pinned threads](Workers), [paired rounds](pairs),
//! [medians with their spread](Spread), and the [report] as a table, JSON and pictures.
//!
//! ```sh
//! cargo bench --package bench             # table; target/bench/{pairs.json,pairs.svg,teardowns.svg}
//! cargo bench --package bench -- --docs   # the same files in docs/, too: the README shows them
//! cargo bench --package bench -- --help   # shorter, longer, only some of it
//! ```
//!
//! The contenders themselves are in `benches/rundown`, one entry each.
//!
//! # Why a loop of its own
//!
//! What is asked is a *ratio* (ours to the bare instruction, two threads to one), on machines whose
//! speed drifts by more than the answer. So every contender must be measured once before any is
//! measured again, and ratios must be taken within such a round. Criterion (0.8) and divan (0.1) both
//! measure one contender to its end before the next, and neither gives the threads of one sample to
//! the benchmark pinned, one per CPU, started together.
//!
//! # What is measured
//!
//! The table ends with [what is to be reached](report::Criterion), and whether it was in this run.
//!
//! A *pair*: protection is taken and given back, by the same thread, with nothing in between. All
//! threads use the same object. Where a peer needs something per thread (a hazard pointer, a read
//! handle), it is made before and used again, as its documentation advises.
//!
//! The per-CPU kind is measured in both its forms. As in a kernel, relative to GS: each thread is pinned
//! and has an [area](pinned) that its GS base points to. Nothing restarts a thread's sequence there, and
//! nothing has to, as those objects stay open. And as on Linux, by `rseq`; its teardowns are real, with
//! barriers by `membarrier`. What a teardown costs in the kernel, `cargo boot bench` measures there.
//! (The per-CPU and the plain kind have no slots: their teardowns are the same in every line.)
//!
//! A measurement during which another process took a CPU is repeated a few times; how many figures
//! were disturbed nevertheless stands above the table. What a hypervisor takes is not seen: that is
//! what medians are for.

pub mod batch;
mod machine;
pub mod names;
mod pairs;
pub mod pinned;
pub mod report;
mod statistics;
pub mod teardown;
mod workers;

pub use machine::Machine;
pub use pairs::{Contender, Effort, Group, Measured, Memory, Object, Stopwatch, pairs};
pub use pinned::{OwnWord, Pinned, cpu};
pub use statistics::Spread;
pub use workers::Workers;

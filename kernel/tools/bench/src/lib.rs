//! How `rundown` and its peers are measured: [pinned threads](Workers), and [tables](Table) of
//! [paired rounds](Table::measured). `cargo bench --package bench` prints them and writes
//! `target/bench/{pairs.json,pairs.svg,teardowns.svg}`; `-- --help` lists its parts. The contenders
//! are in `benches/rundown/contenders.rs`, one entry each.
//!
//! # Why a loop of its own
//!
//! The question is for a *ratio* (ours to the bare instruction, two threads to one), on machines
//! whose speed drifts by more than the answer. So every contender must be measured once before any
//! is measured again, and ratios must be taken within such a round. Criterion (0.8) and divan (0.1)
//! both measure one contender to its end before the next, and neither gives the threads of one
//! sample to the benchmark pinned, one per CPU, started together.
//!
//! # What is measured
//!
//! A *pair*: protection is taken and given back, by the same thread, with nothing in between, on an
//! object that all threads use. Where a peer needs something per thread (a hazard pointer, a read
//! handle), it is made before and used again, as its documentation advises.
//!
//! The per-CPU variant is measured in both its forms: as in a kernel, relative to [GS](pinned), on
//! objects that stay open; and as on Linux, by `rseq`, where its teardowns are real, with barriers
//! by `membarrier`. (The per-CPU and the plain variant have no slots: their teardowns are the same
//! for every number of them.) `diagnosis` is measured by another build of the crate,
//! `kernel/tools/diagnosis`, in the same table.
//!
//! Everything is compiled with fat LTO; the workspace's manifest says why. A measurement during
//! which another process took a CPU is repeated a few times; how many figures were disturbed
//! nevertheless stands above the tables. A hypervisor's share is not seen: medians are for that.

// Only this package uses it.
#![expect(missing_docs)]

mod machine;
mod objects;
mod pairs;
pub mod picture;
pub mod pinned;
mod stopwatch;
mod table;
mod teardown;
mod workers;

pub use machine::HostMachine;
pub use objects::{Crowd, creation, objects, shuffled, uses, with_objects};
pub use pairs::{LOCKED, UNLOCKED, WINDOWS, pairs};
pub use pinned::{OwnWord, Pinned, cpu};
pub use stopwatch::{Bench, Lap, MakeObject, Object, Stopwatch, shared, time};
pub use table::{Contender, Group, Row, Samples, Table, progress};
pub use teardown::{Closable, MakeClosable, batches, many, teardowns};
pub use workers::Workers;

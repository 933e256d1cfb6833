//! Which guards are out: the table of holders and the hooks that keep it. Its documentation is that
//! of the public module `diagnosis`. Without the feature, the hooks of `no_holders.rs` stand in its
//! place.

mod on;
mod table;
mod word;

pub use self::on::{CAPACITY, holders, unlisted};
pub(crate) use self::on::{
    Record, TABLE, about_to_wait, list, missed_deadline, release_raw, took_raw,
};
pub use self::table::Holder;

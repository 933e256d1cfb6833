//! Which guards are out: the table of holders and the hooks that keep it. Without feature `diagnosis`
//! nothing of this is there, not a byte and not an instruction. Its documentation is that of the public
//! module `diagnosis`.

#[cfg(feature = "diagnosis")]
mod holder;
#[cfg(feature = "diagnosis")]
mod occasions;
#[cfg(not(feature = "diagnosis"))]
mod off;
#[cfg(feature = "diagnosis")]
mod on;
#[cfg(feature = "diagnosis")]
mod table;
#[cfg(feature = "diagnosis")]
mod word;

#[cfg(feature = "diagnosis")]
pub use self::{
    holder::Holder,
    on::{CAPACITY, Holders, holders, unlisted},
};

#[cfg(not(feature = "diagnosis"))]
pub(crate) use self::off::*;
#[cfg(feature = "diagnosis")]
pub(crate) use self::{
    occasions::{about_to_wait, list, missed_deadline},
    on::{Record, TABLE, release_raw, took_raw},
};

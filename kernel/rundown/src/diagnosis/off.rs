//! Without the feature: every hook is empty, and compiles to nothing.
#![expect(
    clippy::extra_unused_type_parameters,
    reason = "the hooks look the same with the feature and without"
)]

use core::fmt;

use crate::platform::{ObjectId, Platform};
use crate::state::Outstanding;

/// A guard's entry in the table of holders.
#[derive(Debug)]
pub(crate) struct Record;

impl Record {
    #[inline]
    pub(crate) fn new<P: Platform>(_: ObjectId, _: u32) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn recount(&mut self, _: u32) {}

    #[inline]
    pub(crate) fn end(&mut self) {}
}

#[inline]
pub(crate) fn took_raw<P: Platform>(_: ObjectId, _: u32) {}

#[inline]
pub(crate) fn release_raw<P: Platform>(_: ObjectId, _: u32) {}

#[inline]
pub(crate) fn about_to_wait<P: Platform>(_: ObjectId) {}

#[inline]
pub(crate) fn missed_deadline<P: Platform>(_: &Outstanding) {}

#[inline]
pub(crate) fn list_holders(_: ObjectId, _: &mut fmt::Formatter<'_>) -> fmt::Result {
    Ok(())
}

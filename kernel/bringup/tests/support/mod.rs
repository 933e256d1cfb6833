//! Tables to test with, and what holds for all of them.

pub(crate) mod exercise;
pub(crate) mod tables;

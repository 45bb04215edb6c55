//! Traces.

pub mod catalogue;

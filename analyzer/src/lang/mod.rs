//! The rule language: text to checked rules. Knows the catalogue, never a trace.

pub mod hir;

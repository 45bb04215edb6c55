//! The rule packs inside the program.

pub use crate::lang::library::PACKS;

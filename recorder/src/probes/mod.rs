//! What is probed and where: the table of ops, library files, and the code in them.

pub mod elf;
pub mod libs;
pub mod ops;

//! The recorder: attaches eBPF programs to the CUDA libraries and to kernel tracepoints, and writes
//! what they see into one SQLite file. It judges nothing.
//!
//! `probes` says what is probed, `abi` what the programs and this side agree on, `bpf` loads and
//! attaches, `ring` drains, `writer` holds the SQL, `record` runs one recording. It runs on x86-64
//! Linux 6.2 or later.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed test may panic"))]

pub mod abi;
pub mod annotations;
pub mod bpf;
pub mod check;
pub mod child;
pub mod cli;
pub mod clock;
pub mod error;
pub mod probes;
pub mod record;
pub mod ring;
pub mod system;
pub mod targets;
pub mod writer;

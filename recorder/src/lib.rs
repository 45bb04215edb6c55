//! x
pub mod abi; pub mod bpf; pub mod clock; pub mod error; pub mod probes; pub mod writer;

//! What follows from the rows: nesting, first uses, run states, counts, the stages of a process'
//! life, runs of programs, requests, collectives across ranks. Nothing here reads a file.

pub(crate) mod awake;
pub(crate) mod calls;
pub(crate) mod collectives;
pub(crate) mod counts;
pub(crate) mod frontend;
pub(crate) mod holders;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod programs;
pub(crate) mod requests;
pub(crate) mod run_state;

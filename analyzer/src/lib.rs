//! Ingero: finds, and proves from a stored trace, why a GPU server is slow.
#![forbid(unsafe_code)]

pub mod cli;
pub mod diagnosis;
pub mod eval;
pub mod export;
pub mod fixture;
pub mod lang;
pub mod plan;
pub mod report;
pub mod score;
pub mod simulate;
pub mod source;
pub mod trace;
pub mod unit;
pub mod view;

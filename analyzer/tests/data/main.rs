//! Ways into and out of a trace beside the report: queries.

#![allow(clippy::unwrap_used, reason = "a test")]

mod query;
mod support;

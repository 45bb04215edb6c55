//! Ways into and out of a trace beside the report: queries, exports, merged files, assistants.

#![allow(clippy::unwrap_used, reason = "a test")]

mod docs;
mod export;
mod mcp;
mod merge;
mod published;
mod python;
mod query;
mod support;
mod times;

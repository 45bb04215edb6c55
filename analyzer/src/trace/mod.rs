//! Traces: what a file can hold, how it is read, written and held in memory.

mod anchor;
pub mod catalogue;
pub mod coverage;
mod derive;
mod error;
mod identity;
pub mod model;
pub(crate) mod reader;
pub mod row;
pub mod slice;
pub mod writer;

pub use error::TraceError;
pub use model::{Lane, Node, NodeIdx, ProcIdx, Process, Rows, Stored, Thread, ThreadIdx, Trace};

pub use reader::query;
pub use reader::truth;
pub use reader::{Count, Edge, Needs, Progress, ReadOptions, WindowSpec, count, read, read_connection};

/// Tables and columns of a trace file, as our writers make them.
pub const SCHEMA_SQL: &str = include_str!("schema.sql");
/// Rows of the lookup tables.
pub const OPS_SQL: &str = include_str!("ops.sql");
/// Indexes, to be built after the last insert.
pub const INDEXES_SQL: &str = include_str!("indexes.sql");

//! Which traces to judge, and which part of them: arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::analyze::Request;
use super::console::Console;
use super::memory::Size;
use super::time::TimeArgs;

/// Which traces, and which part of them.
#[derive(Clone, Debug, Args)]
pub(super) struct InputArgs {
    /// Traces, or folders of traces; several are judged as one fleet, by node
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    /// Look at this process only
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<i64>,
    #[command(flatten)]
    time: TimeArgs,
    /// Threads to use; 0 is one for each core. The report is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Use about this much memory at most (2GiB); where the rules need more, the traces are read several
    /// times. The report is the same
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

impl InputArgs {
    /// What they ask for.
    pub(super) fn request(&self, console: &Console) -> Request<'_> {
        Request {
            traces: &self.traces,
            pid: self.pid,
            from: self.time.from(),
            to: self.time.to(),
            threads: self.threads,
            memory: self.memory.map(|m| m.0),
            progress: console.watched() && !self.quiet,
        }
    }
}

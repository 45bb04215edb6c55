//! Arguments, and what they mean.

use crate::bpf::Mechanism;
use crate::error::RecorderError;
use clap::{Parser, ValueEnum};
use std::collections::HashSet;
use std::path::PathBuf;

/// Records CUDA calls and Linux kernel events of a GPU host into one SQLite trace.
///
/// Without --pid, --comm or a command, every process is recorded.
#[derive(Debug, Parser)]
#[command(name = "ingero-recorder", version)]
pub struct Args {
    /// The trace file to write.
    #[arg(short, long, default_value = "trace.db", value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Record this process and its descendants; may be given several times.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Record processes of this name, and their descendants; may be given up to four times.
    #[arg(long, value_name = "NAME")]
    pub comm: Vec<String>,
    /// Stop after this long.
    #[arg(long, value_name = "TIME", value_parser = duration_ns)]
    pub duration: Option<u64>,
    /// Say what would be attached and why not, and record nothing.
    #[arg(long)]
    pub check: bool,
    /// Leave out an area; may be given several times.
    #[arg(long, value_name = "AREA")]
    pub without: Vec<Area>,
    /// Store calls of OP only if they take at least TIME (e.g. cudaLaunchKernel=20us); shorter ones
    /// become counts and histograms. May be given several times.
    #[arg(long, value_name = "OP=TIME")]
    pub min_duration: Vec<String>,
    /// Also record driver calls that only serve the runtime call around them.
    #[arg(long)]
    pub nested: bool,
    /// Size of the ring between kernel and recorder, in MiB; a power of two.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub ring_size: u32,
    /// Begin a new file when one reaches this size (e.g. 500M).
    #[arg(long, value_name = "SIZE", value_parser = size_bytes)]
    pub max_size: Option<u64>,
    /// Finished files kept with --max-size; all if not given.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_files: usize,
    /// Stop while this much is free on the disk of the trace.
    #[arg(long, value_name = "SIZE", value_parser = size_bytes, default_value = "64M")]
    pub min_free: u64,
    /// Socket for annotations [default: the trace file's name with .sock behind it].
    #[arg(long, value_name = "PATH")]
    pub annotations: Option<PathBuf>,
    /// Probe this library from the start, before anyone maps it; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub lib: Vec<PathBuf>,
    /// How calls are probed.
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    pub attach: Attach,
    /// Name of this host in the trace [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Run this and record it and its descendants until it ends.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// See `--attach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// The cheapest that the kernel has.
    Auto,
    /// One session program for entry and return; needs Linux 6.13.
    Session,
    /// An entry and a return program on all functions at once; needs Linux 6.6.
    Pair,
    /// A probe at the entry and one at the return of each function.
    Plain,
}

/// See `--without`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names are those of recording_losses.probe")]
pub enum Area {
    Cuda,
    Driver,
    Graph,
    Nccl,
    Sched,
    Mem,
    Io,
    Net,
    Tcp,
    Xid,
}

impl Args {
    /// The areas left out, by name.
    pub fn left_out(&self) -> HashSet<String> {
        self.without
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|v| v.get_name().to_owned())
            .collect()
    }

    /// The forced way of probing calls.
    pub fn mechanism(&self) -> Option<Mechanism> {
        match self.attach {
            Attach::Auto => None,
            Attach::Session => Some(Mechanism::Session),
            Attach::Pair => Some(Mechanism::Pair),
            Attach::Plain => Some(Mechanism::Plain),
        }
    }

    /// Whether every process is recorded.
    pub fn everything(&self) -> bool {
        self.pid.is_empty() && self.comm.is_empty() && self.command.is_empty()
    }

    /// `(source, op, ns)` of `--min-duration`.
    ///
    /// # Errors
    /// An unknown op, or a time that is none.
    pub fn thresholds(&self) -> Result<Vec<(u8, u8, u64)>, RecorderError> {
        let mut out = Vec::new();
        for text in &self.min_duration {
            let parsed = text.split_once('=').map(|(op, t)| (op.trim(), duration_ns(t)));
            let Some((name, Ok(ns))) = parsed else {
                return Err(RecorderError::Usage(format!(
                    "--min-duration {text}: expected OP=TIME, such as cudaLaunchKernel=20us"
                )));
            };
            let ids = op_ids(name);
            if ids.is_empty() {
                return Err(RecorderError::Usage(format!("--min-duration: no op {name:?}")));
            }
            out.extend(ids.into_iter().map(|(source, op)| (source, op, ns)));
        }
        Ok(out)
    }

    /// Bytes of the ring.
    ///
    /// # Errors
    /// A size that is no power of two, or too large.
    pub fn ring_bytes(&self) -> Result<u32, RecorderError> {
        match self.ring_size {
            n if n.is_power_of_two() && n <= 2048 => Ok(n << 20),
            n => Err(RecorderError::Usage(format!(
                "--ring-size {n}: a power of two up to 2048 (MiB)"
            ))),
        }
    }
}

/// Ops of this name in the lookup table of the trace file; the same name may stand in two sources.
fn op_ids(name: &str) -> Vec<(u8, u8)> {
    const OPS: &str = include_str!("../../analyzer/src/trace/ops.sql");
    OPS.split('(')
        .filter_map(|row| {
            let (ids, rest) = row.split_once('\'')?;
            let (op_name, _) = rest.split_once('\'')?;
            let mut ids = ids.split(',').map(str::trim);
            let pair = (ids.next()?.parse().ok()?, ids.next()?.parse().ok()?);
            (op_name == name).then_some(pair)
        })
        .collect()
}

/// `250us`, `3ms`, `2s`, `90` (seconds).
fn duration_ns(text: &str) -> Result<u64, String> {
    let (unit, digits) = [("ns", 1u64), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)]
        .iter()
        .find_map(|(suffix, unit)| Some((*unit, text.strip_suffix(suffix)?)))
        .unwrap_or((1_000_000_000, text));
    let n: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no time (10us, 5ms, 2s)"))?;
    n.checked_mul(unit).ok_or_else(|| format!("{text:?} is too long"))
}

/// `500M`, `2G`, `4096`.
fn size_bytes(text: &str) -> Result<u64, String> {
    let (unit, digits) = [("K", 10), ("M", 20), ("G", 30)]
        .iter()
        .find_map(|(suffix, shift)| Some((1u64 << shift, text.strip_suffix(suffix)?)))
        .unwrap_or((1, text));
    let n: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no size (500M, 2G)"))?;
    n.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration_ns("20us"), Ok(20_000));
        assert_eq!(duration_ns("3"), Ok(3_000_000_000));
        assert!(duration_ns("fast").is_err());
        assert_eq!(size_bytes("500M"), Ok(500 << 20));
        assert_eq!(size_bytes("7"), Ok(7));
        assert!(size_bytes("G").is_err());
    }

    #[test]
    fn ops_are_known_by_name() {
        assert_eq!(op_ids("cudaLaunchKernel"), [(1, 3)]);
        assert_eq!(op_ids("sched_switch"), [(3, 1)]);
        assert!(op_ids("CUDA").is_empty());
        assert!(op_ids("cudaLaunch").is_empty());
    }

    #[test]
    fn a_command_follows_two_dashes() {
        let a = Args::parse_from(["x", "-o", "t.db", "--", "python", "-c", "pass"]);
        assert_eq!(a.command, ["python", "-c", "pass"]);
        assert!(!a.everything());
        assert!(Args::parse_from(["x"]).everything());
    }
}

//! Running the command, and small traces.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{Event, Writer};

/// The command, without anything of the surroundings that changes its output.
pub(crate) fn ingero() -> Command {
    let mut command = Command::cargo_bin("ingero").unwrap();
    command
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Standard output, standard error and exit code.
pub(crate) fn run(args: &[&str]) -> (String, String, i32) {
    let output = ingero().args(args).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

/// A file of the repository, by its path from the root.
pub(crate) fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn op(source: Source, name: &str) -> Op {
    Op::by_name(source, name).unwrap()
}

/// A trace of one process with a launch (starts at its timestamp), an off-CPU stint inside it and a
/// read (both stored by their ends).
pub(crate) fn small(path: &Path, node: &str, comm: &str) {
    let mut w = Writer::create(path, node).unwrap();
    let launch = op(Source::Cuda, "cudaLaunchKernel");
    w.event(&Event::new(launch, 7, 8, 1_000, 500).comm(comm)).unwrap();
    w.event(
        &Event::new(op(Source::Sched, "sched_switch"), 8, 8, 1_100, 300)
            .args(0, 99)
            .comm(comm),
    )
    .unwrap();
    w.event(
        &Event::new(op(Source::Io, "block_read"), 7, 8, 2_000, 700)
            .args(8, 0)
            .comm(comm),
    )
    .unwrap();
    w.finish().unwrap();
}

//! What can stop a recording, one message each, with what to do about it.

use std::path::PathBuf;

/// Why nothing could be recorded. The text is the whole message a user sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum RecorderError {
    #[error(
        "no privilege to load eBPF programs: run it as root (sudo ingero record …), or give the \
         program CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
    )]
    NotPermitted,
    #[error(
        "the kernel has no BTF (/sys/kernel/btf/vmlinux): the programs cannot find its fields; \
         use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all large distributions are"
    )]
    NoBtf,
    #[error("Linux {found} is too old: task storage in uprobe programs needs Linux 6.2 or later")]
    OldKernel { found: String },
    #[error("the eBPF programs could not be loaded: {0}")]
    Load(String),
    #[error("no process {0}: it is not running (anymore)")]
    NoProcess(u32),
    #[error("cannot start {program}: {reason}")]
    NoCommand { program: String, reason: String },
    #[error("cannot read {}: {reason}", path.display())]
    Library { path: PathBuf, reason: String },
    #[error("{} exists already: give another name, or --force to replace it", .0.display())]
    FileExists(PathBuf),
    #[error("cannot write {}: {reason}", path.display())]
    Output { path: PathBuf, reason: String },
    #[error("cannot listen on {}: {reason}", path.display())]
    Socket { path: PathBuf, reason: String },
    #[error("{0}")]
    Usage(String),
}

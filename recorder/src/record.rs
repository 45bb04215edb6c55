//! One recording, from the first probe to the closed file.

use crate::abi::{Config, Record, Sched, TaskWhat};
use crate::annotations::Listener;
use crate::bpf::{self, Bpf, Mechanism, Probe, Wanted};
use crate::child::Child;
use crate::cli::Args;
use crate::clock;
use crate::error::RecorderError;
use crate::probes::libs::{self, FileId};
use crate::ring::{self, Drain};
use crate::system::{self, CgroupMounts, Load};
use crate::targets;
use crate::writer::{Message, Progress, Rotation, Session, Summary, Writer};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Chunks of 256 KiB that may wait for the writer.
const QUEUE: usize = 64;
const NOTICES: usize = 8192;
const TICK: Duration = Duration::from_millis(20);
/// Open calls at least this old are in the file as soon as they are; younger ones only at its end.
const LONG_OPEN_NS: u64 = 1_000_000_000;

static SIGNALLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(signal: libc::c_int) {
    SIGNALLED.store(signal, Ordering::Relaxed);
}

fn catch_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = on_signal;
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// What a program is to be told while and after recording.
pub trait Console {
    /// A line that matters only to somebody who watches.
    fn note(&mut self, line: &str);
    /// A line that must be seen.
    fn warn(&mut self, line: &str);
}

/// Records as `args` say.
///
/// # Errors
/// If recording cannot begin, or the file cannot be written to its end.
pub fn record(args: &Args, console: &mut dyn Console) -> Result<Summary, RecorderError> {
    bpf::preflight()?;
    let thresholds = args.thresholds()?;
    for pid in &args.pid {
        if targets::stat(*pid).is_none() {
            return Err(RecorderError::NoProcess(*pid));
        }
    }
    if args.output.exists() && !args.force {
        return Err(RecorderError::FileExists(args.output.clone()));
    }
    let socket = args
        .annotations
        .clone()
        .unwrap_or_else(|| with_suffix(&args.output, ".sock"));
    // The fork comes before any thread.
    let child = if args.command.is_empty() {
        None
    } else {
        let socket = std::path::absolute(&socket).unwrap_or_else(|_| socket.clone());
        Some(Child::hold(
            &args.command,
            &[("INGERO_ANNOTATIONS", socket.into_os_string())],
        )?)
    };
    let offset = clock::offset();
    let (bpf, probes) = Bpf::load(wanted(args, offset.offset_ns, thresholds.clone())?)?;

    let session = session(args, &bpf, thresholds);
    let progress = Arc::new(Progress::default());
    let rotation = Rotation {
        max_bytes: args.max_size.unwrap_or(0),
        max_files: args.max_files,
    };
    let writer = Writer::create(
        &args.output,
        args.force,
        session,
        offset,
        rotation,
        Arc::clone(&progress),
    )?;
    let (out, inbox) = sync_channel(QUEUE);
    let (notify, notices) = sync_channel(NOTICES);
    let drain = Arc::new(Drain::default());
    let writing = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || write(writer, &inbox))
        .map_err(|e| RecorderError::Load(e.to_string()))?;
    let draining = ring::start(bpf.map("ring")?, Arc::clone(&drain), out.clone(), notify)?;
    let listener = match Listener::start(&socket, offset.offset_ns, out.clone()) {
        Ok(listener) => Some(listener),
        Err(e) if args.annotations.is_some() => {
            // Asked for, so recording without it is not what was wanted; nothing was written yet.
            let _ = std::fs::remove_file(&args.output);
            return Err(e);
        }
        Err(e) => {
            console.warn(&format!("annotations are off: {e}"));
            None
        }
    };
    let _ = out.send(Message::Probes(probes));
    let mut run = Run {
        args,
        bpf,
        child,
        out,
        offset_ns: offset.offset_ns,
        known: BTreeSet::new(),
        attached: HashSet::new(),
        load: Load::new(),
        cgroups: CgroupMounts::find(),
        next_second: Instant::now() + Duration::from_secs(1),
        next_offset: Instant::now() + Duration::from_secs(10),
        next_scan: Instant::now(),
    };
    let began = run.begin(console);
    let stopped_by = match &began {
        Ok(()) => run.watch(&notices, &progress, console),
        Err(e) => format!("error: {e}"),
    };
    drop(listener);
    run.end(&drain, draining);
    let child = run.child.take();
    drop(run);
    let summary = match writing.join() {
        Ok(finish) => finish(&stopped_by),
        Err(_) => Err(RecorderError::Load("the writer thread died".to_owned())),
    };
    if let Some(mut child) = child {
        child.signal(libc::SIGTERM);
    }
    if let Err(error) = began {
        // Nothing was recorded, so the file says nothing.
        let _ = std::fs::remove_file(&args.output);
        return Err(error);
    }
    summary
}

fn write(
    mut writer: Writer,
    inbox: &Receiver<Message>,
) -> impl FnOnce(&str) -> Result<Summary, RecorderError> + Send + use<> {
    loop {
        match inbox.recv_timeout(Duration::from_millis(200)) {
            Ok(message) => writer.take(message),
            Err(RecvTimeoutError::Timeout) => writer.commit_if_due(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    move |stopped_by: &str| writer.finish(stopped_by)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What to load for these arguments.
///
/// # Errors
/// Arguments that make no sense.
pub fn wanted(args: &Args, offset_ns: i64, thresholds: Vec<(u8, u8, u64)>) -> Result<Wanted, RecorderError> {
    if args.comm.len() > 4 {
        return Err(RecorderError::Usage("--comm: at most four names".to_owned()));
    }
    let comms = args.comm.iter().map(|c| c.chars().take(15).collect()).collect();
    Ok(Wanted {
        config: Config {
            epoch_offset: offset_ns.cast_unsigned(),
            self_pid: std::process::id(),
            everything: args.everything(),
            drop_nested: !args.nested,
            use_thresholds: !thresholds.is_empty(),
            xid_offsets: [0; 3],
            comms,
        },
        without: args.left_out(),
        ring_bytes: args.ring_bytes()?,
        mechanism: args.mechanism(),
        nested: args.nested,
        thresholds,
    })
}

fn session(args: &Args, bpf: &Bpf, thresholds: Vec<(u8, u8, u64)>) -> Session {
    let node = args
        .node
        .clone()
        .map_or_else(system::node_name, |n| n.replace(':', "_"));
    let all = thresholds.is_empty();
    let mut s = system::session(node);
    let cores = s.cpu_cores.to_string();
    // Recordings of one boot share their monotonic clock.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    s.flags.push_str(if all { "record-all" } else { "record" });
    s.pid_filter = args.pid.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    s.thresholds = thresholds;
    let mechanism = match bpf.mechanism {
        Mechanism::Session => "uprobe session",
        Mechanism::Pair => "uprobe.multi entry and return",
        Mechanism::Plain => "uprobe and uretprobe",
    };
    let left_out = {
        let mut areas: Vec<String> = args.left_out().into_iter().collect();
        areas.sort();
        areas.join(",")
    };
    for (key, value) in [
        ("recorder", concat!("ingero-recorder ", env!("CARGO_PKG_VERSION"))),
        ("record_all", if all { "1" } else { "0" }),
        ("clock", "CLOCK_MONOTONIC plus the first offset of clock_offsets"),
        ("boot_id", boot.trim()),
        ("host_cores", &cores),
        ("attach", mechanism),
        ("bpf_built_by", ingero_recorder_ebpf::BUILT_BY),
        ("nested_driver_calls", if args.nested { "stored" } else { "left out" }),
        ("without", &left_out),
        ("command", &args.command.join(" ")),
        ("ring_bytes", &(u64::from(args.ring_size) << 20).to_string()),
    ] {
        s.facts.insert(key.to_owned(), value.to_owned());
    }
    s
}

struct Run<'a> {
    args: &'a Args,
    bpf: Bpf,
    child: Option<Child>,
    out: SyncSender<Message>,
    offset_ns: i64,
    /// Target processes that live.
    known: BTreeSet<u32>,
    attached: HashSet<FileId>,
    load: Load,
    cgroups: CgroupMounts,
    next_second: Instant,
    next_offset: Instant,
    next_scan: Instant,
}

impl Run<'_> {
    fn send(&self, message: Message) {
        let _ = self.out.send(message);
    }

    /// Attaches what is there, marks the targets, and lets the command go.
    fn begin(&mut self, console: &mut dyn Console) -> Result<(), RecorderError> {
        catch_signals();
        for path in &self.args.lib {
            let mapped = libs::at_path(path).map_err(|e| RecorderError::Library {
                path: path.clone(),
                reason: e.to_string(),
            })?;
            let Some(mapped) = mapped else {
                return Err(RecorderError::Library {
                    path: path.clone(),
                    reason: "neither libcudart, libcuda nor libnccl by its name".to_owned(),
                });
            };
            self.attach(&mapped, None);
        }
        if let Some(child) = &self.child {
            let pid = child.pid;
            for path in libs::likely(Some(&child.program)) {
                if let Ok(Some(mapped)) = libs::at_path(&path) {
                    self.attach(&mapped, None);
                }
            }
            self.bpf.add_target(pid)?;
            self.add(pid);
        }
        let mut roots = self.args.pid.clone();
        let named = targets::named(&self.args.comm);
        if !self.args.comm.is_empty() && named.is_empty() {
            console.note(&format!(
                "no process is called {} yet; waiting for one",
                self.args.comm.join(" or ")
            ));
        }
        roots.extend(named);
        if self.args.everything() {
            let me = std::process::id();
            targets::all()
                .into_iter()
                .filter(|p| *p != me)
                .for_each(|p| self.add(p));
        }
        // Children forked while this goes on are marked by the kernel programs; those forked just
        // before are found by looking again.
        for _ in 0..3 {
            let tree = targets::trees(&roots);
            for pid in tree.iter().filter(|p| **p != std::process::id()) {
                if !self.known.contains(pid) {
                    self.bpf.add_target(*pid)?;
                    self.add(*pid);
                }
            }
        }
        let pids: Vec<u32> = self.known.iter().copied().collect();
        for pid in pids {
            self.scan(pid, None);
        }
        // What was there before has been marked and probed by now.
        self.send(Message::Started(clock::wall_ns()));
        if let Some(child) = &mut self.child {
            child.release()?;
        }
        console.note(&format!(
            "recording {} to {}; stop with Ctrl-C",
            self.target_text(),
            self.args.output.display()
        ));
        Ok(())
    }

    fn target_text(&self) -> String {
        match &self.child {
            Some(c) => c.program.display().to_string(),
            None if self.args.everything() => "every process".to_owned(),
            None => format!("{} processes", self.known.len()),
        }
    }

    /// Notes a process that is a target from now on, with its threads.
    fn add(&mut self, pid: u32) {
        if !self.known.insert(pid) {
            return;
        }
        let now = clock::monotonic_ns();
        let found = targets::threads(pid, now.cast_unsigned());
        let mut threads = Vec::with_capacity(found.len());
        for (thread, off) in found {
            if let Some(off) = off {
                self.bpf.seed_off_cpu(thread.tid, off);
            }
            threads.push(thread);
        }
        self.send(Message::Threads(threads));
    }

    fn attach(&mut self, mapped: &libs::Mapped, mapped_ns: Option<u64>) {
        if !self.attached.insert(mapped.id) {
            return;
        }
        let mut probes = self.bpf.attach_library(mapped);
        if let Some(since) = mapped_ns {
            let late = clock::monotonic_ns().cast_unsigned().saturating_sub(since) / 1_000_000;
            for p in probes.iter_mut().filter(|p: &&mut Probe| p.status == "attached") {
                p.reason = format!("{}; {late} ms after it was mapped", p.reason);
            }
        }
        if !probes.is_empty() {
            self.send(Message::Probes(probes));
        }
    }

    /// Looks for libraries that the process has mapped.
    fn scan(&mut self, pid: u32, mapped_ns: Option<u64>) {
        for mapped in libs::mapped_by(pid) {
            self.attach(&mapped, mapped_ns);
        }
    }

    /// Goes on until something ends the recording; says what.
    fn watch(&mut self, notices: &Receiver<Record>, progress: &Progress, console: &mut dyn Console) -> String {
        let deadline = self.args.duration.map(|ns| Instant::now() + Duration::from_nanos(ns));
        loop {
            self.notices(notices);
            let now = Instant::now();
            if now >= self.next_second {
                self.next_second = now + Duration::from_secs(1);
                self.each_second(false);
                let free = system::free_bytes(&self.args.output);
                if free.is_some_and(|f| f < self.args.min_free) {
                    console.warn("the disk is nearly full: recording ends here");
                    return "disk nearly full".to_owned();
                }
            }
            if now >= self.next_offset {
                self.next_offset = now + Duration::from_secs(10);
                self.send(Message::Offset(clock::offset()));
            }
            if now >= self.next_scan {
                // Without the system call programs nothing else tells of new libraries.
                let told = !self.args.left_out().contains("net");
                self.next_scan = now + Duration::from_secs(if told { 10 } else { 1 });
                self.rescan();
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()
            {
                return match (libc::WIFEXITED(status), libc::WIFSIGNALED(status)) {
                    (true, _) => format!("command ended with {}", libc::WEXITSTATUS(status)),
                    (_, true) => format!("command killed by signal {}", libc::WTERMSIG(status)),
                    _ => "command ended".to_owned(),
                };
            }
            if !self.args.pid.is_empty() && self.args.comm.is_empty() && self.known.is_empty() {
                return "targets ended".to_owned();
            }
            if deadline.is_some_and(|d| now >= d) {
                return "duration reached".to_owned();
            }
            if progress.disk_full.load(Ordering::Relaxed) {
                console.warn("the trace cannot be written any further: recording ends here");
                return "disk full".to_owned();
            }
            match SIGNALLED.load(Ordering::Relaxed) {
                0 => {}
                signal => return format!("signal {signal}"),
            }
        }
    }

    /// Waits a moment for news of processes, and follows them up.
    fn notices(&mut self, notices: &Receiver<Record>) {
        let mut todo: Vec<(u32, Option<u64>)> = Vec::new();
        let mut next = notices.recv_timeout(TICK).ok();
        while let Some(record) = next {
            match record {
                Record::Mapped { pid, ts_ns } => {
                    if !todo.iter().any(|(p, _)| *p == pid) {
                        todo.push((pid, Some(ts_ns)));
                    }
                    if !self.known.contains(&pid) && self.args.everything() {
                        self.add(pid);
                    }
                }
                Record::Task(t) => match t.what {
                    TaskWhat::Fork => {
                        if t.child_pid != t.pid {
                            self.known.insert(t.child_pid);
                        }
                    }
                    TaskWhat::Exec => {
                        if !self.known.contains(&t.pid) {
                            self.add(t.pid);
                        }
                        todo.push((t.pid, Some(t.ts_ns)));
                    }
                    TaskWhat::Exit => {
                        if t.last {
                            self.known.remove(&t.pid);
                        }
                    }
                    // A process may have become a target by its new name.
                    TaskWhat::Rename => {
                        if t.pid == t.tid && !self.known.contains(&t.pid) {
                            self.add(t.pid);
                            todo.push((t.pid, None));
                        }
                    }
                },
                _ => {}
            }
            next = notices.try_recv().ok();
        }
        for (pid, ts_ns) in todo {
            self.scan(pid, ts_ns);
        }
    }

    /// Looks at all targets again, in case a notice was missed.
    fn rescan(&mut self) {
        let pids: Vec<u32> = self.known.iter().copied().collect();
        for pid in pids {
            if targets::stat(pid).is_none_or(|s| s.state == 'Z') {
                self.known.remove(&pid);
            } else {
                self.scan(pid, None);
            }
        }
    }

    /// What is read once a second. At the end everything is taken, however new.
    fn each_second(&mut self, last: bool) {
        let wall = clock::monotonic_ns() + self.offset_ns;
        let before = |unit: i64| {
            if last {
                u32::MAX
            } else {
                u32::try_from(wall / unit - 1).unwrap_or(0)
            }
        };
        let losses = self.bpf.take_losses(before(1_000_000_000));
        let aggregates = self.bpf.take_aggregates(before(5_000_000_000));
        let histograms = self.bpf.take_histograms(before(5_000_000_000));
        if !losses.is_empty() {
            self.send(Message::Losses(losses));
        }
        if !aggregates.is_empty() {
            self.send(Message::Aggregates(aggregates));
        }
        if !histograms.is_empty() {
            self.send(Message::Histograms(histograms));
        }
        let end_ns = clock::monotonic_ns().cast_unsigned();
        let mut open = self.bpf.open_calls();
        open.retain(|o| last || end_ns.saturating_sub(o.nccl.call.start_ns) >= LONG_OPEN_NS);
        self.send(Message::OpenCalls(open));
        let snapshot = self.load.snapshot();
        self.send(Message::Snapshot(snapshot));
        let cgroups = self.cgroups.cpu(self.known.iter());
        if !cgroups.is_empty() {
            self.send(Message::Cgroups(cgroups));
        }
    }

    /// Detaches, takes the last records, and closes the queue to the writer.
    fn end(&mut self, drain: &Drain, draining: std::thread::JoinHandle<()>) {
        let end_ns = clock::monotonic_ns().cast_unsigned();
        let skipped = self.bpf.skipped_runs();
        self.bpf.detach();
        drain.stop.store(true, Ordering::Release);
        let _ = draining.join();
        self.each_second(true);
        let second = u32::try_from(clock::wall_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        let mut losses = self.bpf.untimed_losses(second);
        losses.extend(skipped.into_iter().map(|(probe, lost)| crate::abi::Loss {
            second,
            probe,
            reason: "recursion",
            cpu: -1,
            lost,
        }));
        self.send(Message::Losses(losses));
        // A thread that is off CPU at the end has no record yet: its time so far is one.
        let mut off: Vec<Sched> = self
            .bpf
            .off_cpu()
            .into_iter()
            .filter(|(_, o)| o.ts_ns < end_ns)
            .map(|(tid, o)| Sched {
                cpu: u16::MAX,
                tid,
                pid: o.pid,
                prev: 0,
                waker: o.waker,
                preemptor: o.preemptor,
                state: o.state,
                end_ns,
                dur_ns: end_ns - o.ts_ns,
                woken_ns: o.woken_ns,
            })
            .collect();
        off.sort_unstable_by_key(|s| s.tid);
        self.send(Message::OffCpu(off));
        self.send(Message::Offset(clock::offset()));
        for (key, value) in [
            ("nested_driver_calls_left_out", self.bpf.nested_calls()),
            ("waited_for_writer_ns", drain.waited_ns.load(Ordering::Relaxed)),
            ("records_drained", drain.records.load(Ordering::Relaxed)),
        ] {
            self.send(Message::Fact(key.to_owned(), value.to_string()));
        }
    }
}

//! The stage on which scenarios play: threads with clocks of their own, and a sink that puts
//! their events into the order in which a recorder would have seen them.

use crate::trace::catalogue::{Op, Source};
use crate::trace::writer::{
    Annotation, Detail, Event, SchedDetail, SnapshotRow, Task, TruthRow, Uncounted, WriteError, Writer,
};
use crate::unit::{Interval, MS, SEC, US};

use super::rng::Rng;

/// When every simulated trace begins: 2026-05-01 12:00:00 UTC. A whole minute, so that seconds and
/// buckets of a scenario are those of the file.
pub(crate) const EPOCH: i64 = 1_777_636_800 * SEC;

/// The stored operations that scenarios use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ops {
    pub(crate) malloc: Op,
    pub(crate) launch: Op,
    pub(crate) stream_sync: Op,
    pub(crate) device_sync: Op,
    pub(crate) event_sync: Op,
    pub(crate) memcpy_async: Op,
    pub(crate) cu_launch: Op,
    pub(crate) cu_malloc: Op,
    pub(crate) begin_capture: Op,
    pub(crate) end_capture: Op,
    pub(crate) instantiate: Op,
    pub(crate) graph_launch: Op,
    pub(crate) switch: Op,
    pub(crate) page_alloc: Op,
    pub(crate) exec: Op,
    pub(crate) fork: Op,
    pub(crate) block_read: Op,
    pub(crate) send: Op,
    pub(crate) recv: Op,
}

/// A stored operation by its API name.
pub(crate) fn op(source: Source, name: &str) -> Op {
    Op::by_name(source, name).expect("the catalogue lists it (tested)")
}

impl Ops {
    fn new() -> Self {
        Self {
            malloc: op(Source::Cuda, "cudaMalloc"),
            launch: op(Source::Cuda, "cudaLaunchKernel"),
            stream_sync: op(Source::Cuda, "cudaStreamSync"),
            device_sync: op(Source::Cuda, "cudaDeviceSync"),
            event_sync: op(Source::Cuda, "cudaEventSynchronize"),
            memcpy_async: op(Source::Cuda, "cudaMemcpyAsync"),
            cu_launch: op(Source::Driver, "cuLaunchKernel"),
            cu_malloc: op(Source::Driver, "cuMemAlloc"),
            begin_capture: op(Source::Graph, "graphBeginCapture"),
            end_capture: op(Source::Graph, "graphEndCapture"),
            instantiate: op(Source::Graph, "graphInstantiate"),
            graph_launch: op(Source::Graph, "graphLaunch"),
            switch: op(Source::Sched, "sched_switch"),
            page_alloc: op(Source::Mem, "mm_page_alloc"),
            exec: op(Source::Process, "process_exec"),
            fork: op(Source::Process, "process_fork"),
            block_read: op(Source::Io, "block_read"),
            send: op(Source::Net, "net_send"),
            recv: op(Source::Net, "net_recv"),
        }
    }
}

/// A thread and its clock. Its name stands in `tasks` and `process_names`; rows of calls leave `comm`
/// empty, which keeps files a tenth smaller. Whatever it does moves the clock, so what one thread does never
/// overlaps, and what is off CPU is not also in the next call.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) comm: &'static str,
    pub(crate) now: i64,
    /// Its cgroup, 0 where that is of no matter.
    pub(crate) cgroup: i64,
    /// The CPU it comes back on.
    pub(crate) cpu: i64,
    rng: Rng,
}

impl Thread {
    /// Never runs on CPU 0, where the training loop is.
    pub(crate) fn beside_the_loop(mut self) -> Self {
        self.cpu = 1 + self.tid.rem_euclid(3);
        self
    }

    /// A random number of its own.
    pub(crate) fn draw(&mut self, low: i64, high: i64) -> i64 {
        self.rng.between(low, high)
    }
}

#[derive(Debug)]
struct Pending {
    event: Event<'static>,
    detail: Option<Detail>,
}

/// Takes events from the threads and hands them to the writer, ordered by their ends: a probe at
/// the return of a call reports when the call returns.
#[derive(Debug)]
pub(crate) struct Stage<'w> {
    writer: &'w mut Writer,
    pub(crate) ops: Ops,
    pending: Vec<Pending>,
    seed: u64,
    node: u64,
    pub(crate) switches: u64,
    /// When calls are counted and not stored.
    counted_only: Vec<Interval>,
    /// The process that is recorded; none: all.
    only: Option<i64>,
}

/// A direction of a copy, as stored in arg1.
pub(crate) mod direction {
    pub(crate) const H2D: i64 = 1;
    pub(crate) const D2H: i64 = 2;
}

impl<'w> Stage<'w> {
    pub(crate) fn new(writer: &'w mut Writer, seed: u64) -> Self {
        Self {
            writer,
            ops: Ops::new(),
            pending: Vec::new(),
            seed,
            node: 0,
            switches: 0,
            counted_only: Vec::new(),
            only: None,
        }
    }

    /// Calls in this time are counted and not stored, but for synchronisations.
    pub(crate) fn count_only(&mut self, when: Interval) {
        self.counted_only.push(when);
    }

    fn is_stored(&self, event: &Event<'_>) -> bool {
        let def = event.op.def();
        let chosen = !matches!(def.source, Source::Cuda | Source::Driver) || event.op.is("sync");
        let at = event.timestamp();
        chosen || !self.counted_only.iter().any(|i| i.start <= at && at < i.end)
    }

    /// A thread that the trace knows nothing of.
    pub(crate) fn nobody(&self, now: i64) -> Thread {
        Thread {
            pid: 0,
            tid: 0,
            comm: "",
            now,
            cgroup: 0,
            cpu: 0,
            rng: self.rng(0),
        }
    }

    /// Records that process and no other, as a recorder on its own host would.
    pub(crate) fn record_only(&mut self, pid: i64) {
        self.only = Some(pid);
    }

    /// Whether the process is recorded.
    pub(crate) fn records(&self, pid: i64) -> bool {
        self.only.is_none_or(|p| p == pid)
    }

    /// A generator for one purpose; the same one for the same purpose.
    pub(crate) fn rng(&self, purpose: u64) -> Rng {
        Rng::new(self.seed, purpose.wrapping_add(self.node << 32))
    }

    /// Brings a thread onto the stage; its sched events are all recorded.
    pub(crate) fn thread(
        &mut self,
        pid: i64,
        tid: i64,
        ppid: i64,
        comm: &'static str,
        start: i64,
    ) -> Result<Thread, WriteError> {
        if self.records(pid) {
            self.writer.task(&Task {
                tid,
                pid,
                ppid,
                comm,
                start,
                exit: 0,
                traced: true,
            })?;
            self.writer.process_name(tid, comm, start)?;
        }
        Ok(Thread {
            pid,
            tid,
            comm,
            now: start,
            cgroup: 0,
            cpu: tid.rem_euclid(4),
            rng: self.rng(tid.unsigned_abs()),
        })
    }

    /// Names a process that is on the host and not recorded.
    pub(crate) fn stranger(&mut self, pid: i64, comm: &'static str) -> Result<(), WriteError> {
        self.writer.process_name(pid, comm, EPOCH)?;
        self.writer.task(&Task {
            tid: pid,
            pid,
            ppid: 1,
            comm,
            ..Task::default()
        })
    }

    pub(crate) fn push(&mut self, event: Event<'static>, detail: Option<Detail>) {
        if self.records(event.pid) {
            self.pending.push(Pending { event, detail });
        }
    }

    /// Writes everything that ended before `until`. Ties keep the order of the calls.
    pub(crate) fn flush_until(&mut self, until: i64) -> Result<(), WriteError> {
        self.pending.sort_by_key(|p| p.event.end());
        let ready = self.pending.partition_point(|p| p.event.end() < until);
        let complete: Vec<Pending> = self.pending.drain(..ready).collect();
        for p in complete {
            if self.is_stored(&p.event) {
                self.writer.event_with(&p.event, p.detail)?;
            } else {
                self.writer.not_stored(&Uncounted {
                    op: p.event.op,
                    pid: p.event.pid,
                    at: p.event.timestamp(),
                    count: 1,
                    sum_dur: p.event.dur,
                    min_dur: p.event.dur,
                    max_dur: p.event.dur,
                    sum_arg0: p.event.arg0,
                });
            }
        }
        Ok(())
    }

    /// Writes the rest.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        self.flush_until(i64::MAX)
    }

    /// Forgets the last events, so that no more than `events` are written.
    pub(crate) fn truncate(&mut self, events: u64) {
        self.pending.sort_by_key(|p| p.event.end());
        let left = events.saturating_sub(self.writer.events());
        self.pending.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    }

    pub(crate) fn events(&self) -> u64 {
        self.writer.events() + u64::try_from(self.pending.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn writer(&mut self) -> &mut Writer {
        self.writer
    }

    pub(crate) fn truth(
        &self,
        kind: &'static str,
        rule: &'static str,
        who: &Thread,
        when: (i64, i64),
        value: i64,
        note: impl Into<String>,
    ) -> Result<(), WriteError> {
        if !self.records(who.pid) {
            return Ok(());
        }
        self.writer.truth(&TruthRow {
            kind,
            rule,
            pid: who.pid,
            tid: who.tid,
            start: when.0,
            end: when.1,
            value,
            note: note.into(),
        })
    }
}

// ---------------------------------------------------------------- building blocks

/// Why a thread is off CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// It slept and was woken near the end; then it waited briefly for a CPU.
    Sleep,
    /// It waited for a device.
    Io,
    /// It was preempted by that thread and stayed runnable.
    Preempted(i64),
    /// It slept, was woken after so many ns, and then waited for a CPU that this thread held.
    WokenEarly(i64, i64),
}

impl Stage<'_> {
    /// Off CPU from now on, for `dur`.
    pub(crate) fn off_cpu(&mut self, t: &mut Thread, dur: i64, why: Off) {
        let end = t.now + dur;
        let latency = t.rng.between(4 * US, 18 * US).min(dur / 2);
        let (state, woken_at, waker, prev, preemptor) = match why {
            Off::Sleep => (1, end - latency, 0, 0, 0),
            Off::Io => (2, end - latency, 0, 0, 0),
            Off::Preempted(by) => (0, 0, 0, by, by),
            Off::WokenEarly(after, by) => (1, t.now + after.min(dur), 0, by, 0),
        };
        let detail = SchedDetail {
            state,
            cpu: t.cpu,
            woken_at,
            waker,
            preemptor,
        };
        let mut event = Event::new(self.ops.switch, t.tid, t.tid, t.now, dur).args(0, prev);
        event.cgroup = t.cgroup;
        self.push(event, Some(Detail::Sched(detail)));
        self.switches += 1;
        t.now = end;
    }

    /// Sleeps in turns of about `period`, each awake for `awake`, until the clock says `until`.
    pub(crate) fn poll_until(&mut self, t: &mut Thread, until: i64, period: i64, awake: i64) {
        while t.now + period * 5 / 4 < until {
            let dur = t.rng.around(period, period / 50);
            self.off_cpu(t, dur, Off::Sleep);
            t.now += t.rng.around(awake, awake / 4);
        }
    }

    /// A call of any kind.
    pub(crate) fn call(&mut self, t: &mut Thread, op: Op, dur: i64, arg0: i64, arg1: i64) {
        let event = Event::new(op, t.pid, t.tid, t.now, dur).args(arg0, arg1);
        self.push(event, None);
        t.now += dur;
    }

    /// A kernel launch. One kernel in forty goes through the exported driver call, as seen in
    /// recordings for part of them; then both rows are there, nested.
    pub(crate) fn launch(&mut self, t: &mut Thread, kernel: i64, dur: i64) {
        let nested = kernel.rem_euclid(40) == 0 && dur > 3 * US;
        if nested {
            let inner = Event::new(self.ops.cu_launch, t.pid, t.tid, t.now + US, dur - 2 * US);
            self.push(inner.args(driver_handle(kernel), 0), None);
        }
        self.call(t, self.ops.launch, dur, kernel_pointer(kernel), 0);
    }

    /// A kernel launch during which the thread loses its CPU: `before` on CPU, then off, then
    /// `after` on CPU again.
    pub(crate) fn launch_around(
        &mut self,
        t: &mut Thread,
        kernel: i64,
        before: i64,
        (off, why): (i64, Off),
        after: i64,
    ) {
        let start = t.now;
        t.now += before;
        self.off_cpu(t, off, why);
        t.now = start;
        self.call(t, self.ops.launch, before + off + after, kernel_pointer(kernel), 0);
    }

    /// A copy; `stream` 0 is the default stream.
    pub(crate) fn copy(&mut self, t: &mut Thread, bytes: i64, direction: i64, dur: i64, stream: i64) {
        let event = Event::new(self.ops.memcpy_async, t.pid, t.tid, t.now, dur).args(bytes, direction);
        let detail = (stream != 0).then_some(Detail::Call { stream, handle: 0 });
        self.push(event, detail);
        t.now += dur;
    }

    /// A launch of an instantiated graph.
    pub(crate) fn graph_launch(&mut self, t: &mut Thread, exec: i64, dur: i64) {
        let event = Event::new(self.ops.graph_launch, t.pid, t.tid, t.now, dur);
        let handle = 0x7f20_0000_0000 + exec * 0x100;
        self.push(event, Some(Detail::Call { stream: 7, handle }));
        t.now += dur;
    }

    /// Pages handed to a process in one second: counted, never rows.
    pub(crate) fn page_allocs(&mut self, pid: i64, at: i64, count: i64) {
        let op = self.ops.page_alloc;
        self.writer.not_stored(&Uncounted {
            op,
            pid,
            at,
            count,
            sum_dur: 0,
            min_dur: 0,
            max_dur: 0,
            sum_arg0: count * 4096,
        });
    }

    /// The first seconds of a process that uses a GPU: context, memory, weights, the first use of
    /// each kernel (the slowest takes `slowest`), and the capture of six graphs. Returns the time of all first uses.
    pub(crate) fn cold_start(&mut self, t: &mut Thread, kernels: i64, slowest: i64) -> i64 {
        let mut first_uses = 0;
        for i in 0..8 {
            let dur = if i == 0 {
                51_500 * US
            } else {
                t.draw(150 * US, 240 * US)
            };
            let bytes = 128 << 20;
            let inner = Event::new(self.ops.cu_malloc, t.pid, t.tid, t.now + 2 * US, dur - 4 * US);
            self.push(inner.args(bytes, 0), None);
            self.call(t, self.ops.malloc, dur, bytes, 0);
            t.now += t.draw(100 * US, 900 * US);
        }
        for _ in 0..8 {
            // From pageable memory, at 9 GB/s.
            let bytes = 128 << 20;
            let dur = t.draw(14_200 * US, 15_600 * US);
            self.copy(t, bytes, direction::H2D, dur, 0);
            t.now += t.draw(20 * MS, 60 * MS);
        }
        for k in 0..kernels {
            let dur = if k == 3 {
                slowest
            } else {
                t.rng.log_normal(5 * MS, 1.2).clamp(MS, slowest)
            };
            self.launch(t, k, dur);
            first_uses += dur;
            for _ in 0..2 {
                t.now += t.draw(30 * US, 90 * US);
                let dur = t.draw(18 * US, 24 * US);
                self.launch(t, k, dur);
            }
            t.now += t.draw(2 * MS, 8 * MS);
        }
        self.call(t, self.ops.device_sync, 900 * US, 0, 0);
        for _ in 0..6 {
            self.call(t, self.ops.begin_capture, 12 * US, 0, 0);
            for k in 0..kernels.min(20) {
                t.now += 20 * US;
                self.launch(t, k, 6 * US);
            }
            self.call(t, self.ops.end_capture, 60 * US, 0, 0);
            self.call(t, self.ops.instantiate, 2_400 * US, 0, 0);
            t.now += t.draw(3 * MS, 9 * MS);
        }
        first_uses
    }

    /// A process that starts a program: fork by the parent, exec by the child.
    pub(crate) fn spawn(&mut self, parent: &mut Thread, child: i64, name: &'static str, at: i64) {
        let fork = Event::new(self.ops.fork, parent.pid, parent.tid, at, 0).args(0, child);
        self.push(fork.comm(parent.comm), None);
        let exec = Event::new(self.ops.exec, child, child, at + MS, 0);
        self.push(exec.comm(name), None);
    }

    /// Snapshots of the host, once a second over `from..to`.
    pub(crate) fn snapshots(
        &mut self,
        from: i64,
        to: i64,
        cpu_pct: (i64, i64),
        load_tenths: i64,
    ) -> Result<(), WriteError> {
        let mut rng = self.rng(0x5AA9 ^ from.unsigned_abs());
        let mut at = from;
        while at < to {
            let cpu = rng.between(cpu_pct.0 * 10, cpu_pct.1 * 10).min(1000);
            self.writer.snapshot(&SnapshotRow {
                at: at + 400 * US,
                // The first value of a recorder has no second before it to compare with.
                cpu_pct: if at == EPOCH { 0.0 } else { tenths(cpu) },
                mem_pct: tenths(rng.between(412, 418)),
                mem_avail_mib: rng.between(18_700, 18_900),
                swap_mib: 0,
                load: tenths(rng.around(load_tenths, 1 + load_tenths / 30)),
            })?;
            at += SEC;
        }
        Ok(())
    }

    /// A request: one span from arrival to the last token, and one for each of its phases.
    pub(crate) fn request(&mut self, r: &Request) -> Result<(), WriteError> {
        let id = format!("req-{:04}", r.id);
        let prompt = r.prompt.to_string();
        let output = r.output.to_string();
        let ttft = (r.ttft_ms).to_string();
        let logprobs = r.logprobs.map(|n| n.to_string());
        let first = r.arrival + r.ttft_ms * MS;
        let mut labels = vec![
            ("request_id", id.as_str()),
            ("prompt_tokens", &prompt),
            ("output_tokens", &output),
            ("ttft_ms", &ttft),
        ];
        labels.extend(logprobs.as_deref().map(|n| ("logprobs", n)));
        self.writer.annotation(&Annotation {
            pid: 0,
            start: r.arrival,
            end: r.end,
            labels: &labels,
        })?;
        for (phase, start, end) in [
            ("queued", r.arrival, r.prefill),
            ("prefill", r.prefill, first),
            ("decode", first, r.end),
        ] {
            self.writer.annotation(&Annotation {
                pid: 0,
                start,
                end,
                labels: &[("request_id", &id), ("phase", phase)],
            })?;
        }
        Ok(())
    }
}

/// A request as its client sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: i64,
    pub(crate) prompt: i64,
    pub(crate) output: i64,
    pub(crate) arrival: i64,
    /// Start of its prefill.
    pub(crate) prefill: i64,
    pub(crate) ttft_ms: i64,
    /// Last token.
    pub(crate) end: i64,
    /// Log probabilities that it asks for, where it says so.
    pub(crate) logprobs: Option<i64>,
}

fn tenths(v: i64) -> f64 {
    f64::from(i32::try_from(v).unwrap_or(i32::MAX)) / 10.0
}

fn kernel_pointer(kernel: i64) -> i64 {
    0x48_0000 + kernel * 0x40
}

fn driver_handle(kernel: i64) -> i64 {
    0x7f11_0000_0000 + kernel * 0x80
}

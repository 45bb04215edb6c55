//! The building blocks of cases: what a thread can do, and what can happen beside it. Blocks without a thread
//! in their name are of the main thread and move its clock; lengths get a few percent of jitter.

use super::super::stage::{Off, direction, op};
use super::scene::{JOB, NEIGHBOUR, Scene};
use crate::trace::catalogue::{Op, Source};
use crate::trace::writer::{Detail, Event, Lost, NcclCall, Rank, Uncounted};
use crate::unit::{Interval, MS, SEC, US};

/// Jitter of most lengths, percent.
const JITTER: i64 = 4;
/// The communicator of a rank.
const COMM: i64 = 0x7f60_0000_1000;

/// A runtime call by its API name.
fn cuda(name: &str) -> Op {
    op(Source::Cuda, name)
}

// ---------------------------------------------------------------- launches, synchronisations

impl Scene<'_> {
    /// A launch of a kernel that was used before.
    pub(crate) fn launch(&mut self, dur: i64) {
        let (kernel, dur) = (self.kernel(), self.around(dur, JITTER));
        self.stage.launch(&mut self.main, kernel, dur);
    }

    /// `n` launches of about 12 µs, one each `spacing`: a busy burst.
    pub(crate) fn launches(&mut self, n: i64, spacing: i64) {
        for _ in 0..n {
            let start = self.main.now;
            self.launch(12 * US);
            self.main.now = self.main.now.max(start + self.around(spacing, JITTER));
        }
    }

    /// The first launch of a kernel, and two that follow it.
    pub(crate) fn first_use(&mut self, dur: i64) {
        let (kernel, dur) = (self.new_kernel(), self.around(dur, JITTER));
        self.stage.launch(&mut self.main, kernel, dur);
        self.first_uses += dur;
        for _ in 0..2 {
            self.pass(60 * US);
            let dur = self.around(18 * US, JITTER);
            self.stage.launch(&mut self.main, kernel, dur);
        }
    }

    /// A launch of `total` during which the thread is off its CPU for `off`.
    pub(crate) fn launch_around(&mut self, total: i64, off: i64, why: Off) {
        let kernel = self.kernel() | 1;
        let (before, after) = (20 * US, (total - off - 20 * US).max(US));
        self.stage
            .launch_around(&mut self.main, kernel, before, (off, why), after);
    }

    /// Waits for a stream.
    pub(crate) fn sync(&mut self, dur: i64) {
        let op = self.stage.ops.stream_sync;
        self.stage.call(&mut self.main, op, dur, 0, 0);
    }

    /// Waits for the device.
    pub(crate) fn device_sync(&mut self, dur: i64) {
        let op = self.stage.ops.device_sync;
        self.stage.call(&mut self.main, op, dur, 0, 0);
    }

    /// A launch that returns an error.
    pub(crate) fn failing_launch(&mut self, ret: i32) {
        let op = self.stage.ops.launch;
        self.call(op, 6 * US, (0x48_0040, 0), ret);
    }

    /// Asks whether an event has happened, and is told so or not (600).
    pub(crate) fn query_event(&mut self) {
        self.call(cuda("cudaEventQuery"), 2 * US, (0x7f30_0000_0040, 0), 600);
    }

    /// A call that has not returned when the recording ends, `after` from now.
    pub(crate) fn never_returns(&mut self, source: Source, name: &'static str, after: i64) {
        let when = Interval::new(self.main.now, self.main.now + after);
        let told = self
            .stage
            .writer()
            .open_call(op(source, name), self.main.pid, self.main.tid, when);
        self.keep(told);
        self.main.now = when.end;
        self.tick();
        self.over = true;
    }
}

// ---------------------------------------------------------------- memory of the GPU, copies, graphs

impl Scene<'_> {
    /// A copy of a direction and a size.
    pub(crate) fn copy(&mut self, call: &'static str, direction: i64, bytes: i64, dur: i64) {
        let dur = self.around(dur, JITTER);
        let event = Event::new(cuda(call), self.main.pid, self.main.tid, self.main.now, dur);
        self.stage.push(
            event.args(bytes, direction),
            Some(Detail::Call { stream: 13, handle: 0 }),
        );
        self.main.now += dur;
    }

    /// A copy to the device that blocks for `dur`, at so many bytes a second.
    pub(crate) fn upload(&mut self, call: &'static str, dur: i64, bytes_per_s: i64) {
        let bytes = dur / US * (bytes_per_s / 1_000_000);
        self.copy(call, direction::H2D, bytes, dur);
    }

    /// Device memory is allocated; 2 is out of memory.
    pub(crate) fn malloc(&mut self, bytes: i64, dur: i64, ret: i32) {
        let dur = self.around(dur, JITTER);
        self.call(cuda("cudaMalloc"), dur, (bytes, 0), ret);
    }

    /// Device memory is freed.
    pub(crate) fn free(&mut self, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.call(cuda("cudaFree"), dur, (0x7f00_0000_0000, 0), 0);
    }

    /// Another thread of the process frees device memory.
    pub(crate) fn helper_frees(&mut self, at: i64, dur: i64) {
        self.helper.now = self.helper.now.max(at);
        self.stage
            .call(&mut self.helper, cuda("cudaFree"), dur, 0x7f00_0000_0000, 0);
    }

    /// Host memory is pinned.
    pub(crate) fn pin(&mut self, bytes: i64, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.call(cuda("cudaHostAlloc"), dur, (bytes, 0), 0);
    }

    /// A graph is captured and made ready to run; the end of the capture may fail.
    pub(crate) fn capture(&mut self, instantiate: i64, ret: i32) {
        let ops = self.stage.ops;
        self.call(ops.begin_capture, 12 * US, (0, 0), 0);
        self.launches(3, 20 * US);
        self.call(ops.end_capture, 60 * US, (0, 0), ret);
        if ret == 0 {
            self.call(ops.instantiate, instantiate, (0, 0), 0);
        }
    }

    /// A graph is launched.
    pub(crate) fn graph_launch(&mut self, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.stage.graph_launch(&mut self.main, 1, dur);
    }

    /// A graph is thrown away.
    pub(crate) fn destroy_graph(&mut self) {
        self.call(op(Source::Graph, "graphExecDestroy"), 20 * US, (0, 0), 0);
    }
}

// ---------------------------------------------------------------- CPUs

impl Scene<'_> {
    /// The main thread is off its CPU between two calls.
    pub(crate) fn off(&mut self, dur: i64, why: Off) {
        self.stage.off_cpu(&mut self.main, dur, why);
    }

    /// The workers do not sleep until the main thread's clock is later by `time`: they are on their CPUs.
    pub(crate) fn workers_busy(&mut self, time: i64) {
        let until = self.main.now + time;
        for w in &mut self.others {
            w.now = w.now.max(until);
        }
    }

    /// The job gets a cgroup of its own, whose CPU limit is read from now on.
    pub(crate) fn confine(&mut self) {
        self.main.cgroup = 501;
        let told = self.stage.writer().cgroup(501, "/job");
        self.keep(told);
    }

    /// The kernel has throttled the job's cgroup for so long in all.
    pub(crate) fn throttled(&mut self, sum: i64) {
        let at = self.main.now;
        let told = self.stage.writer().cgroup_cpu(at, "/job", sum);
        self.keep(told);
    }

    /// Off its CPU for so long, which the helper thread has meanwhile; it sleeps otherwise.
    pub(crate) fn behind_helper(&mut self, dur: i64) {
        self.helper_polls = false;
        self.helper.cpu = self.main.cpu;
        let asleep = self.main.now - self.helper.now;
        if asleep > 0 {
            self.stage.off_cpu(&mut self.helper, asleep, Off::Sleep);
        }
        self.helper.now = self.main.now + dur;
        self.off(dur, Off::Preempted(self.helper.tid));
    }

    /// Preempted by somebody else, between two calls.
    pub(crate) fn preempted(&mut self, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.off(dur, Off::Preempted(NEIGHBOUR));
    }
}

// ---------------------------------------------------------------- host

impl Scene<'_> {
    /// A child process of the job runs from `at` on.
    pub(crate) fn child(&mut self, name: &'static str, at: i64, time: i64) {
        self.run_program(name, at, time, JOB);
    }

    /// Pages of 4 KiB handed to a process in the second of the main thread's clock.
    pub(crate) fn pages(&mut self, pid: i64, count: i64) {
        self.stage.page_allocs(pid, self.main.now, count);
    }

    /// The kernel kills `victim` for want of memory.
    pub(crate) fn oom_kill(&mut self, victim: i64) {
        let at = self.main.now;
        self.event(Event::new(op(Source::Mem, "oom_kill"), NEIGHBOUR, NEIGHBOUR, at, 0).args(0, victim));
    }

    /// A process ends.
    pub(crate) fn exit(&mut self, pid: i64) {
        let at = self.main.now;
        self.event(Event::new(op(Source::Process, "process_exit"), pid, pid, at, 0));
    }

    /// A disk request of another process.
    pub(crate) fn disk(&mut self, name: &'static str, pid: i64, dur: i64, sectors: i64) {
        let at = self.main.now;
        self.event(Event::new(op(Source::Io, name), pid, pid, at, dur).args(sectors, 0));
    }

    /// A TCP segment is sent again; 0 is nobody's interrupt.
    pub(crate) fn retransmit(&mut self, pid: i64) {
        let at = self.main.now;
        self.event(Event::new(op(Source::Tcp, "tcp_retransmit"), pid, pid, at, 0));
    }

    /// The GPU's driver reports an error.
    pub(crate) fn xid(&mut self, number: i64, text: &'static str) {
        let at = self.main.now;
        let told = self.stage.writer().xid(at, "0000:4f:00", number, text);
        self.keep(told);
    }

    /// The recorder watched this source as well.
    pub(crate) fn watched(&mut self, source: &'static str) {
        let told = self.stage.writer().probe(source, "", "attached", "");
        self.keep(told);
    }

    /// The recorder lost events.
    pub(crate) fn lost(&mut self, source: &'static str, reason: &'static str, lost: i64) {
        let row = Lost {
            source,
            cpu: 3,
            at: self.main.now,
            lost,
            reason,
        };
        let told = self.stage.writer().loss(&row);
        self.keep(told);
    }

    /// Calls that were counted in this second and not stored.
    pub(crate) fn counted_only(&mut self, count: i64, dur: i64) {
        let row = Uncounted {
            op: self.stage.ops.launch,
            pid: JOB,
            at: self.main.now,
            count,
            sum_dur: count * dur,
            min_dur: dur / 2,
            max_dur: 2 * dur,
            sum_arg0: 0,
        };
        self.stage.writer().not_stored(&row);
    }
}

// ---------------------------------------------------------------- NCCL

impl Scene<'_> {
    /// A call of NCCL, of rank 0 of 8.
    fn nccl(&mut self, name: &'static str, bytes: i64, dur: i64) {
        let seq = self.next_collective();
        let mut event = Event::new(op(Source::Nccl, name), self.main.pid, self.main.tid, self.main.now, dur);
        event.rank = Some(Rank {
            rank: 0,
            local: 0,
            world: 8,
        });
        let call = NcclCall {
            comm: COMM,
            seq,
            count: bytes / 4,
            dtype: 7,
            bytes,
            peer: -1,
            rank: 0,
            nranks: 8,
            comm_id: 0,
        };
        self.stage.push(event.args(bytes, 0), Some(Detail::Nccl(call)));
        self.main.now += dur;
    }

    /// A communicator is made.
    pub(crate) fn comm_init(&mut self, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.nccl("ncclCommInitRank", 0, dur);
    }

    /// A collective is queued.
    pub(crate) fn collective(&mut self, bytes: i64, dur: i64) {
        let dur = self.around(dur, JITTER);
        self.nccl("ncclAllReduce", bytes, dur);
    }
}

/// Lengths in milliseconds and seconds, for tables.
pub(crate) const fn ms(n: i64) -> i64 {
    n * MS
}

/// Seconds.
pub(crate) const fn s(n: i64) -> i64 {
    n * SEC
}

//! A scene: an ordinary workload with its background, into which a case plants what it is about.
//!
//! All times of a case are those of the launching thread, `main`. Whatever is planted moves its clock; the
//! other threads, the snapshots of the host and the programs that come and go catch up in [`Scene::tick`].

use super::super::rng::Rng;
use super::super::stage::{EPOCH, Off, Request, Stage, Thread, direction, op};
use crate::trace::catalogue::{Op, Source};
use crate::trace::writer::{Annotation, Event, SnapshotRow, Task, WriteError};
use crate::unit::{Interval, MS, SEC, US};

/// The process that uses the GPU.
pub(crate) const JOB: i64 = 5200;
/// Somebody else's program that may take a CPU.
pub(crate) const NEIGHBOUR: i64 = 6021;
/// The API process of a server.
const API: i64 = 4100;
/// Kernels that the job uses.
const KERNELS: i64 = 24;
/// Launches of a training step, and of the prefill of a request.
const LAUNCHES: i64 = 12;
/// A training step.
const STEP: i64 = 200 * MS;
/// A token of a server.
const TOKEN: i64 = 25 * MS;
/// When the first CUDA call is made; the steady state begins 30 s later.
const FIRST_CALL: i64 = EPOCH + SEC;
/// When start-up is over.
const READY: i64 = EPOCH + 5 * SEC;
/// Until then a case is ordinary; the steady state is a second old.
const SETTLED: i64 = FIRST_CALL + 31 * SEC;

/// What the job does all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// A training loop with two loader workers, in its steady state.
    Training,
    /// The same, at the end of its start-up.
    Starting,
    /// The same as Training, as one rank of eight.
    Rank,
    /// A server under light load, in its steady state.
    Serving,
    /// The same, without CUDA graphs.
    Eager,
    /// No process and no event at all.
    Nothing,
}

impl Base {
    /// Whether it is a server; else it trains.
    fn serves(self) -> bool {
        matches!(self, Self::Serving | Self::Eager)
    }
}

/// The host as its snapshots show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// CPU use, lowest and highest, percent.
    pub(crate) cpu: (i64, i64),
    /// Memory in use, percent.
    pub(crate) mem: i64,
    /// Swap in use, MiB.
    pub(crate) swap: i64,
    /// Load average.
    pub(crate) load: i64,
    /// Cores, of which the file speaks once.
    pub(crate) cores: i64,
}

/// A stage with a workload on it.
#[derive(Debug)]
pub(crate) struct Scene<'w> {
    pub(crate) stage: Stage<'w>,
    pub(crate) base: Base,
    /// The launching thread.
    pub(crate) main: Thread,
    /// Another thread of its process.
    pub(crate) helper: Thread,
    /// Loader workers, or the API process.
    pub(crate) others: Vec<Thread>,
    pub(crate) host: Host,
    /// How long the other threads sleep at a time.
    pub(crate) nap: i64,
    /// Whether something else than the recording ends the story of the main thread: nothing follows.
    pub(crate) over: bool,
    /// Whether the helper wakes up now and then by itself.
    pub(crate) helper_polls: bool,
    /// Log probabilities that the next requests ask for, where they say so.
    pub(crate) logprobs: Option<i64>,
    /// Whom the truth is about.
    pub(crate) whose: i64,
    /// Time of the first uses of kernels, so far.
    pub(crate) first_uses: i64,
    /// Whether every event became a row, and whether the recorder looked at all CPUs.
    pub(crate) record_all: bool,
    rng: Rng,
    launches: i64,
    steps: i64,
    requests: i64,
    collectives: i64,
    programs: i64,
    snapshots: Vec<SnapshotRow>,
    next_snapshot: i64,
    next_program: i64,
    next_kernel: i64,
    trouble: Result<(), WriteError>,
}

impl<'w> Scene<'w> {
    /// The ordinary part that comes before what is planted.
    pub(crate) fn new(mut stage: Stage<'w>, base: Base) -> Result<Self, WriteError> {
        let (name, parent) = if base.serves() {
            ("VLLM::EngineCor", API)
        } else {
            ("python3", 1)
        };
        let born = EPOCH + 100 * MS;
        let mut scene = Self {
            main: actor(&mut stage, base, (JOB, JOB, parent), name, born)?,
            helper: actor(&mut stage, base, (JOB, JOB + 7, parent), "pt_autograd_0", born + SEC)?,
            rng: stage.rng(77),
            stage,
            base,
            others: Vec::new(),
            host: Host {
                cpu: (9, 15),
                mem: 41,
                swap: 0,
                load: 14,
                cores: 16,
            },
            nap: 100 * MS,
            over: false,
            helper_polls: true,
            logprobs: None,
            whose: JOB,
            first_uses: 0,
            record_all: true,
            launches: 0,
            steps: 0,
            requests: 0,
            collectives: 0,
            programs: 0,
            snapshots: Vec::new(),
            next_snapshot: EPOCH + 400 * US,
            next_program: EPOCH + 3 * SEC,
            next_kernel: 101,
            trouble: Ok(()),
        };
        if base != Base::Nothing {
            scene.stage.stranger(NEIGHBOUR, "cc1plus")?;
            scene.start()?;
            while base != Base::Starting && scene.main.now < SETTLED {
                scene.ordinary();
            }
        }
        Ok(scene)
    }

    /// Processes begin, the GPU's context is made, memory filled, kernels loaded, graphs captured.
    fn start(&mut self) -> Result<(), WriteError> {
        let born = self.main.now;
        let exec = self.stage.ops.exec;
        if self.base.serves() {
            let api = self.stage.thread(API, API, 1, "vllm", born - 50 * MS)?;
            self.event(Event::new(exec, API, API, born - 50 * MS, 0).comm("vllm"));
            self.others.push(api);
        }
        self.event(Event::new(exec, JOB, JOB, born, 0).comm(self.main.comm));
        self.main.now = FIRST_CALL;
        self.first_uses = self.stage.cold_start(&mut self.main, KERNELS, 48 * MS);
        if self.base == Base::Rank {
            self.comm_init(700 * MS);
        }
        for w in 0..if self.base.serves() { 0 } else { 2 } {
            let (pid, born) = (JOB + 101 + w, READY - 500 * MS + w * 20 * MS);
            let fork = Event::new(self.stage.ops.fork, JOB, JOB, born, 0).args(0, pid);
            self.event(fork.comm("python3"));
            let worker = self.stage.thread(pid, pid, JOB, "pt_data_worker", born)?;
            self.others.push(worker.beside_the_loop());
        }
        self.main.now = self.main.now.max(READY);
        self.tick();
        Ok(())
    }

    /// One turn of what the job does all day.
    pub(crate) fn ordinary(&mut self) {
        if self.base.serves() {
            self.light_request();
        } else {
            self.step(|_| ());
        }
    }

    /// Does something again and again for so long.
    pub(crate) fn during(&mut self, time: i64, mut turn: impl FnMut(&mut Self)) {
        let until = self.main.now + time;
        while self.main.now < until {
            turn(self);
        }
    }

    /// Ordinary turns for so long.
    pub(crate) fn calm(&mut self, time: i64) {
        self.during(time, Self::ordinary);
    }

    // ------------------------------------------------------------ workloads

    /// A training step of about 200 ms, bound by the GPU: copies of a batch, launches, what is planted, and
    /// one synchronisation for the rest of its time.
    pub(crate) fn step(&mut self, planted: impl FnOnce(&mut Self)) {
        let start = self.main.now;
        let idle = self.around(200 * US, 25);
        self.pass(idle);
        self.copy("cudaMemcpyAsync", direction::H2D, 19 << 20, 30 * US);
        self.launches(LAUNCHES, 300 * US);
        if self.base == Base::Rank {
            self.collective(25 << 20, 30 * US);
        }
        planted(self);
        self.pass(80 * US);
        let end = (start + self.around(STEP, 2)).max(self.main.now + 3 * MS);
        let wait = end - self.main.now - self.rng.between(400 * US, 900 * US);
        self.sync(wait);
        if self.rng.one_in(4) {
            self.off(100 * US, Off::Sleep);
        }
        self.main.now = self.main.now.max(end);
        self.annotate(JOB, start, &[("step", &self.steps.to_string())]);
        self.steps += 1;
        self.tick();
    }

    /// A request that is served at once, and the pause after it.
    pub(crate) fn light_request(&mut self) {
        let start = self.main.now;
        self.serve(128, 40, |_| ());
        let pause = start + self.around(2_300 * MS, 4) - self.main.now;
        self.idle(pause);
    }

    /// Serves a request alone: prefill, what is planted, and `tokens` of decoding.
    pub(crate) fn serve(&mut self, prompt: i64, tokens: i64, planted: impl FnOnce(&mut Self)) {
        let arrival = self.main.now;
        self.receive(arrival, prompt);
        let queued = self.around(4 * MS, 40);
        self.pass(queued);
        let prefill = self.main.now;
        self.launches(LAUNCHES, 300 * US);
        planted(self);
        let wait = self.around(20 * MS, 10);
        self.sync(wait);
        let first = self.main.now;
        for _ in 1..tokens {
            self.token();
        }
        let r = Request {
            id: self.requests,
            prompt,
            output: tokens,
            arrival,
            prefill,
            ttft_ms: (first - arrival) / MS,
            end: self.main.now,
            logprobs: self.logprobs,
        };
        self.annotate_request(&r);
    }

    /// A token, from a graph where there are graphs: queued, waited for, and handed on.
    pub(crate) fn token(&mut self) {
        let start = self.main.now;
        if self.base == Base::Eager {
            self.launches(LAUNCHES, 200 * US);
        } else {
            self.graph_launch(60 * US);
        }
        self.copy("cudaMemcpyAsync", direction::D2H, 8 * 1024, 9 * US);
        let end = start + self.around(TOKEN, 3);
        let wait = end - self.main.now - self.rng.between(300 * US, 500 * US);
        let event_sync = self.stage.ops.event_sync;
        self.stage.call(&mut self.main, event_sync, wait, 0x7f30_0000_0040, 0);
        self.off(90 * US, Off::Sleep);
        self.main.now = self.main.now.max(end);
        self.answer();
        self.tick();
    }

    /// The API process wakes up and sends a token to its client, unless it is at something else.
    fn answer(&mut self) {
        let (now, send) = (self.main.now, self.stage.ops.send);
        let Some(api) = self.others.first_mut().filter(|t| t.now < now) else {
            return;
        };
        self.stage.off_cpu(api, now - api.now, Off::Sleep);
        self.stage.call(api, send, 18 * US, 23, 190);
        api.now += 200 * US;
    }

    /// The thread of the API process computes for so long, from now on.
    pub(crate) fn front_end_computes(&mut self, time: i64) {
        self.answer();
        let until = self.main.now + time;
        self.others[0].now = self.others[0].now.max(until);
    }

    /// The engine has nothing to do and polls.
    pub(crate) fn idle(&mut self, time: i64) {
        let until = self.main.now + time;
        let nap = self.nap;
        self.stage.poll_until(&mut self.main, until, nap, 40 * US);
        self.main.now = self.main.now.max(until);
        self.tick();
    }

    /// The row of the API process that a request arrives with.
    pub(crate) fn receive(&mut self, at: i64, prompt: i64) {
        self.requests += 1;
        let dur = self.around(40 * US, 30);
        let recv = Event::new(self.stage.ops.recv, API, API + 32, at, dur);
        self.event(recv.args(23, 220 + 4 * prompt));
    }

    /// A request as its client sees it, without any work of the engine.
    pub(crate) fn annotate_request(&mut self, r: &Request) {
        let told = self.stage.request(r);
        self.keep(told);
    }

    /// A request that is open over `when`; its first token comes after `wait`. Its work is not played.
    pub(crate) fn open_request(&mut self, prompt: i64, when: Interval, wait: i64) {
        self.receive(when.start, prompt);
        self.annotate_request(&Request {
            id: self.requests,
            prompt,
            output: 64,
            arrival: when.start,
            prefill: when.start + (wait / 10).min(MS),
            ttft_ms: wait / MS,
            end: when.end,
            logprobs: self.logprobs,
        });
    }

    // ------------------------------------------------------------ background

    /// All that goes on beside the main thread, up to its clock.
    pub(crate) fn tick(&mut self) {
        let now = self.main.now;
        let nap = self.nap;
        let helper = self.helper_polls.then_some(&mut self.helper);
        for t in self.others.iter_mut().chain(helper) {
            self.stage.poll_until(t, now, nap, nap / 50);
        }
        while self.next_snapshot < now {
            self.snapshot();
        }
        while self.next_program < now {
            // A cron job or a probe of the host: nobody of the job's tree.
            self.run_program("sh", self.next_program, 12 * MS, 1);
            self.next_program += self.around(11 * SEC, 10);
        }
    }

    fn snapshot(&mut self) {
        let (h, at) = (self.host, self.next_snapshot);
        // The first value of a recorder has no second before it to compare with.
        let cpu = if self.snapshots.is_empty() {
            0
        } else {
            self.rng.between(h.cpu.0 * 10, h.cpu.1 * 10)
        };
        self.snapshots.push(SnapshotRow {
            at,
            cpu_pct: tenths(cpu.min(1000)),
            mem_pct: tenths(h.mem * 10 + self.rng.between(-2, 2)),
            mem_avail_mib: (100 - h.mem) * 320,
            swap_mib: h.swap,
            load: tenths(h.load * 10 + self.rng.between(-3, 3)),
        });
        self.next_snapshot += SEC;
    }

    /// The host was like this from the beginning.
    pub(crate) fn host_was(&mut self, change: impl FnOnce(&mut Host)) {
        change(&mut self.host);
        self.next_snapshot -= SEC * i64::try_from(self.snapshots.len()).unwrap_or(0);
        self.snapshots.clear();
        self.tick();
    }

    /// No snapshot of the host is taken for so long.
    pub(crate) fn without_snapshots(&mut self, time: i64) {
        self.next_snapshot += time - SEC;
    }

    /// A program runs: forked by `parent`, which need not be of the job.
    pub(crate) fn run_program(&mut self, name: &'static str, at: i64, time: i64, parent: i64) -> i64 {
        self.programs += 1;
        let pid = 7_000 + self.programs;
        let ops = self.stage.ops;
        let fork = Event::new(ops.fork, parent, parent, at, 0).args(0, pid);
        self.event(fork);
        self.event(Event::new(ops.exec, pid, pid, at + 300 * US, 0).comm(name));
        self.event(Event::new(op(Source::Process, "process_exit"), pid, pid, at + time, 0).comm(name));
        let task = Task {
            tid: pid,
            pid,
            ppid: parent,
            comm: name,
            start: at,
            exit: at + time,
            traced: false,
        };
        let told = self.stage.writer().task(&task);
        self.keep(told);
        let told = self.stage.writer().process_name(pid, name, at);
        self.keep(told);
        pid
    }

    // ------------------------------------------------------------ for all blocks

    /// A number that is `mid` give or take `percent` of it.
    pub(crate) fn around(&mut self, mid: i64, percent: i64) -> i64 {
        self.rng.around(mid, mid * percent / 100)
    }

    /// Computes for so long, on its CPU and without a call.
    pub(crate) fn pass(&mut self, time: i64) {
        self.main.now += time;
    }

    /// A kernel that was used before.
    pub(crate) fn kernel(&mut self) -> i64 {
        self.launches += 1;
        self.launches % KERNELS
    }

    /// A kernel that was not.
    pub(crate) fn new_kernel(&mut self) -> i64 {
        self.next_kernel += 1;
        self.next_kernel
    }

    /// The number of the next collective.
    pub(crate) fn next_collective(&mut self) -> i64 {
        self.collectives += 1;
        self.collectives
    }

    /// An event of nobody's thread.
    pub(crate) fn event(&mut self, event: Event<'static>) {
        self.stage.push(event, None);
    }

    /// A call of the main thread with a result.
    pub(crate) fn call(&mut self, op: Op, dur: i64, args: (i64, i64), ret: i32) {
        let mut event = Event::new(op, self.main.pid, self.main.tid, self.main.now, dur).args(args.0, args.1);
        event.ret = ret;
        event.cgroup = self.main.cgroup;
        self.event(event);
        self.main.now += dur;
    }

    /// A labelled span from `start` until now.
    pub(crate) fn annotate(&mut self, pid: i64, start: i64, labels: &[(&str, &str)]) {
        let end = self.main.now;
        let row = Annotation {
            pid,
            start,
            end,
            labels,
        };
        let told = self.stage.writer().annotation(&row);
        self.keep(told);
    }

    /// Remembers the first thing that could not be written.
    pub(crate) fn keep(&mut self, told: Result<(), WriteError>) {
        if self.trouble.is_ok() {
            self.trouble = told;
        }
    }

    /// Ends the story: an ordinary second, unless nothing can follow. Returns when it ended.
    pub(crate) fn end(&mut self) -> Result<i64, WriteError> {
        if !self.over {
            self.calm(SEC);
        }
        self.stage.flush()?;
        for row in &self.snapshots {
            self.stage.writer().snapshot(row)?;
        }
        std::mem::replace(&mut self.trouble, Ok(()))?;
        Ok(self.main.now)
    }
}

/// A thread of the job; without a job nobody comes onto the stage.
fn actor(
    stage: &mut Stage<'_>,
    base: Base,
    (pid, tid, parent): (i64, i64, i64),
    name: &'static str,
    born: i64,
) -> Result<Thread, WriteError> {
    if base == Base::Nothing {
        return Ok(stage.nobody(born));
    }
    stage.thread(pid, tid, parent, name, born)
}

fn tenths(v: i64) -> f64 {
    f64::from(i32::try_from(v).unwrap_or(i32::MAX)) / 10.0
}

//! Scenarios of a training job: one process that launches, and workers that load data.

use super::Length;
use super::rng::Rng;
use super::stage::{EPOCH, Off, Stage, Thread, direction};
use crate::trace::writer::{Annotation, Event, WriteError};
use crate::unit::{MS, SEC, US};

const JOB: i64 = 5200;
const WORKERS: i64 = 4;
const KERNELS: i64 = 24;
const NEIGHBOUR: i64 = 6021;
/// When the first step begins.
const READY: i64 = 5 * SEC;
const STEP: i64 = 100 * MS;
const MIB: i64 = 1 << 20;

struct Job {
    main: Thread,
    workers: Vec<Thread>,
    rng: Rng,
    step: i64,
    launches: i64,
    /// Where the story stands.
    at: i64,
}

/// How a step spends its time.
#[derive(Clone, Copy)]
struct Shape {
    launches: i64,
    /// Median length of a launch.
    launch: i64,
    /// Time from one launch to the next.
    spacing: i64,
    /// Copies from pageable memory.
    pageable: i64,
    /// Waits on the run queue, one in four of them between calls.
    waits: i64,
}

const ORDINARY: Shape = Shape {
    launches: KERNELS,
    launch: 12 * US,
    spacing: 90 * US,
    pageable: 0,
    waits: 0,
};

impl Job {
    fn start(stage: &mut Stage<'_>) -> Result<Self, WriteError> {
        let at = EPOCH + 100 * MS;
        let main = stage.thread(JOB, JOB, 1, "python3", at)?;
        stage.push(Event::new(stage.ops.exec, JOB, JOB, at, 0).comm("python3"), None);
        let mut job = Self {
            main,
            workers: Vec::new(),
            rng: stage.rng(1),
            step: 0,
            launches: 0,
            at: EPOCH + READY,
        };
        job.main.now = EPOCH + SEC;
        stage.cold_start(&mut job.main, KERNELS, 48 * MS);
        for w in 0..WORKERS {
            let pid = JOB + 101 + w;
            let born = EPOCH + READY - 400 * MS + w * 20 * MS;
            // Workers are forked and do not exec.
            let fork = Event::new(stage.ops.fork, JOB, JOB, born, 0).args(0, pid);
            stage.push(fork.comm("python3"), None);
            let worker = stage.thread(pid, pid, JOB, "pt_data_worker", born)?.beside_the_loop();
            job.workers.push(worker);
        }
        Ok(job)
    }

    /// Ends a step at `end`: its annotation, and what the workers did meanwhile.
    fn end_step(&mut self, stage: &mut Stage<'_>, end: i64) -> Result<(), WriteError> {
        let step = self.step.to_string();
        stage.writer().annotation(&Annotation {
            pid: JOB,
            start: self.at,
            end,
            labels: &[("step", &step)],
        })?;
        self.step += 1;
        self.at = end;
        self.main.now = self.main.now.max(end);
        for w in &mut self.workers {
            // A batch takes about 8 ms to prepare and one in four is this worker's.
            stage.poll_until(w, end, 92 * MS, 8 * MS);
        }
        stage.flush_until(end - 150 * MS)
    }

    /// A step of about 100 ms that ends in one synchronisation.
    fn step(&mut self, stage: &mut Stage<'_>, shape: Shape) -> Result<(), WriteError> {
        let start = self.at;
        let t = &mut self.main;
        t.now = start + 200 * US;
        for _ in 0..shape.pageable {
            // 8 to 10 GB/s.
            let dur = t.draw(8 * MIB / 10, 8 * MIB / 8);
            stage.copy(t, 8 * MIB, direction::H2D, dur, 0);
            t.now += 60 * US;
        }
        if shape.pageable == 0 {
            for bytes in [19 * MIB, 4096] {
                // Page-locked: the call only queues the copy.
                let dur = t.draw(9 * US, 42 * US);
                stage.copy(t, bytes, direction::H2D, dur, 13);
                t.now += 40 * US;
            }
        }
        let first = t.now;
        for i in 0..shape.launches {
            t.now = t.now.max(first + i * shape.spacing);
            let kernel = self.launches % KERNELS;
            self.launches += 1;
            let wait = (i + 1) * shape.waits / shape.launches > i * shape.waits / shape.launches;
            let off = self.rng.around(4 * MS, MS);
            let why = if self.rng.one_in(2) {
                Off::Preempted(NEIGHBOUR)
            } else {
                Off::WokenEarly(15 * US, NEIGHBOUR)
            };
            if wait && i % 4 == 3 {
                stage.off_cpu(t, off, why);
                t.now += 10 * US;
            } else if wait {
                stage.launch_around(t, kernel | 1, 25 * US, (off, why), 35 * US);
                continue;
            }
            let dur = self.rng.log_normal(shape.launch, 0.15);
            stage.launch(t, kernel, dur);
        }
        t.now += 80 * US;
        let end = (start + STEP).max(t.now + 3 * MS);
        let wait = end - t.now - self.rng.between(400 * US, 900 * US);
        stage.call(t, stage.ops.stream_sync, wait, 0, 0);
        self.end_step(stage, end)
    }

    /// Steps until the clock says `until`.
    fn steps_until(&mut self, stage: &mut Stage<'_>, until: i64, shape: Shape) -> Result<(), WriteError> {
        while self.at < until {
            self.step(stage, shape)?;
        }
        Ok(())
    }
}

pub(crate) fn healthy(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut job = Job::start(stage)?;
    let stop = EPOCH + READY + (95 + length.extra_s) * SEC;
    job.steps_until(stage, stop, ORDINARY)?;
    stage.snapshots(EPOCH, stop, (9, 15), 14)?;
    let note = "bound by the GPU: every step ends in one long synchronisation";
    stage.truth("healthy", "", &job.main, (EPOCH + READY, stop), 0, note)?;
    Ok(stop)
}

pub(crate) fn cpu_contention(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    stage.stranger(NEIGHBOUR, "cc1plus")?;
    let mut job = Job::start(stage)?;
    let begin = EPOCH + READY + (40 + length.extra_s) * SEC;
    let stop = begin + 20 * SEC;
    let calm = Shape {
        launches: 72,
        launch: 70 * US,
        spacing: 950 * US,
        ..ORDINARY
    };
    job.steps_until(stage, begin, calm)?;
    let contended = Shape { waits: 4, ..calm };
    let from = job.at;
    let mut n = 0;
    while job.at < stop {
        let waits = if n % 2 == 0 { 4 } else { 5 };
        job.step(stage, Shape { waits, ..contended })?;
        n += 1;
    }
    stage.snapshots(EPOCH, begin, (28, 40), 12)?;
    stage.snapshots(begin, stop, (93, 100), 74)?;
    let when = (from, job.at);
    let note = "cc1plus (6021), outside the job's tree, holds the core for about 4 ms at a time; value: its pid";
    stage.truth("cause", "NOISY_NEIGHBOUR", &job.main, when, NEIGHBOUR, note)?;
    let note = "most of those waits lie inside a cudaLaunchKernel";
    stage.truth("cause", "LAUNCH_TAIL_CONTENTION", &job.main, when, 4 * MS, note)?;
    let note = "the preemptor is not of the job's own tree";
    stage.truth("twin", "CPU_OVERSUBSCRIPTION", &job.main, when, 0, note)?;
    Ok(job.at)
}

pub(crate) fn pageable_copy(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut job = Job::start(stage)?;
    let stop = EPOCH + READY + (90 + length.extra_s) * SEC;
    let shape = Shape {
        pageable: 16,
        ..ORDINARY
    };
    job.steps_until(stage, stop, shape)?;
    stage.snapshots(EPOCH, stop, (14, 22), 16)?;
    let when = (EPOCH + READY, job.at);
    let note = "16 copies of 8 MiB a step, each blocks for 0.84 to 1.05 ms; value: bytes of one";
    stage.truth("cause", "PAGEABLE_COPY", &job.main, when, 8 * MIB, note)?;
    Ok(job.at)
}

pub(crate) fn sync_bound(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut job = Job::start(stage)?;
    let begin = EPOCH + READY + (32 + length.extra_s) * SEC;
    job.steps_until(stage, begin, ORDINARY)?;
    let from = job.at;
    let mut syncs = 0;
    for _ in 0..37 {
        let t = &mut job.main;
        t.now = job.at + 200 * US;
        stage.copy(t, 19 * MIB, direction::H2D, 30 * US, 13);
        for _ in 0..200 {
            for _ in 0..20 {
                let kernel = (job.launches % KERNELS) | 1;
                job.launches += 1;
                let dur = job.rng.around(7 * US, US);
                stage.launch(t, kernel, dur);
                t.now += job.rng.around(25 * US, 4 * US);
            }
            let wait = job.rng.around(400 * US, 30 * US);
            stage.call(t, stage.ops.stream_sync, wait, 0, 0);
            t.now += job.rng.around(300 * US, 20 * US);
            syncs += 1;
        }
        let end = t.now + 20 * MS;
        job.end_step(stage, end)?;
    }
    stage.snapshots(EPOCH, begin, (9, 15), 14)?;
    stage.snapshots(begin, job.at, (10, 17), 15)?;
    let note =
        "200 synchronisations a step, each drains the queue and is followed by 0.3 ms without work; value: syncs";
    stage.truth("cause", "SYNC_BOUND", &job.main, (from, job.at), syncs, note)?;
    Ok(job.at)
}

pub(crate) fn launch_queue_full(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut job = Job::start(stage)?;
    let begin = EPOCH + READY + (32 + length.extra_s) * SEC;
    job.steps_until(stage, begin, ORDINARY)?;
    let from = job.at;
    let mut plateau = (from, from);
    for _ in 0..6 {
        let t = &mut job.main;
        t.now = job.at + 200 * US;
        for i in 0..10_000 {
            if i == 1_000 {
                plateau.0 = t.now;
            }
            let kernel = (job.launches % KERNELS) | 1;
            job.launches += 1;
            let dur = if i < 1_000 {
                job.rng.around(6 * US, US)
            } else {
                job.rng.around(190 * US, 15 * US)
            };
            stage.launch(t, kernel, dur);
            t.now += 3 * US;
        }
        plateau.1 = t.now;
        // What the queue still holds: about a thousand kernels.
        stage.call(t, stage.ops.device_sync, 193 * MS, 0, 0);
        let end = t.now + MS;
        job.end_step(stage, end)?;
    }
    stage.snapshots(EPOCH, job.at, (9, 15), 14)?;
    let note = "the queue is full: launches take as long as a kernel; value: ns of one";
    stage.truth(
        "cause",
        "LAUNCH_QUEUE_FULL",
        &job.main,
        (from, plateau.1),
        190 * US,
        note,
    )?;
    let note = "no off-CPU time in any launch";
    stage.truth("twin", "LAUNCH_TAIL_CONTENTION", &job.main, (from, plateau.1), 0, note)?;
    Ok(job.at)
}

//! Scenarios of a vLLM-like server: an API process and an engine process of several threads.

use super::Length;
use super::rng::Rng;
use super::stage::{EPOCH, Off, Request, Stage, Thread, direction};
use crate::trace::writer::{Event, TruthRow, WriteError};
use crate::unit::{Interval, MS, SEC, US};

const API: i64 = 4100;
const ENGINE: i64 = 4211;
const NEIGHBOUR: i64 = 6021;
/// Kernels that every request uses.
const KERNELS: i64 = 40;
/// Launches of one engine step, that is of one token of every running request.
const STEP: i64 = 26;
/// cudaLaunchKernel calls per second under load.
const RATE: i64 = 1_051;
/// When the first requests come.
const READY: i64 = 7 * SEC;
const LIGHT: i64 = 128;
/// How long the launching thread is off CPU between two calls.
const STALL: i64 = 2_500 * MS;
const SLOW: i64 = 356 * MS;
/// Part of the slow launch that is spent off CPU.
const SLOW_OFF: i64 = 330 * MS;
/// Launches of the incident that take about 444 µs.
const TAILS: i64 = 600;
/// Context switches of the story at its default length.
const SWITCHES: i64 = 24_347;
/// Pages allocated in the incident.
const PAGES: i64 = 43_606;

/// Where the engine's off-CPU time lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stint {
    /// Inside the slow calls of the launching thread, which stays runnable.
    Inside,
    /// On the launching thread, ending 1 ms before each slow call.
    Beside,
    /// On a helper thread, at the time of the slow calls.
    OtherThread,
    /// Inside the slow calls, but asleep.
    Asleep,
}

/// A server with its threads.
struct Server {
    api: Thread,
    api_io: Thread,
    engine: Thread,
    engine_io: Thread,
    output: Thread,
    events: Thread,
    rng: Rng,
    launches: i64,
    steps: i64,
    requests: i64,
    /// Context switches that should have happened by a time: `from`, `to`, and the total at `to`.
    budget: Option<(i64, i64, i64)>,
}

impl Server {
    /// Starts both processes: exec, imports, context, weights, first launches, graph capture.
    fn start(stage: &mut Stage<'_>) -> Result<Self, WriteError> {
        let at = EPOCH + 100 * MS;
        let mut api = stage.thread(API, API, 1, "vllm", at)?;
        stage.push(Event::new(stage.ops.exec, API, API, at, 0).comm("vllm"), None);
        let api_io = stage.thread(API, API + 31, 1, "ZMQbg/IO/0", at + 600 * MS)?;
        stage.spawn(&mut api, ENGINE, "VLLM::EngineCor", at + 900 * MS);
        let born = at + 901 * MS;
        let mut server = Self {
            api,
            api_io,
            engine: stage.thread(ENGINE, ENGINE, API, "VLLM::EngineCor", born)?,
            engine_io: stage.thread(ENGINE, ENGINE + 49, API, "ZMQbg/IO/0", born + SEC)?,
            output: stage.thread(ENGINE, ENGINE + 50, API, "output_handler", born + SEC)?,
            events: stage.thread(ENGINE, ENGINE + 52, API, "cuda-EvtHandlr", born + 2_100 * MS)?,
            rng: stage.rng(1),
            launches: 0,
            steps: 0,
            requests: 0,
            budget: None,
        };
        let t = &mut server.engine;
        while t.now < EPOCH + 2_900 * MS {
            let dur = server.rng.log_normal(900 * US, 0.8);
            let read = Event::new(stage.ops.block_read, t.pid, t.tid, t.now + 10 * US, dur);
            stage.push(read.args(256, 8 * t.now.rem_euclid(1 << 30)), None);
            stage.off_cpu(t, dur + 30 * US, Off::Io);
            t.now += server.rng.around(40 * MS, 10 * MS);
        }
        t.now = EPOCH + 3 * SEC;
        stage.cold_start(t, KERNELS, 60 * MS);
        Ok(server)
    }

    /// A token: copied to the host, waited for, and handed to the API process.
    fn step(&mut self, stage: &mut Stage<'_>, client_open: bool) {
        let t = &mut self.engine;
        stage.copy(t, 8 * 1024, direction::D2H, self.rng.around(9 * US, US), 7);
        let wait = self.rng.log_normal(220 * US, 0.3).min(480 * US);
        stage.call(t, stage.ops.event_sync, wait, 0x7f30_0000_0040, 0);
        let nap = self.rng.around(90 * US, 30 * US);
        stage.off_cpu(t, nap, Off::Sleep);
        if self.steps % 4 == 0 {
            let dur = self.rng.around(62 * US, 8 * US);
            stage.graph_launch(t, self.steps / 4 % 6, dur);
        }
        self.steps += 1;
        // The other threads pass the token on, each after a sleep of about one step.
        let at = t.now;
        for t in [&mut self.output, &mut self.api_io, &mut self.api] {
            let sleep = (at - t.now - t.draw(20 * US, 60 * US)).min(95 * MS);
            if sleep > 200 * US {
                stage.off_cpu(t, sleep, Off::Sleep);
            }
            t.now = t.now.max(at) + 20 * US;
        }
        if client_open {
            let api = &mut self.api;
            let dur = self.rng.around(18 * US, 6 * US);
            stage.call(api, stage.ops.send, dur, 23, 190 + self.steps % 64);
        }
    }

    /// Launches at `rate`/s from `from` to `until`, in steps of 26. `tails` of them take about
    /// 444 µs; in a preempted stretch the thread loses its CPU `preemptions` times between calls.
    fn serve(&mut self, stage: &mut Stage<'_>, s: Stretch) -> Result<(), WriteError> {
        let n = s.launches;
        let span = s.until - s.from;
        for i in 0..n {
            let slot = s.from + i * span / n;
            let t = &mut self.engine;
            t.now = t.now.max(slot + self.rng.between(0, span / n / 5));
            if falls_on(i, s.preemptions, n) {
                let dur = self.rng.around(10 * MS, 2 * MS);
                stage.off_cpu(t, dur, Off::Preempted(NEIGHBOUR));
                t.now += 5 * US;
            }
            // Kernel 0 is also seen at the driver; a tail launch uses another.
            let kernel = self.launches % KERNELS;
            self.launches += 1;
            let tail = falls_on(i, s.tails, n);
            if let (true, Some(stint)) = (tail, s.stint) {
                self.tail_launch(stage, stint, kernel | 1);
            } else {
                let dur = self.rng.log_normal(70 * US, 0.11);
                stage.launch(t, kernel, dur);
            }
            if self.launches % STEP == 0 {
                self.step(stage, s.client_open);
            }
            if i % 512 == 511 {
                let now = self.engine.now;
                self.background(stage, now)?;
            }
        }
        self.engine.now = self.engine.now.max(s.until);
        self.background(stage, s.until)
    }

    /// One launch of about 444 µs.
    fn tail_launch(&mut self, stage: &mut Stage<'_>, stint: Stint, kernel: i64) {
        let total = self.rng.around(444 * US, 24 * US);
        let off = total - self.rng.around(72 * US, 4 * US);
        let t = &mut self.engine;
        match stint {
            Stint::Inside => stage.launch_around(
                t,
                kernel,
                20 * US,
                (off, Off::Preempted(NEIGHBOUR)),
                total - off - 20 * US,
            ),
            Stint::Asleep => stage.launch_around(t, kernel, 20 * US, (off, Off::Sleep), total - off - 20 * US),
            Stint::Beside => {
                stage.off_cpu(t, off, Off::Preempted(NEIGHBOUR));
                t.now += MS;
                stage.launch(t, kernel, total);
            }
            Stint::OtherThread => {
                let helper = &mut self.engine_io;
                if helper.now < t.now {
                    helper.now = t.now + 20 * US;
                    stage.off_cpu(helper, off, Off::Preempted(NEIGHBOUR));
                }
                stage.launch(t, kernel, total);
            }
        }
    }

    /// Lets the threads that only wait catch up, and writes what is complete.
    fn background(&mut self, stage: &mut Stage<'_>, until: i64) -> Result<(), WriteError> {
        stage.poll_until(&mut self.events, until, 100 * MS, 15 * US);
        stage.poll_until(&mut self.api, until, 100 * MS, 60 * US);
        if let Some((from, to, total)) = self.budget {
            let so_far = i64::try_from(stage.switches).unwrap_or(i64::MAX);
            let goal = if until >= to {
                total
            } else {
                i64::try_from(i128::from(total) * i128::from(until - from) / i128::from(to - from)).unwrap_or(total)
            };
            let t = &mut self.engine_io;
            let n = goal - so_far;
            // It is awake for a fifth of the time, and each nap is one switch.
            let each = (until - t.now) / n.max(1);
            if n > 0 && each > 20 * US {
                for _ in 0..n {
                    let next = t.now + each;
                    let dur = t.draw(each * 6 / 10, each * 9 / 10);
                    stage.off_cpu(t, dur, Off::Sleep);
                    t.now = next;
                }
            }
        }
        stage.flush_until(until.min(self.output.now) - 100 * MS)
    }

    /// A light request that is served at once; returns when its client has all tokens.
    fn light(&mut self, stage: &mut Stage<'_>, arrival: i64, output: i64, end: i64) -> Result<(), WriteError> {
        self.requests += 1;
        let ttft_ms = self.rng.between(24, 58);
        let prefill = arrival + self.rng.between(2 * MS, 8 * MS);
        stage.request(&Request {
            id: self.requests,
            prompt: LIGHT,
            output,
            arrival,
            prefill,
            ttft_ms,
            end,
            logprobs: None,
        })?;
        self.receive(stage, arrival, LIGHT);
        Ok(())
    }

    /// The row of the API process that a request arrives with.
    fn receive(&mut self, stage: &mut Stage<'_>, arrival: i64, prompt: i64) {
        let dur = self.rng.around(40 * US, 15 * US);
        let io = &self.api_io;
        let event = Event::new(stage.ops.recv, io.pid, API + 32, arrival, dur);
        stage.push(event.args(23, 220 + 4 * prompt), None);
    }
}

/// A stretch of engine work.
#[derive(Clone, Copy)]
struct Stretch {
    from: i64,
    until: i64,
    launches: i64,
    tails: i64,
    preemptions: i64,
    stint: Option<Stint>,
    client_open: bool,
}

impl Stretch {
    fn new(from: i64, until: i64, launches: i64) -> Self {
        Self {
            from,
            until,
            launches,
            tails: 0,
            preemptions: 0,
            stint: None,
            client_open: true,
        }
    }
}

/// Whether one of `k` evenly spread things falls on the `i`-th of `n` places; none on the last.
fn falls_on(i: i64, k: i64, n: i64) -> bool {
    (k * (i + 1) + n / 2) / n > (k * i + n / 2) / n
}

pub(crate) fn hol_blocking(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    incident(stage, length, Stint::Inside)
}

pub(crate) fn twin_beside(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    incident(stage, length, Stint::Beside)
}

pub(crate) fn twin_thread(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    incident(stage, length, Stint::OtherThread)
}

pub(crate) fn twin_sleep(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    incident(stage, length, Stint::Asleep)
}

fn incident(stage: &mut Stage<'_>, length: Length, stint: Stint) -> Result<i64, WriteError> {
    stage.stranger(NEIGHBOUR, "cc1plus")?;
    let mut server = Server::start(stage)?;
    let ready = EPOCH + READY;
    // The incident begins at a whole second, after 35 s of light traffic.
    let begin = ready + (35 + length.extra_s) * SEC;
    let stop = begin + 15 * SEC;
    server.budget = Some((EPOCH, stop, SWITCHES + length.extra_s * 420));
    server.background(stage, ready)?;

    // Light traffic. One request is being served at any time, two briefly.
    let mut next = ready;
    let mut second = ready;
    while second < begin {
        while next < second + SEC {
            let end = if next + 2_400 * MS > begin {
                begin + 12_400 * MS
            } else {
                next + 2_360 * MS
            };
            server.light(stage, next, 90, end)?;
            next += 2_300 * MS;
        }
        // Traffic picks up; from then on the engine launches at its full rate.
        let rate = if second < ready + 15 * SEC { RATE / 2 } else { RATE };
        server.serve(stage, Stretch::new(second, second + SEC, rate))?;
        second += SEC;
    }
    stage.snapshots(EPOCH, begin + SEC, (34, 46), 18)?;
    stage.snapshots(begin + SEC, begin + 11 * SEC, (95, 100), 92)?;
    stage.snapshots(begin + 11 * SEC, stop, (36, 50), 61)?;

    six_requests(stage, &mut server, begin, stint)?;
    let (stall, slow) = busy_engine(stage, &mut server, begin, stint)?;
    for s in 0..11 {
        let pages = PAGES / 11 + i64::from(s == 0) * (PAGES % 11);
        stage.page_allocs(ENGINE, begin + s * SEC, pages);
    }

    // Back to light traffic.
    for (offset, length) in [(12_100, 1_450), (13_450, 1_500)] {
        let arrival = begin + offset * MS;
        server.light(stage, arrival, 76, arrival + length * MS)?;
    }
    let mut second = begin + 12 * SEC;
    while second < stop {
        server.serve(stage, Stretch::new(second, second + SEC, RATE))?;
        second += SEC;
    }
    planted(stage, &server, stint, begin, stall, slow, stop)?;
    Ok(stop)
}

/// Six requests within 40 ms.
fn six_requests(stage: &mut Stage<'_>, server: &mut Server, begin: i64, stint: Stint) -> Result<(), WriteError> {
    // (arrival ms, prompt, start of prefill ms, first token ms, last token ms), all from `begin`.
    let heavy = match stint {
        Stint::Inside | Stint::OtherThread => 2_048,
        Stint::Beside => LIGHT,
        Stint::Asleep => 2 * LIGHT,
    };
    let mut plan = [
        (0, heavy, 4, 2_480, 13_900),
        (8, heavy, 2_481, 7_460, 14_100),
        (16, heavy, 7_461, 9_240, 14_300),
        (24, heavy, 9_241, 10_950, 14_500),
        (32, LIGHT, 10_951, 11_080, 12_900),
        (40, LIGHT, 11_000, 11_120, 12_950),
    ];
    if stint == Stint::OtherThread {
        // The short ones are first in time, and still served last.
        for (r, arrival) in plan.iter_mut().zip([16, 24, 32, 40, 0, 8]) {
            r.0 = arrival;
        }
    }
    for (arrival, prompt, prefill, first, last) in plan {
        server.requests += 1;
        let at = begin + arrival * MS;
        stage.request(&Request {
            id: server.requests,
            prompt,
            output: 64,
            arrival: at,
            prefill: begin + prefill.max(arrival + 1) * MS,
            ttft_ms: first - arrival,
            end: begin + last * MS,
            logprobs: None,
        })?;
        server.receive(stage, at, prompt);
        if prompt == LIGHT && first > 11_000 {
            let (kind, note) = match stint {
                Stint::Inside => ("cause", "a light request waits behind four of 16 times its prompt"),
                Stint::Beside => ("twin", "waits as long, but all requests are of its size"),
                Stint::OtherThread => ("twin", "waits as long, but the heavier ones arrived later"),
                Stint::Asleep => ("twin", "waits as long, but the others have only twice its prompt"),
            };
            stage.writer().truth(&TruthRow {
                kind,
                rule: "HOL_BLOCKING",
                pid: 0,
                tid: 0,
                start: at,
                end: begin + first * MS,
                value: (first - arrival) * MS,
                note: format!("req-{:04}: {note}", server.requests),
            })?;
        }
    }
    Ok(())
}

/// The twelve seconds from the arrival of the six. Returns the stall and the slow launch.
fn busy_engine(
    stage: &mut Stage<'_>,
    server: &mut Server,
    begin: i64,
    stint: Stint,
) -> Result<(Interval, Interval), WriteError> {
    let ms = |v: i64| begin + v * MS;
    let run = |stage: &mut Stage<'_>, server: &mut Server, from, until, launches, tails, preemptions| {
        let mut s = Stretch::new(ms(from), ms(until), launches);
        s.tails = tails;
        s.stint = Some(stint);
        if matches!(stint, Stint::Inside | Stint::Beside) {
            s.preemptions = preemptions;
        }
        server.serve(stage, s)
    };
    let kernel = 5;
    let slow_at;
    let stall;
    let off = SLOW_OFF;
    for second in 0..3 {
        run(stage, server, second * 1000, second * 1000 + 1000, RATE, 90, 0)?;
    }
    if stint == Stint::OtherThread {
        for (from, until, n) in [(3_000, 4_000, RATE), (4_000, 5_000, RATE), (5_000, 6_000, RATE)] {
            run(stage, server, from, until, n, 10, 0)?;
        }
        // The helper is off CPU from here on, all through the slow launch, while the launching
        // thread goes on.
        let helper = &mut server.engine_io;
        let at = helper.now;
        stage.off_cpu(helper, STALL, Off::Preempted(NEIGHBOUR));
        stall = Interval::new(at, at + STALL);
        run(stage, server, 6_000, 6_800, RATE * 8 / 10, 0, 0)?;
        let t = &mut server.engine;
        t.now = t.now.max(ms(6_800));
        slow_at = t.now;
        stage.launch(t, kernel, SLOW);
        run(stage, server, 7_156, 8_000, RATE * 844 / 1000, 10, 0)?;
    } else {
        run(stage, server, 3_000, 4_000, 400, 10, 25)?;
        let why = match stint {
            Stint::Asleep => Off::Sleep,
            _ => Off::Preempted(NEIGHBOUR),
        };
        let beside = stint == Stint::Beside;
        let (stall_ms, before) = if beside { (4_299, 240) } else { (4_250, 200) };
        run(stage, server, 4_000, stall_ms, before, 4, 0)?;
        let t = &mut server.engine;
        t.now = t.now.max(ms(stall_ms));
        stall = Interval::new(t.now, t.now + STALL);
        stage.off_cpu(t, STALL, why);
        if !beside {
            run(stage, server, 6_751, 6_800, 40, 2, 0)?;
        }
        let t = &mut server.engine;
        t.now = if beside { stall.end + MS } else { t.now.max(ms(6_800)) };
        slow_at = t.now;
        if beside {
            stage.launch(t, kernel, SLOW);
        } else {
            stage.launch_around(t, kernel, 13 * MS, (off, why), SLOW - off - 13 * MS);
        }
        run(stage, server, 7_156, 8_000, 399, 10, 20)?;
    }
    for second in 8..11 {
        run(stage, server, second * 1000, second * 1000 + 1000, RATE, 90, 0)?;
    }
    let given = if stint == Stint::OtherThread {
        580
    } else if stint == Stint::Beside {
        564
    } else {
        566
    };
    run(stage, server, 11_000, 12_000, RATE, TAILS - given, 0)?;
    Ok((stall, Interval::new(slow_at, slow_at + SLOW)))
}

/// What is true of the incident.
fn planted(
    stage: &mut Stage<'_>,
    server: &Server,
    stint: Stint,
    begin: i64,
    stall: Interval,
    slow: Interval,
    stop: i64,
) -> Result<(), WriteError> {
    let engine = &server.engine;
    let (stall, slow) = ((stall.start, stall.end), (slow.start, slow.end));
    let slump = (begin + 3 * SEC, begin + 8 * SEC);
    let (kind, what) = match stint {
        Stint::Inside => (
            "cause",
            "330 ms of this launch the thread waited for the CPU that cc1plus held",
        ),
        Stint::Beside => ("twin", "a launch of 356 ms; the stint off CPU ends 1 ms before it"),
        Stint::OtherThread => (
            "twin",
            "a launch of 356 ms; a helper thread, not this one, is off CPU all through it",
        ),
        Stint::Asleep => ("twin", "a launch of 356 ms; 330 ms of it are a voluntary sleep"),
    };
    stage.truth(kind, "LAUNCH_TAIL_CONTENTION", engine, slow, SLOW, what)?;
    match stint {
        Stint::Inside | Stint::Beside => {
            let note = "the launching thread is runnable and preempted by cc1plus while requests are open";
            stage.truth("cause", "ENGINE_STALL", engine, stall, STALL, note)?;
            let note = match stint {
                Stint::Inside => "1,051/s before, 208/s on average in these 5 s, with requests open",
                _ => "1,051/s before, 207/s on average in these 5 s, with requests open",
            };
            stage.truth("symptom", "LAUNCH_RATE_COLLAPSE", engine, slump, 208, note)?;
            let note = "cc1plus (6021), outside the server's tree, holds the CPU meanwhile";
            stage.truth("cause", "NOISY_NEIGHBOUR", engine, slump, NEIGHBOUR, note)?;
        }
        Stint::Asleep => {
            let note = "the launching thread sleeps while requests are open";
            stage.truth("cause", "ENGINE_STALL", engine, stall, STALL, note)?;
            let note = "launches fall to 208/s, but nothing took the CPU away";
            stage.truth("twin", "LAUNCH_RATE_COLLAPSE", engine, slump, 208, note)?;
            stage.truth("twin", "NOISY_NEIGHBOUR", engine, slump, 0, note)?;
        }
        Stint::OtherThread => {
            let note = "a helper thread is preempted for 2.5 s; launches go on";
            stage.truth("twin", "ENGINE_STALL", &server.engine_io, stall, STALL, note)?;
            stage.truth("twin", "NOISY_NEIGHBOUR", engine, slump, 0, note)?;
        }
    }
    if stint == Stint::Beside {
        stage.writer().truth(&TruthRow {
            kind: "symptom",
            rule: "SLOW_FIRST_TOKEN",
            pid: 0,
            tid: 0,
            start: begin,
            end: begin + 11 * SEC,
            value: 6,
            note: "six requests of one size wait seconds for their first token, the others 51 ms".to_owned(),
        })?;
    }
    let switches = i64::try_from(stage.switches).unwrap_or(i64::MAX);
    let note = "context switches in the trace, nearly all of them short voluntary sleeps";
    stage.truth("note", "", engine, (EPOCH, stop), switches, note)?;
    let note = "page allocations in the incident, in aggregates only";
    stage.truth(
        "note",
        "PAGE_ALLOC_STORM",
        engine,
        (begin, begin + 11 * SEC),
        PAGES,
        note,
    )
}

/// Light traffic with pauses; returns the time when it stopped.
fn light_traffic(stage: &mut Stage<'_>, server: &mut Server, from: i64, seconds: i64) -> Result<i64, WriteError> {
    let mut at = from;
    let stop = from + seconds * SEC;
    while at + 2_300 * MS < stop {
        let end = at + 1_400 * MS + server.rng.between(0, 200 * MS);
        server.light(stage, at, 32, end)?;
        server.serve(stage, Stretch::new(at, end, (end - at) / MS * 600 / 1000))?;
        at += server.rng.around(2_300 * MS, 100 * MS);
        server.background(stage, at)?;
    }
    Ok(at)
}

pub(crate) fn healthy(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut server = Server::start(stage)?;
    let ready = EPOCH + READY;
    server.background(stage, ready)?;
    let seconds = 92 + length.extra_s;
    let stop = light_traffic(stage, &mut server, ready, seconds)?;
    stage.snapshots(EPOCH, stop, (6, 14), 11)?;
    let note = "light load, every request is served at once";
    stage.truth("healthy", "", &server.engine, (ready, stop), 0, note)?;
    Ok(stop)
}

pub(crate) fn lazy_load(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let mut server = Server::start(stage)?;
    let ready = EPOCH + READY;
    server.background(stage, ready)?;
    let begin = light_traffic(stage, &mut server, ready, 36 + length.extra_s)?;

    // A request of a new shape: 40 kernels that were never launched before.
    server.requests += 1;
    let id = server.requests;
    server.receive(stage, begin, 640);
    let mut first_uses = 0;
    let mut longest = (begin, begin, 0);
    let t = &mut server.engine;
    t.now = begin + 6 * MS;
    let started = t.now;
    for k in 0..40 {
        let dur = match k {
            7 => 71 * MS,
            _ => server.rng.log_normal(9 * MS, 1.1).clamp(1_100 * US, 60 * MS),
        };
        if dur > longest.2 {
            longest = (t.now, t.now + dur, dur);
        }
        stage.launch(t, 101 + 2 * k, dur);
        first_uses += dur;
        for _ in 0..3 {
            t.now += 60 * US;
            let dur = server.rng.around(20 * US, 3 * US);
            stage.launch(t, 101 + 2 * k, dur);
        }
        t.now += 200 * US;
    }
    let ended = t.now;
    let wait = t.draw(2 * MS, 3 * MS);
    stage.call(t, stage.ops.event_sync, wait, 0x7f30_0000_0040, 0);
    let ttft_ms = (t.now - begin) / MS + 1;
    let mut at = begin + ttft_ms * MS;
    // Decoding repeats the new kernels.
    for i in 0..960 {
        t.now = at + i * 1_500 * US;
        let dur = server.rng.around(20 * US, 3 * US);
        stage.launch(t, 101 + 2 * (i % 40), dur);
    }
    at += 1_500 * MS;
    stage.request(&Request {
        id,
        prompt: 640,
        output: 24,
        arrival: begin,
        prefill: begin + 5 * MS,
        ttft_ms,
        end: at,
        logprobs: None,
    })?;
    server.background(stage, at)?;
    let stop = light_traffic(stage, &mut server, at + 300 * MS, 18)?;
    stage.snapshots(EPOCH, stop, (6, 14), 11)?;
    let note = format!(
        "40 first uses of kernels inside one open request, {} ms together; repeats take 20 µs",
        first_uses / MS
    );
    stage.truth(
        "cause",
        "LAZY_KERNEL_LOAD",
        &server.engine,
        (started, ended),
        first_uses,
        note,
    )?;
    let note = "the slowest first use; no thread lost its CPU in it";
    let slowest = (longest.0, longest.1);
    stage.truth(
        "twin",
        "LAUNCH_TAIL_CONTENTION",
        &server.engine,
        slowest,
        longest.2,
        note,
    )?;
    Ok(stop)
}

//! Traces of our own: stories of a GPU server with a known ending.
//!
//! Each scenario plays threads with clocks of their own (see `stage`) and writes the trace that a
//! recorder would have stored, together with the truth: what was planted, and where. The same
//! seed gives the same bytes. Events are handed on as the story goes, so memory does not grow with
//! the length of the trace.

mod bulk;
pub mod corpus;
mod ranks;
mod rng;
mod serving;
mod stage;
mod training;

use std::path::Path;

use crate::trace::writer::{Session, Summary, TruthRow, WriteError, Writer};
use crate::unit::SEC;
use stage::{EPOCH, Stage};

/// Why a scenario could not be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// No scenario of that name.
    #[error("there is no scenario `{name}`{}", nearest.as_ref().map_or(String::new(), |n| format!("; did you mean `{n}`?")))]
    Unknown {
        /// As asked for.
        name: String,
        /// The nearest name, if one is near.
        nearest: Option<&'static str>,
    },
    /// No rank of that number.
    #[error("{name} has {}", ranks.map_or("no ranks".to_owned(), |n| format!("ranks 0 to {}", n - 1)))]
    NoRank {
        /// The scenario.
        name: &'static str,
        /// How many it has, if any.
        ranks: Option<i64>,
    },
    /// The trace could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How to play.
#[derive(Clone, Debug)]
pub struct Options {
    /// About how many events the trace should have. The healthy part is stretched to reach it; a
    /// scenario never gets shorter than its story needs. `None`: the default of the scenario.
    pub events: Option<u64>,
    /// Same seed, same bytes.
    pub seed: u64,
    /// Name of the node, for [`create`]; [`simulate`] takes the writer's.
    pub node: String,
    /// Of a job of several ranks, the one that is recorded; `None`: all, in one trace.
    pub rank: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            events: None,
            seed: 1,
            node: "sim".to_owned(),
            rank: None,
        }
    }
}

/// A scenario that can be played.
#[derive(Debug)]
pub struct ScenarioDef {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// What happens in it and what should be made of it.
    pub about: &'static str,
    /// Events of the story at its default length, about.
    pub default_events: u64,
    /// Events in a second of its healthy part, about.
    events_per_s: u64,
    cpu_cores: i64,
    gpu: &'static str,
    play: fn(&mut Stage<'_>, Length) -> Result<i64, WriteError>,
}

/// How long to play.
#[derive(Clone, Copy, Debug)]
struct Length {
    /// Whole seconds to add to the healthy part.
    extra_s: i64,
    /// Events asked for, or the default.
    events: u64,
}

/// Every scenario.
pub fn scenarios() -> &'static [ScenarioDef] {
    SCENARIOS
}

static SCENARIOS: &[ScenarioDef] = &[
    ScenarioDef {
        name: "hol-blocking",
        title: "short requests wait 11 s behind long prefills, on a host where a build takes the CPUs",
        about: "A vLLM-like server after 35 s of light traffic gets six requests in 40 ms, four of 2,048 tokens and \
                two of 128. The short ones are served last. Meanwhile the engine's launching thread is preempted by \
                another process: once for 2.5 s between two calls, once for 330 ms inside a cudaLaunchKernel of 356 \
                ms, and 600 times briefly inside a launch. Launches fall from 1,051/s to 208/s for 5 s.",
        default_events: 71_200,
        events_per_s: 1_630,
        cpu_cores: 4,
        gpu: "NVIDIA GeForce RTX 4090, 24564 MiB",
        play: serving::hol_blocking,
    },
    ScenarioDef {
        name: "hol-blocking-twin-beside",
        title: "twin of hol-blocking: every stint off CPU ends 1 ms before the slow call, all requests are short",
        about: "The same slow launches and the same stall, but no off-CPU time inside a slow call, and no request \
                heavier than another. Neither HOL_BLOCKING nor LAUNCH_TAIL_CONTENTION may be named; the 2.5 s stall \
                with open requests is real.",
        default_events: 71_200,
        events_per_s: 1_630,
        cpu_cores: 4,
        gpu: "NVIDIA GeForce RTX 4090, 24564 MiB",
        play: serving::twin_beside,
    },
    ScenarioDef {
        name: "hol-blocking-twin-thread",
        title: "twin of hol-blocking: another thread of the engine is off CPU, the long requests arrive later",
        about: "The launching thread never loses its CPU in a call; a helper thread of the same process does, at the \
                same moments. The short requests arrive before the long ones. Neither HOL_BLOCKING nor \
                LAUNCH_TAIL_CONTENTION may be named.",
        default_events: 75_600,
        events_per_s: 1_630,
        cpu_cores: 4,
        gpu: "NVIDIA GeForce RTX 4090, 24564 MiB",
        play: serving::twin_thread,
    },
    ScenarioDef {
        name: "hol-blocking-twin-sleep",
        title: "twin of hol-blocking: the launching thread sleeps by its own will, the long requests are not much longer",
        about: "The stall and the stints inside the slow calls are voluntary sleeps that end with a wake-up, so no \
                time is spent waiting for a CPU. The heavier requests have twice the prompt, not four times. Neither \
                HOL_BLOCKING nor LAUNCH_TAIL_CONTENTION may be named; the 2.5 s stall with open requests is real.",
        default_events: 71_200,
        events_per_s: 1_630,
        cpu_cores: 4,
        gpu: "NVIDIA GeForce RTX 4090, 24564 MiB",
        play: serving::twin_sleep,
    },
    ScenarioDef {
        name: "healthy-serving",
        title: "a server under light load, nothing wrong",
        about: "Start-up with slow first launches, then more than 60 s of light requests: the API process sleeps in \
                100 ms polls, the engine waits in cudaEventSynchronize. Nothing of LOW or above may be named.",
        default_events: 49_000,
        events_per_s: 515,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: serving::healthy,
    },
    ScenarioDef {
        name: "healthy-training",
        title: "a training job bound by its GPU, nothing wrong",
        about: "Steps of 100 ms with 24 launches, pinned asynchronous copies of at most 50 µs a call and one \
                synchronisation at the end; the loader's workers sleep. Nothing of LOW or above may be named.",
        default_events: 30_700,
        events_per_s: 320,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: training::healthy,
    },
    ScenarioDef {
        name: "cpu-contention",
        title: "the launching thread shares its core with another process",
        about: "After 40 healthy seconds a process outside the job's tree takes the core for 4 ms at a time: the \
                launching thread waits on the run queue for 16 to 20 % of the time, most of it inside launches.",
        default_events: 50_400,
        events_per_s: 830,
        cpu_cores: 4,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: training::cpu_contention,
    },
    ScenarioDef {
        name: "lazy-load",
        title: "first uses of 40 kernels make one request slow",
        about: "A warm server gets its first request of a new shape: 40 kernels are launched for the first time and \
                take 1 to 71 ms each, then about 20 µs. No thread loses its CPU.",
        default_events: 28_100,
        events_per_s: 515,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: serving::lazy_load,
    },
    ScenarioDef {
        name: "pageable-copy",
        title: "input batches are copied from pageable memory",
        about: "Each 100 ms step calls cudaMemcpyAsync 16 times for 8 MiB from memory that is not page-locked: the \
                calls block at 8 to 10 GB/s and take 15 % of the time.",
        default_events: 41_700,
        events_per_s: 460,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: training::pageable_copy,
    },
    ScenarioDef {
        name: "sync-bound",
        title: "a training loop reads a value from the GPU 200 times a step",
        about: "After 32 healthy seconds each step runs 200 times: 20 launches, a synchronisation of 0.4 ms that \
                drains the queue, and 0.3 ms in which the host has nothing queued.",
        default_events: 166_400,
        events_per_s: 320,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: training::sync_bound,
    },
    ScenarioDef {
        name: "launch-queue-full",
        title: "the GPU is the bottleneck and launches wait for a slot",
        about: "After 32 healthy seconds rounds of 10,000 launches without a synchronisation: 1,000 at 6 µs, then \
                each waits about 190 µs for a slot of the full queue. This is healthy; no launch rule may blame the \
                host.",
        default_events: 71_000,
        events_per_s: 320,
        cpu_cores: 16,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: training::launch_queue_full,
    },
    ScenarioDef {
        name: "ddp-healthy",
        title: "eight ranks that train in data parallel, nothing wrong",
        about: "Steps of 100 ms that end in four all-reduces of 25 MiB. Each rank enters them up to 3 ms after the first, and the last one is another every time. Nothing of LOW or above may be named.",
        default_events: 73_400,
        events_per_s: 1400,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::healthy,
    },
    ScenarioDef {
        name: "ddp-straggler",
        title: "one of two ranks is late, for another process has its CPU",
        about: "After 37 s rank 1 waits 25 ms for its CPU before its all-reduces, in seven steps of ten; the other rank waits for it.",
        default_events: 18_500,
        events_per_s: 350,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::straggler,
    },
    ScenarioDef {
        name: "ddp-straggler-of-eight",
        title: "one of eight ranks is late by 12 ms",
        about: "The same with eight ranks, of which number 3 is late.",
        default_events: 73_500,
        events_per_s: 1400,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::straggler_of_eight,
    },
    ScenarioDef {
        name: "ddp-in-turns",
        title: "twin of ddp-straggler-of-eight: the late rank is another one in every step",
        about: "As much time is lost, and no rank is to blame for it. NCCL_STRAGGLER may not be named.",
        default_events: 73_600,
        events_per_s: 1400,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::in_turns,
    },
    ScenarioDef {
        name: "ddp-hang",
        title: "one of eight ranks does not enter a collective",
        about: "After 37 s rank 2 goes on without the collective that the others have entered; they are still in a synchronisation 70 s later, when the recording ends.",
        default_events: 46_900,
        events_per_s: 1400,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::hang,
    },
    ScenarioDef {
        name: "ddp-mismatch",
        title: "one of eight ranks reduces fewer elements",
        about: "After 37 s rank 1 calls an all-reduce of 1,025 elements where the others have 262,144. The recording ends 5 s later.",
        default_events: 46_200,
        events_per_s: 1400,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::mismatch,
    },
    ScenarioDef {
        name: "ddp-small",
        title: "an all-reduce for every parameter instead of buckets",
        about: "After 37 s each step has 180 all-reduces of 32 KiB, which take the host 0.1 ms each.",
        default_events: 84000,
        events_per_s: 350,
        cpu_cores: 32,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: ranks::small,
    },
    ScenarioDef {
        name: "bulk",
        title: "events for measuring speed",
        about: "8 processes of 6 threads, 12 kinds of events with log-normal durations and tails, about 27,000 \
                events/s. Planted in the middle: all threads of pid 73734 are off CPU for 2.5 s, then each makes a \
                cudaLaunchKernel of 356 ms.",
        default_events: 1_000_000,
        events_per_s: bulk::EVENTS_PER_S,
        cpu_cores: 64,
        gpu: "NVIDIA H100 80GB HBM3, 81559 MiB",
        play: bulk::play,
    },
];

/// A scenario by its name.
///
/// # Errors
/// [`SimulateError::Unknown`].
pub fn scenario(name: &str) -> Result<&'static ScenarioDef, SimulateError> {
    SCENARIOS
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| SimulateError::Unknown {
            name: name.to_owned(),
            nearest: SCENARIOS
                .iter()
                .map(|s| s.name)
                .filter(|n| n.contains(name) || name.contains(n) || n.split('-').any(|part| name.contains(part)))
                .min_by_key(|n| n.len().abs_diff(name.len())),
        })
}

/// Plays a scenario into a new trace. Finishing the writer is the caller's part.
///
/// # Errors
/// [`SimulateError::Unknown`], or a failure of the file.
pub fn simulate(name: &str, options: &Options, writer: &mut Writer) -> Result<(), SimulateError> {
    let def = scenario(name)?;
    let events = options.events.unwrap_or(def.default_events);
    let extra = events.saturating_sub(def.default_events) / def.events_per_s;
    let length = Length {
        extra_s: i64::try_from(extra).unwrap_or(i64::MAX / SEC / 4),
        events,
    };
    header(writer, def.name, options.seed, def.cpu_cores, true)?;
    let mut stage = Stage::new(writer, options.seed);
    if let Some(rank) = options.rank {
        let ranks = ranks::count(def.name);
        if !ranks.is_some_and(|n| (0..n).contains(&rank)) {
            return Err(SimulateError::NoRank { name: def.name, ranks });
        }
        stage.record_only(ranks::process(rank));
    }
    let stop = (def.play)(&mut stage, length)?;
    stage.flush()?;
    writer.session(&session(stop, def.cpu_cores, def.gpu, true))?;
    writer.truth(&TruthRow {
        kind: "note",
        start: EPOCH,
        end: stop,
        value: i64::try_from(writer.events()).unwrap_or(i64::MAX),
        note: format!("simulated: {}", def.title),
        ..TruthRow::default()
    })?;
    Ok(())
}

/// What stands at the head of a recording.
fn header(writer: &Writer, name: &str, seed: u64, cores: i64, record_all: bool) -> Result<(), WriteError> {
    writer.recording("recorder", RECORDER)?;
    if record_all {
        writer.recording("record_all", "1")?;
    }
    writer.recording("scenario", name)?;
    writer.recording("seed", &seed.to_string())?;
    writer.recording("host_cores", &cores.to_string())?;
    for probe in ["cuda", "driver", "graph", "sched", "process", "mem", "io", "net"] {
        writer.probe(probe, "", "attached", "")?;
    }
    Ok(())
}

/// The recording from the beginning to `stop`.
fn session(stop: i64, cores: i64, gpu: &'static str, record_all: bool) -> Session<'static> {
    Session {
        started_at: EPOCH,
        stopped_at: stop,
        gpu_model: gpu,
        cpu_model: "simulated",
        cpu_cores: cores,
        mem_total_mib: 32_000,
        recorder: RECORDER,
        flags: if record_all { "record-all" } else { "" },
    }
}

const RECORDER: &str = concat!("ingero simulate ", env!("CARGO_PKG_VERSION"));

/// Plays a scenario into a new file; with `overwrite`, an existing one is replaced at the end.
///
/// # Errors
/// As [`simulate`].
pub fn create(name: &str, options: &Options, path: &Path, overwrite: bool) -> Result<Summary, SimulateError> {
    // Before anything touches the disk.
    scenario(name)?;
    let mut writer = if overwrite {
        Writer::overwrite(path, &options.node)?
    } else {
        Writer::create(path, &options.node)?
    };
    simulate(name, options, &mut writer)?;
    Ok(writer.finish()?)
}

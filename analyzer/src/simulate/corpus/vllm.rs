//! Cases of the vllm pack: a server, its requests and its engine.

use super::super::stage::Off;
use super::blocks::{ms, s};
use super::scene::{Base, JOB, Scene};
use super::{Entry, Twin};
use crate::unit::{Interval, US};

/// An engine that is busy for so long: a launch each 8 ms, and a synchronisation for the rest.
fn busy(x: &mut Scene<'_>, time: i64) {
    x.during(time, |x| {
        let start = x.main.now;
        x.launch(12 * US);
        x.sync(ms(8) - 120 * US);
        x.main.now = start + ms(8);
        x.tick();
    });
}

/// Ordinary requests, then four light ones that wait for `wait`; for `behind` of it behind two of `heavy` tokens.
fn crowd(x: &mut Scene<'_>, heavy: i64, behind: i64, wait: i64, busy_engine: bool) {
    let from = x.main.now + ms(10);
    let at = |n: i64, time: i64| Interval::new(from + n * ms(1), from + n * ms(1) + time);
    (0..2).for_each(|n| x.open_request(heavy, at(n, wait + s(2)), behind + ms(5)));
    (2..6).for_each(|n| x.open_request(128, at(n, wait + s(2)), wait));
    if busy_engine {
        busy(x, wait + s(2));
    } else {
        // A call every 400 ms: no stall, and no work.
        x.during(wait, |x| {
            x.launch(12 * US);
            x.pass(ms(400));
            x.tick();
        });
        busy(x, s(2));
    }
    x.calm(s(4));
}

/// Forty requests, all but the last `n` of which wait for `usual`, those for `long`.
fn slow_first_tokens(x: &mut Scene<'_>, n: i64, usual: i64, long: i64) {
    x.calm(s(2));
    let from = x.main.now;
    for i in 0..40 {
        let wait = if i < 40 - n { usual } else { long };
        let at = from + i * ms(300);
        x.open_request(512, Interval::new(at, at + wait + ms(500)), wait);
    }
    busy(x, s(14));
}

/// The engine makes no call for so long, in a request or after it.
fn stall(x: &mut Scene<'_>, time: i64, in_request: bool, why: Off) {
    for _ in 0..2 {
        let from = x.main.now;
        x.serve(128, 20, |_| ());
        if in_request {
            x.open_request(256, Interval::new(from, x.main.now + time + s(1)), ms(50));
        }
        x.launch(12 * US);
        x.off(time, why);
        x.serve(128, 20, |_| ());
        x.idle(ms(900));
    }
}

/// 125 launches a second for so long that this is usual, then a part of it for 6 s, with requests open or not.
fn slump(x: &mut Scene<'_>, percent: i64, in_request: bool, why: Off) {
    let from = x.main.now;
    let usual = s(24);
    let open = if in_request { usual + s(8) } else { usual };
    x.open_request(128, Interval::new(from, from + open), ms(50));
    busy(x, usual);
    let period = ms(8) * 100 / percent;
    x.during(s(6), |x| {
        let start = x.main.now;
        x.launch(12 * US);
        x.off(period * 6 / 10, why);
        x.sync(start + period - x.main.now - 120 * US);
        x.main.now = start + period;
        x.tick();
    });
    busy(x, s(2));
}

/// A request of a new kind: the engine makes no call for `still`, in which a compiler runs for a part.
fn compiles(x: &mut Scene<'_>, parent: i64, still: i64, time: i64) {
    let from = x.main.now;
    x.launches(12, 300 * US);
    let at = x.main.now;
    x.run_program("ptxas", at + still / 10, time, parent);
    x.pass(still);
    (0..5).for_each(|_| x.first_use(ms(2)));
    x.open_request(640, Interval::new(from, x.main.now + s(1)), still + ms(100));
    (0..30).for_each(|_| x.token());
    x.calm(s(6));
}

/// Decoding with graphs: each `period` a token, of which the host works for `host` with nothing queued, or with
/// the next graph queued.
fn decode(x: &mut Scene<'_>, period: i64, host: i64, queued: bool, open: bool) {
    let until = x.main.now + s(14);
    if open {
        x.open_request(128, Interval::new(x.main.now, until + s(1)), ms(40));
    }
    while x.main.now < until {
        let start = x.main.now;
        x.graph_launch(60 * US);
        x.sync(period - host - (x.main.now - start));
        if queued {
            x.graph_launch(60 * US);
        }
        x.main.now = start + period;
        x.tick();
    }
}

/// `n` requests wait for 600 ms, beside one that asks for `logprobs`; the front end computes for a part of it.
fn held_up(x: &mut Scene<'_>, n: i64, logprobs: i64, computes: i64) {
    x.calm(s(3));
    let from = x.main.now;
    x.logprobs = Some(logprobs);
    x.open_request(96, Interval::new(from, from + s(2)), ms(60));
    x.logprobs = Some(0);
    for n in 0..n {
        let at = from + ms(10) + n * ms(1);
        x.open_request(128, Interval::new(at, at + s(1)), ms(600));
    }
    busy(x, ms(16));
    x.front_end_computes(computes);
    busy(x, ms(1_984));
    x.calm(s(6));
}

/// 120 tokens in a request, each of `launches` kernels and a synchronisation of `wait`.
fn eager(x: &mut Scene<'_>, launches: i64, wait: i64) {
    let from = x.main.now;
    for _ in 0..120 {
        for _ in 0..launches {
            x.launch(7 * US);
            x.pass(55 * US);
        }
        x.sync(wait);
        x.tick();
    }
    x.open_request(128, Interval::new(from, x.main.now), ms(60));
    x.over = true;
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "HOL_BLOCKING",
        base: Base::Serving,
        swept: "how long light requests wait behind heavy ones (1 s)",
        may: &[],
        plant: |x, by| crowd(x, 2_048, by.of(s(1)), by.of(s(1)), true),
        twins: &[
            Twin {
                name: "same-size",
                about: "waits as long, behind requests of twice the size",
                may: &[],
                plant: |x| crowd(x, 256, ms(1_200), ms(1_200), true),
            },
            Twin {
                name: "idle-engine",
                about: "waits for 5 s, and the engine does nothing meanwhile",
                may: &[],
                plant: |x| crowd(x, 2_048, s(5), s(5), false),
            },
        ],
    },
    Entry {
        rule: "SLOW_FIRST_TOKEN",
        base: Base::Serving,
        swept: "requests that wait 1.2 s for their first token (5)",
        may: &[],
        plant: |x, by| slow_first_tokens(x, by.count(5), ms(40), ms(1_200)),
        twins: &[Twin {
            name: "usual",
            about: "as many wait as long, which is four times the usual wait",
            may: &[],
            plant: |x| slow_first_tokens(x, 6, ms(300), ms(1_200)),
        }],
    },
    Entry {
        rule: "ENGINE_STALL",
        base: Base::Serving,
        swept: "time without a call while a request is open (500 ms)",
        may: &[],
        plant: |x, by| stall(x, by.of(ms(500)), true, Off::Sleep),
        twins: &[Twin {
            name: "no-request",
            about: "as long without a call, and no request is open",
            may: &[],
            plant: |x| stall(x, ms(600), false, Off::Sleep),
        }],
    },
    Entry {
        rule: "LAUNCH_RATE_COLLAPSE",
        base: Base::Serving,
        swept: "launches a second, at most this part of those before (40 %)",
        may: &[],
        plant: |x, by| slump(x, by.below(40), true, Off::Io),
        twins: &[Twin {
            name: "no-requests",
            about: "launches fall as far, and no request is open any more",
            may: &[],
            plant: |x| slump(x, 33, false, Off::Io),
        }],
    },
    Entry {
        rule: "JIT_COMPILE_STALL",
        base: Base::Serving,
        swept: "share of a standstill in which a compiler runs (25 %)",
        may: &["ENGINE_STALL"],
        plant: |x, by| compiles(x, JOB, s(2), by.of(ms(500))),
        twins: &[Twin {
            name: "stranger",
            about: "stands still as long, while somebody else's compiler runs",
            may: &["ENGINE_STALL"],
            plant: |x| compiles(x, 1, s(2), ms(600)),
        }],
    },
    Entry {
        rule: "DECODE_HOST_GAP",
        base: Base::Serving,
        swept: "host time between the graphs of a decode, of 10 s (2 s)",
        may: &["SYNC_BOUND"],
        plant: |x, by| decode(x, ms(20), by.of(ms(4)), false, true),
        twins: &[
            Twin {
                name: "queued",
                about: "the next graph is queued before the host works",
                may: &[],
                plant: |x| decode(x, ms(20), 4_800 * US, true, true),
            },
            Twin {
                name: "no-request",
                about: "the same gaps, and no request is open",
                may: &["SYNC_BOUND"],
                plant: |x| decode(x, ms(20), 4_800 * US, false, false),
            },
        ],
    },
    Entry {
        rule: "EAGER_DECODE",
        base: Base::Eager,
        swept: "launches of a token, without a graph (300)",
        may: &[],
        plant: |x, by| eager(x, by.of(300), 200 * US),
        twins: &[Twin {
            name: "gpu-bound",
            about: "as many launches, and the host waits for the GPU longer than it works",
            may: &[],
            plant: |x| eager(x, 360, ms(30)),
        }],
    },
    Entry {
        rule: "FRONTEND_CPU_BOUND",
        base: Base::Serving,
        swept: "share of long waits for a first token in which the front end computes (50 %)",
        may: &["SLOW_FIRST_TOKEN"],
        plant: |x, by| held_up(x, 8, 0, by.of(ms(300))),
        twins: &[Twin {
            name: "asleep",
            about: "waits as long, and the front end sleeps",
            may: &["SLOW_FIRST_TOKEN"],
            plant: |x| held_up(x, 8, 0, 0),
        }],
    },
    Entry {
        rule: "LOGPROBS_AMPLIFICATION",
        base: Base::Serving,
        swept: "log probabilities of the request beside (5)",
        may: &["SLOW_FIRST_TOKEN", "FRONTEND_CPU_BOUND"],
        plant: |x, by| held_up(x, 8, by.count(5), ms(580)),
        twins: &[Twin {
            name: "asleep",
            about: "waits as long beside as many log probabilities, and the front end sleeps",
            may: &["SLOW_FIRST_TOKEN"],
            plant: |x| held_up(x, 8, 20, 0),
        }],
    },
];

/// Other quantities of the same rules, by a word for each.
pub(super) const MORE: &[(&str, Entry)] = &[
    (
        "behind",
        Entry {
            rule: "HOL_BLOCKING",
            base: Base::Serving,
            swept: "share of its wait that a light request is behind heavy ones (80 %)",
            may: &[],
            plant: |x, by| crowd(x, 2_048, by.of(ms(2_400)), s(3), true),
            twins: &[],
        },
    ),
    (
        "factor",
        Entry {
            rule: "SLOW_FIRST_TOKEN",
            base: Base::Serving,
            swept: "wait for a first token, in times of the usual (5 times)",
            may: &[],
            plant: |x, by| slow_first_tokens(x, 8, ms(240), by.of(ms(1_200))),
            twins: &[],
        },
    ),
    (
        "length",
        Entry {
            rule: "JIT_COMPILE_STALL",
            base: Base::Serving,
            swept: "length of a standstill in which a compiler runs (300 ms)",
            may: &[],
            plant: |x, by| compiles(x, JOB, by.of(ms(300)), by.of(ms(150))),
            twins: &[],
        },
    ),
    (
        "length",
        Entry {
            rule: "DECODE_HOST_GAP",
            base: Base::Serving,
            swept: "host time between two graphs of a decode (2 ms)",
            may: &["SYNC_BOUND"],
            plant: |x, by| decode(x, ms(7), by.of(ms(2)), false, true),
            twins: &[],
        },
    ),
    (
        "count",
        Entry {
            rule: "FRONTEND_CPU_BOUND",
            base: Base::Serving,
            swept: "requests that wait long while the front end computes (5)",
            may: &["SLOW_FIRST_TOKEN"],
            plant: |x, by| held_up(x, by.count(5), 0, ms(500)),
            twins: &[],
        },
    ),
];

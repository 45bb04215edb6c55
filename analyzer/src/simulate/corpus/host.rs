//! Cases of the host pack: CPUs, memory, disks, other programs.

use super::super::stage::Off;
use super::blocks::{ms, s};
use super::scene::{Base, JOB, NEIGHBOUR, Scene};
use super::{Entry, Twin};
use crate::unit::{Interval, US};

/// What is planted lasts so long; the steady state is two seconds longer.
const INCIDENT: i64 = s(20);

/// A share of the steady time, in each step of 200 ms.
const fn of_steady(per_step: i64) -> i64 {
    per_step * 22 / 20
}

/// Steps with something in each.
fn steps(x: &mut Scene<'_>, mut planted: impl FnMut(&mut Scene<'_>)) {
    x.during(INCIDENT, |x| x.step(&mut planted));
}

/// In each step the launching thread is off its CPU four times, between calls.
fn stints(x: &mut Scene<'_>, mut off: impl FnMut(&mut Scene<'_>)) {
    steps(x, |x| {
        for _ in 0..4 {
            x.launch(12 * US);
            off(x);
            x.pass(50 * US);
        }
    });
}

/// The launching thread waits for a CPU in each step, of which the limit explains `throttled`.
fn limited(x: &mut Scene<'_>, waits: i64, throttled: i64) {
    x.confine();
    x.throttled(0);
    let (mut sum, mut next) = (0, x.main.now + s(1));
    steps(x, |x| {
        x.off(waits, Off::Preempted(0));
        if x.main.now >= next {
            next += s(1);
            sum += 5 * throttled;
            x.throttled(sum);
        }
    });
    x.throttled(sum + 5 * throttled);
}

/// The engine stands still for a part of 200 ms, on its CPU, with a request open, while a process gets pages.
fn faulting(x: &mut Scene<'_>, pid: i64, pages_per_s: i64, still: i64) {
    let until = x.main.now + s(20);
    x.open_request(128, Interval::new(x.main.now, until + s(1)), ms(40));
    // Later than the pause before it.
    let mut next = x.main.now + s(6);
    while x.main.now < until {
        let start = x.main.now;
        x.launches(3, 50 * US);
        x.sync(ms(200) - still - (x.main.now - start) - 12 * US);
        x.launch(12 * US);
        x.main.now = start + ms(200);
        if x.main.now >= next {
            next += s(1);
            x.pages(pid, pages_per_s);
        }
        x.tick();
    }
}

/// The loop sleeps twice for `still`, while a child of `parent` runs for a part of it.
fn blocked(x: &mut Scene<'_>, parent: i64, still: i64, child: i64) {
    for _ in 0..2 {
        x.step(|x| {
            let at = x.main.now;
            x.run_program("git", at + ms(5), child, parent);
            x.off(still, Off::Sleep);
        });
        x.calm(s(6));
    }
}

/// Once a second the loop makes no call for `wait`.
fn pauses(x: &mut Scene<'_>, wait: i64, why: Off) {
    x.during(INCIDENT, |x| {
        x.step(|x| {
            x.disk("block_read", JOB, wait / 2, 1024);
            x.off(wait, why);
        });
        x.calm(ms(700));
    });
}

/// The loop waits for a device while swap grows from 1,000 MiB by so much.
fn swapping(x: &mut Scene<'_>, growth: i64) {
    x.host_was(|h| (h.mem, h.swap) = (96, 1_000));
    x.calm(s(3));
    x.host.swap += growth;
    pauses(x, ms(150), Off::Io);
}

/// A tool polls the GPU `n` times, and a launch takes `slow`, so long after it began.
fn polled(x: &mut Scene<'_>, n: i64, slow: i64, after: i64) {
    for _ in 0..n {
        x.step(|x| {
            let at = x.main.now;
            x.run_program("nvidia-smi", at, ms(30), 1);
            x.pass(after);
            x.launch(slow);
        });
        x.calm(ms(500));
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "CPU_OVERSUBSCRIPTION",
        base: Base::Training,
        swept: "share of the time in which the launching thread waits behind its own threads (5 %)",
        may: &[],
        plant: |x, by| stints(x, |x| x.behind_helper(of_steady(by.of(2_500 * US)))),
        twins: &[Twin {
            name: "others",
            about: "waits as long, behind somebody else",
            may: &[],
            plant: |x| stints(x, |x| x.preempted(of_steady(ms(3)))),
        }],
    },
    Entry {
        rule: "NOISY_NEIGHBOUR",
        base: Base::Training,
        swept: "share of the time in which the launching thread waits behind others (10 %)",
        may: &[],
        plant: |x, by| stints(x, |x| x.preempted(of_steady(by.of(ms(5))))),
        twins: &[Twin {
            name: "asleep",
            about: "off its CPU as long, asleep",
            may: &[],
            plant: |x| stints(x, |x| x.off(of_steady(ms(6)), Off::Sleep)),
        }],
    },
    Entry {
        rule: "CPU_THROTTLED_CGROUP",
        base: Base::Training,
        swept: "share of its waits for a CPU that the limit explains (50 %)",
        may: &["AFFINITY_CONFINED"],
        plant: |x, by| limited(x, ms(40), by.of(ms(20))),
        twins: &[Twin {
            name: "no-limit",
            about: "waits as long, and no limit bites",
            may: &["AFFINITY_CONFINED"],
            plant: |x| limited(x, ms(40), 0),
        }],
    },
    Entry {
        rule: "PAGE_ALLOC_STORM",
        base: Base::Serving,
        swept: "pages that the engine gets in 5 s (2 GB)",
        may: &[],
        plant: |x, by| faulting(x, JOB, by.of(97_656), ms(30)),
        twins: &[Twin {
            name: "another-process",
            about: "another process gets as many pages",
            may: &[],
            plant: |x| faulting(x, NEIGHBOUR, 117_187, ms(30)),
        }],
    },
    Entry {
        rule: "OOM_KILL",
        base: Base::Training,
        swept: "",
        may: &[],
        plant: |x, _| {
            (x.host.mem, x.whose) = (98, JOB + 101);
            x.calm(s(5));
            x.oom_kill(JOB + 101);
            x.exit(JOB + 101);
            x.calm(s(5));
        },
        twins: &[Twin {
            name: "exits",
            about: "memory as short, and the worker ends by itself",
            may: &[],
            plant: |x| {
                x.host.mem = 98;
                x.calm(s(5));
                x.exit(JOB + 101);
                x.calm(s(5));
            },
        }],
    },
    Entry {
        rule: "BLOCKED_ON_CHILD",
        base: Base::Training,
        swept: "share of a standstill in which a child runs (80 %)",
        may: &[],
        plant: |x, by| blocked(x, JOB, s(1), by.of(ms(800))),
        twins: &[Twin {
            name: "stranger",
            about: "stands still as long, while somebody else's program runs",
            may: &[],
            plant: |x| blocked(x, 1, s(1), ms(960)),
        }],
    },
    Entry {
        rule: "DISK_READ_BOUND",
        base: Base::Training,
        swept: "time without a call, waiting for a device, of 10 s (1 s)",
        may: &[],
        plant: |x, by| pauses(x, by.of(ms(95)), Off::Io),
        twins: &[Twin {
            name: "asleep",
            about: "as long without a call, asleep",
            may: &[],
            plant: |x| pauses(x, ms(120), Off::Sleep),
        }],
    },
    Entry {
        rule: "SWAP_PRESSURE",
        base: Base::Training,
        swept: "growth of the swap in use (256 MB)",
        may: &["DISK_READ_BOUND"],
        plant: |x, by| swapping(x, by.of(244)),
        twins: &[Twin {
            name: "constant",
            about: "waits as long for a device, with swap that does not grow",
            may: &["DISK_READ_BOUND"],
            plant: |x| swapping(x, 0),
        }],
    },
    Entry {
        rule: "MONITORING_POLL_SPIKE",
        base: Base::Training,
        swept: "length of the launches inside polls (5 ms)",
        may: &[],
        plant: |x, by| polled(x, 26, by.of(ms(5)), ms(4)),
        twins: &[Twin {
            name: "beside",
            about: "launches as slow, after the polls",
            may: &[],
            plant: |x| polled(x, 26, ms(6), ms(60)),
        }],
    },
    Entry {
        rule: "AFFINITY_CONFINED",
        base: Base::Training,
        swept: "share of the time in which the launching thread waits, on an idle host (10 %)",
        may: &[],
        plant: |x, by| limited(x, of_steady(by.of(ms(20))), 0),
        twins: &[Twin {
            name: "busy-host",
            about: "waits as long, on a host whose CPUs are busy",
            may: &[],
            plant: |x| {
                x.host_was(|h| h.cpu = (70, 90));
                limited(x, of_steady(ms(24)), 0);
            },
        }],
    },
];

/// Other quantities of the same rules, by a word for each.
pub(super) const MORE: &[(&str, Entry)] = &[
    (
        "whose",
        Entry {
            rule: "NOISY_NEIGHBOUR",
            base: Base::Training,
            swept: "share of its waits for a CPU behind others, not behind its own threads (50 %)",
            may: &["CPU_OVERSUBSCRIPTION"],
            plant: |x, by| {
                stints(x, |x| {
                    x.preempted(by.of(ms(5)));
                    x.behind_helper(ms(10) - by.of(ms(5)));
                });
            },
            twins: &[],
        },
    ),
    (
        "waits",
        Entry {
            rule: "CPU_THROTTLED_CGROUP",
            base: Base::Training,
            swept: "share of the time in which the launching thread waits (5 %)",
            may: &[],
            plant: |x, by| limited(x, of_steady(by.of(ms(10))), ms(30)),
            twins: &[],
        },
    ),
    (
        "still",
        Entry {
            rule: "PAGE_ALLOC_STORM",
            base: Base::Serving,
            swept: "time that the engine stands still, of 5 s (500 ms)",
            may: &[],
            plant: |x, by| faulting(x, JOB, 130_000, by.of(ms(20))),
            twins: &[],
        },
    ),
    (
        "length",
        Entry {
            rule: "BLOCKED_ON_CHILD",
            base: Base::Training,
            swept: "length of a standstill in which a child runs (500 ms)",
            may: &[],
            plant: |x, by| blocked(x, JOB, by.of(ms(500)), by.of(ms(480))),
            twins: &[],
        },
    ),
    (
        "count",
        Entry {
            rule: "MONITORING_POLL_SPIKE",
            base: Base::Training,
            swept: "slow launches inside polls (20)",
            may: &[],
            plant: |x, by| polled(x, by.of(20), ms(8), ms(4)),
            twins: &[],
        },
    ),
];

//! Cases of the cuda pack: any process that calls CUDA.

use super::super::stage::{Off, direction};
use super::blocks::{ms, s};
use super::scene::{Base, NEIGHBOUR, Scene};
use super::{Entry, Twin};
use crate::trace::catalogue::Source;
use crate::unit::{Interval, US};

/// What is planted lasts so long; the steady state is two seconds longer.
const INCIDENT: i64 = s(20);

/// Steps with something in each.
fn steps(x: &mut Scene<'_>, mut planted: impl FnMut(&mut Scene<'_>)) {
    x.during(INCIDENT, |x| x.step(&mut planted));
}

/// A request in which kernels are slow, `first` of them at their first use and then some that were used before.
fn slow_request(x: &mut Scene<'_>, first: i64, again: i64) {
    x.serve(640, 40, |x| {
        (0..first).for_each(|_| x.first_use(ms(20)));
        (0..again).for_each(|_| x.launch(ms(5)));
    });
    x.calm(s(6));
}

/// Rounds of launches without a synchronisation: the first thousand take `fast`, the rest `slow`.
fn rounds(x: &mut Scene<'_>, fast: i64, slow: i64) {
    for _ in 0..4 {
        for i in 0..1_400 {
            x.launch(if i < 1_000 { fast } else { slow });
            x.pass(3 * US);
        }
        x.device_sync(ms(90));
        x.calm(s(1));
    }
}

/// Each `period` a synchronisation after four launches, and a gap behind it in which something may be queued.
fn syncs(x: &mut Scene<'_>, period: i64, gap: i64, queued: bool) {
    x.during(s(12), |x| {
        let start = x.main.now;
        x.launches(4, 25 * US);
        if queued {
            x.launch(8 * US);
        }
        x.sync(period - gap - (x.main.now - start));
        if queued {
            x.launch(8 * US);
        }
        x.main.now = start + period;
        x.tick();
    });
}

/// Bursts of `n` tiny launches, fifty to a synchronisation of `wait`.
fn storm(x: &mut Scene<'_>, n: i64, wait: i64) {
    x.calm(s(2));
    for _ in 0..3 {
        x.pass(s(1));
        for i in 1..=n {
            x.launch(6 * US);
            x.pass(7 * US);
            if i % 50 == 0 {
                x.sync(wait);
            }
        }
        x.pass(s(1));
        x.tick();
    }
}

/// Every launch takes as long as its kernel: most `kernel`, two of five much longer. The first of a hundred
/// may be fast.
fn blocking(x: &mut Scene<'_>, kernel: i64, fast: i64) {
    x.during(s(44), |x| {
        for i in 0..100 {
            let long = i % 5 >= 3;
            x.launch(if i < fast {
                6 * US
            } else if long {
                ms(6)
            } else {
                kernel
            });
            x.pass(12 * US);
        }
        x.sync(5 * US);
        x.tick();
    });
    x.over = true;
}

/// A step that allocates and frees three times.
fn churn(x: &mut Scene<'_>, malloc: i64, free: i64, frees: bool) {
    for _ in 0..3 {
        x.malloc(20 << 20, malloc, 0);
        x.pass(ms(2));
        if frees {
            x.free(free);
        }
        x.pass(ms(2));
    }
}

/// Something each `period`, in steps.
fn each(x: &mut Scene<'_>, period: i64, mut planted: impl FnMut(&mut Scene<'_>)) {
    let mut next = x.main.now;
    steps(x, |x| {
        while next <= x.main.now {
            next += period;
            planted(x);
        }
    });
}

/// Allocations that fail every 4 s, and what the allocator does then.
fn retries(x: &mut Scene<'_>, n: i64, frees_after: Option<i64>) {
    for _ in 0..n {
        x.step(|x| {
            x.malloc(1 << 30, 200 * US, 2);
            if let Some(after) = frees_after {
                x.pass(after);
                for _ in 0..6 {
                    x.free(400 * US);
                    x.pass(ms(2));
                }
                x.malloc(1 << 30, 200 * US, 0);
            }
        });
        x.calm(s(4));
    }
}

/// `n` slow launches while a helper thread frees memory for a part of them, or beside them.
fn locked(x: &mut Scene<'_>, n: i64, held: i64, beside: i64) {
    for _ in 0..n {
        x.step(|x| {
            let at = x.main.now;
            x.helper_frees(at + 20 * US + beside, held);
            x.launch(ms(6));
            x.pass(beside + held);
        });
        x.calm(s(1));
    }
}

/// Decoding without graphs while a request is open or not: each 100 ms a synchronisation that empties the
/// queue, and nothing for `gap`.
fn idle_gaps(x: &mut Scene<'_>, gap: i64, open: bool, queued: bool) {
    let (from, until) = (x.main.now, x.main.now + s(40));
    if open {
        x.open_request(128, Interval::new(from, until), ms(40));
    }
    while x.main.now < until {
        let start = x.main.now;
        x.launches(6, 50 * US);
        x.sync(ms(100) - gap - (x.main.now - start));
        if queued {
            x.launch(9 * US);
        }
        x.main.now = start + ms(100);
        x.tick();
    }
}

/// Captures of graphs, so long apart; they may be thrown away.
fn captures(x: &mut Scene<'_>, apart: i64, destroy: bool) {
    each(x, apart, |x| {
        x.capture(ms(3), 0);
        x.graph_launch(90 * US);
        x.graph_launch(90 * US);
        if destroy {
            x.destroy_graph();
        }
    });
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "LAUNCH_TAIL_CONTENTION",
        base: Base::Training,
        swept: "share of the slow launches in which their thread was preempted (50 %)",
        may: &[],
        plant: |x, by| {
            steps(x, |x| {
                for _ in 0..4 {
                    x.launch_around(ms(4), by.of(ms(2)), Off::Preempted(NEIGHBOUR));
                }
            });
        },
        twins: &[
            Twin {
                name: "beside",
                about: "as slow, and preempted as long, 1 ms before each slow launch",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        for _ in 0..4 {
                            x.preempted(2_400 * US);
                            x.pass(ms(1));
                            x.launch(ms(4));
                        }
                    });
                },
            },
            Twin {
                name: "asleep",
                about: "as slow, and asleep inside the launches, not preempted",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        for _ in 0..4 {
                            x.launch_around(ms(4), 2_400 * US, Off::Sleep);
                        }
                    });
                },
            },
        ],
    },
    Entry {
        rule: "LAZY_KERNEL_LOAD",
        base: Base::Serving,
        swept: "share of the time of slow launches that first uses hold (80 %)",
        may: &[],
        plant: |x, by| {
            // Those of the start count as well.
            let first = x.first_uses + 10 * ms(20);
            let again = first * 100 / by.of(80) - first;
            slow_request(x, 10, again / ms(5));
        },
        twins: &[Twin {
            name: "repeats",
            about: "launches as slow, of kernels that were used before",
            may: &[],
            plant: |x| {
                let again = (x.first_uses + 10 * ms(20)) / ms(5);
                slow_request(x, 0, again);
            },
        }],
    },
    Entry {
        rule: "LAUNCH_QUEUE_FULL",
        base: Base::Training,
        swept: "launches of a full queue, in lengths of a fast one (5 times)",
        may: &[],
        plant: |x, by| rounds(x, 6 * US, by.of(30 * US)),
        twins: &[Twin {
            name: "slow-from-the-start",
            about: "launches as slow, from the first after a synchronisation on",
            may: &[],
            plant: |x| rounds(x, 36 * US, 36 * US),
        }],
    },
    Entry {
        rule: "SYNC_BOUND",
        base: Base::Training,
        swept: "share of the time after synchronisations in which nothing is queued (10 %)",
        may: &[],
        plant: |x, by| syncs(x, ms(10), by.of(ms(1)), false),
        twins: &[Twin {
            name: "queued",
            about: "as many synchronisations, each with the next work queued right behind it",
            may: &[],
            plant: |x| syncs(x, ms(10), 1_200 * US, true),
        }],
    },
    Entry {
        rule: "MEMCPY_BOUND",
        base: Base::Training,
        swept: "time in copies that block, of 10 s (2 s)",
        may: &[],
        plant: |x, by| {
            steps(x, |x| {
                (0..8).for_each(|_| x.upload("cudaMemcpy", by.of(ms(5)), 12_000_000_000));
            });
        },
        twins: &[
            Twin {
                name: "pinned",
                about: "the same bytes from pinned memory: the calls return at once",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        (0..8).for_each(|_| x.copy("cudaMemcpyAsync", direction::H2D, 72 << 20, 30 * US));
                    });
                },
            },
            Twin {
                name: "waits",
                about: "downloads of a few bytes that take as long: they wait for kernels",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        (0..8).for_each(|_| x.copy("cudaMemcpy", direction::D2H, 4096, ms(6)));
                    });
                },
            },
        ],
    },
    Entry {
        rule: "PAGEABLE_COPY",
        base: Base::Training,
        swept: "rate of uploads of 8 MiB (1 GB/s)",
        may: &[],
        plant: |x, by| {
            steps(x, |x| {
                (0..3).for_each(|_| x.copy("cudaMemcpyAsync", direction::H2D, 8 << 20, by.below(8_389 * US)));
            });
        },
        twins: &[
            Twin {
                name: "pinned",
                about: "the same uploads from pinned memory",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        (0..3).for_each(|_| x.copy("cudaMemcpyAsync", direction::H2D, 8 << 20, 30 * US));
                    });
                },
            },
            Twin {
                name: "downloads",
                about: "the same bytes to the host, which waits for kernels",
                may: &[],
                plant: |x| {
                    steps(x, |x| {
                        (0..3).for_each(|_| x.copy("cudaMemcpyAsync", direction::D2H, 8 << 20, ms(7)));
                    });
                },
            },
        ],
    },
    Entry {
        rule: "COLD_START",
        base: Base::Starting,
        swept: "time from the first call to steady state (60 s)",
        may: &[],
        // 5 s of the start have passed, 4 s of them after the first call; 5 s of quiet are part of it.
        plant: |x, by| {
            x.during(by.of(s(60)) - s(9), |x| {
                x.step(|x| x.first_use(ms(2)));
                x.calm(s(2));
            });
            x.calm(s(20));
        },
        twins: &[Twin {
            name: "used-before",
            about: "launches as slow for as long, of kernels that were used before",
            may: &[],
            plant: |x| {
                x.during(s(63), |x| {
                    x.step(|x| x.launch(ms(2)));
                    x.calm(s(2));
                });
                x.calm(s(20));
            },
        }],
    },
    Entry {
        rule: "ALLOC_CHURN",
        base: Base::Training,
        swept: "share of the time in allocations and frees (5 %)",
        may: &[],
        plant: |x, by| steps(x, |x| churn(x, by.of(1_100 * US), by.of(2_233 * US), true)),
        twins: &[Twin {
            name: "grows",
            about: "allocations that take as long, and no frees",
            may: &[],
            plant: |x| steps(x, |x| churn(x, ms(4), 0, false)),
        }],
    },
    Entry {
        rule: "GRAPH_RECAPTURE",
        base: Base::Training,
        swept: "graphs made and destroyed in 10 s (20)",
        may: &[],
        plant: |x, by| captures(x, by.below(ms(500)), true),
        twins: &[Twin {
            name: "kept",
            about: "as many graphs, which are kept",
            may: &[],
            plant: |x| captures(x, ms(400), false),
        }],
    },
    Entry {
        rule: "SMALL_KERNEL_STORM",
        base: Base::Starting,
        swept: "launches in a second (5,000)",
        may: &["WARMUP_ONLY"],
        plant: |x, by| storm(x, by.of(5_000), 20 * US),
        twins: &[Twin {
            name: "busy",
            about: "as many launches, and synchronisations that take 4 ms: the GPU is busy with them",
            may: &[],
            plant: |x| storm(x, 6_000, ms(4)),
        }],
    },
    Entry {
        rule: "CUDA_ERROR_BURST",
        base: Base::Training,
        swept: "failing calls in 10 s (3)",
        may: &[],
        plant: |x, by| {
            x.step(|x| (0..by.count(3)).for_each(|_| x.failing_launch(700)));
            x.calm(s(10));
        },
        twins: &[Twin {
            name: "polling",
            about: "a thousand calls that say that an event has not happened yet",
            may: &[],
            plant: |x| {
                x.step(|x| {
                    for _ in 0..1_000 {
                        x.query_event();
                        x.pass(90 * US);
                    }
                });
                x.calm(s(10));
            },
        }],
    },
    Entry {
        rule: "XID_ERROR",
        base: Base::Training,
        swept: "",
        may: &["CUDA_ERROR_BURST"],
        plant: |x, _| {
            x.watched("xid");
            x.step(|x| {
                x.xid(31, "MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted");
                (0..5).for_each(|_| x.failing_launch(719));
            });
            x.calm(s(5));
        },
        twins: &[Twin {
            name: "no-xid",
            about: "the same failing calls, and the driver reported nothing",
            may: &["CUDA_ERROR_BURST"],
            plant: |x| {
                x.watched("xid");
                x.step(|x| (0..5).for_each(|_| x.failing_launch(719)));
                x.calm(s(5));
            },
        }],
    },
    Entry {
        rule: "CUDA_HANG",
        base: Base::Training,
        swept: "how long a synchronisation has not returned, others took 0.2 s (10 s)",
        may: &[],
        plant: |x, by| {
            x.calm(s(5));
            x.never_returns(Source::Cuda, "cudaStreamSync", by.of(s(10)));
        },
        twins: &[Twin {
            name: "usual",
            about: "open as long, where one of its kind took 3 s before",
            may: &[],
            plant: |x| {
                x.step(|x| x.sync(s(3)));
                x.calm(s(5));
                x.never_returns(Source::Cuda, "cudaStreamSync", s(12));
            },
        }],
    },
    Entry {
        rule: "LAUNCH_BLOCKING_ON",
        base: Base::Starting,
        swept: "median launch (50 us)",
        may: &[],
        plant: |x, by| blocking(x, by.of(50 * US), 0),
        twins: &[Twin {
            name: "fast-after-sync",
            about: "half of the launches behind a synchronisation are fast: the queue fills",
            may: &[],
            plant: |x| blocking(x, 60 * US, 40),
        }],
    },
    Entry {
        rule: "GRAPH_CAPTURE_FAIL",
        base: Base::Training,
        swept: "",
        may: &[],
        plant: |x, _| {
            x.step(|x| x.capture(ms(3), 901));
            x.calm(s(5));
        },
        twins: &[Twin {
            name: "works",
            about: "a capture that works",
            may: &[],
            plant: |x| {
                x.step(|x| x.capture(ms(3), 0));
                x.calm(s(5));
            },
        }],
    },
    Entry {
        rule: "PINNED_ALLOC_HOT",
        base: Base::Training,
        swept: "share of the time in which memory is pinned, ten times a second (5 %)",
        may: &[],
        plant: |x, by| steps(x, |x| (0..2).for_each(|_| x.pin(64 << 20, by.of(ms(5))))),
        twins: &[Twin {
            name: "few",
            about: "as much time, once a second",
            may: &[],
            plant: |x| each(x, s(1), |x| x.pin(1 << 30, ms(60))),
        }],
    },
    Entry {
        rule: "TINY_COPY_STORM",
        base: Base::Training,
        swept: "small copies in 5 s (10,000)",
        may: &[],
        plant: |x, by| tiny_copies(x, by.of(2_000), 4096, 70 * US),
        twins: &[Twin {
            name: "larger",
            about: "as many copies of 256 KiB",
            may: &[],
            plant: |x| tiny_copies(x, 2_400, 256 << 10, 70 * US),
        }],
    },
    Entry {
        rule: "ALLOC_RETRY",
        base: Base::Training,
        swept: "allocations that fail, after which memory is freed (3)",
        may: &[],
        plant: |x, by| retries(x, by.count(3), Some(ms(5))),
        twins: &[
            Twin {
                name: "fails-for-good",
                about: "allocations that fail, and nothing is freed",
                may: &[],
                plant: |x| retries(x, 4, None),
            },
            Twin {
                name: "late",
                about: "memory is freed 1.5 s after each failure",
                may: &[],
                plant: |x| retries(x, 4, Some(ms(1_500))),
            },
        ],
    },
    Entry {
        rule: "DRIVER_LOCK_CONTENTION",
        base: Base::Training,
        swept: "share of the slow launches in which another thread frees memory (80 %)",
        may: &[],
        plant: |x, by| locked(x, 10, by.of(4_800 * US), 0),
        twins: &[Twin {
            name: "beside",
            about: "as slow, and the other thread frees memory right after",
            may: &[],
            plant: |x| locked(x, 10, 5_760 * US, ms(8)),
        }],
    },
    Entry {
        rule: "IDLE_GPU_GAPS",
        base: Base::Serving,
        swept: "share of the steady time with a request open and nothing queued (15 %)",
        may: &[],
        // 42 s are steady, in 40 of them there are gaps.
        plant: |x, by| idle_gaps(x, by.of(ms(15)) * 42 / 40, true, false),
        twins: &[
            Twin {
                name: "no-request",
                about: "the same gaps, and no request is open",
                may: &[],
                plant: |x| idle_gaps(x, ms(19), false, false),
            },
            Twin {
                name: "queued",
                about: "the same gaps between calls, with a kernel queued before each",
                may: &[],
                plant: |x| idle_gaps(x, ms(19), true, true),
            },
        ],
    },
];

/// Copies at a rate, for 6 s.
fn tiny_copies(x: &mut Scene<'_>, per_s: i64, bytes: i64, dur: i64) {
    let mut n = 0;
    let start = x.main.now;
    x.during(s(6), |x| {
        n += 1;
        x.copy("cudaMemcpyAsync", direction::H2D, bytes, dur);
        x.main.now = x.main.now.max(start + n * (s(1) / per_s));
        x.tick();
    });
}

/// Other quantities of the same rules, by a word for each.
pub(super) const MORE: &[(&str, Entry)] = &[
    (
        "count",
        Entry {
            rule: "LAUNCH_TAIL_CONTENTION",
            base: Base::Training,
            swept: "launches that are slow because their thread was preempted (10)",
            may: &[],
            plant: |x, by| {
                for _ in 0..by.of(10) {
                    x.step(|x| x.launch_around(ms(4), ms(3), Off::Preempted(NEIGHBOUR)));
                    x.calm(s(1));
                }
                x.calm(s(6));
            },
            twins: &[],
        },
    ),
    (
        "rate",
        Entry {
            rule: "SYNC_BOUND",
            base: Base::Training,
            swept: "synchronisations in 10 s (500)",
            may: &[],
            plant: |x, by| syncs(x, by.below(ms(20)), ms(3), false),
            twins: &[],
        },
    ),
    (
        "rate",
        Entry {
            rule: "MEMCPY_BOUND",
            base: Base::Training,
            swept: "rate of copies that block (200 MB/s)",
            may: &[],
            plant: |x, by| {
                steps(x, |x| {
                    (0..8).for_each(|_| x.upload("cudaMemcpy", ms(6), by.of(200_000_000)));
                });
            },
            twins: &[],
        },
    ),
    (
        "rate",
        Entry {
            rule: "ALLOC_CHURN",
            base: Base::Training,
            swept: "allocations and frees in 10 s (100)",
            may: &[],
            plant: |x, by| {
                each(x, by.below(ms(100)), |x| {
                    x.malloc(20 << 20, ms(6), 0);
                    x.pass(ms(2));
                    x.free(ms(6));
                    x.pass(ms(2));
                });
            },
            twins: &[],
        },
    ),
    (
        "rate",
        Entry {
            rule: "PINNED_ALLOC_HOT",
            base: Base::Training,
            swept: "times that memory is pinned in 10 s (50)",
            may: &[],
            plant: |x, by| each(x, by.below(ms(200)), |x| x.pin(64 << 20, ms(20))),
            twins: &[],
        },
    ),
    (
        "share",
        Entry {
            rule: "TINY_COPY_STORM",
            base: Base::Training,
            swept: "share of the time in small copies (10 %)",
            may: &[],
            plant: |x, by| tiny_copies(x, 2_500, 4096, by.of(40 * US)),
            twins: &[],
        },
    ),
    (
        "count",
        Entry {
            rule: "DRIVER_LOCK_CONTENTION",
            base: Base::Training,
            swept: "slow launches while another thread frees memory (5)",
            may: &[],
            plant: |x, by| locked(x, by.count(5), 5_800 * US, 0),
            twins: &[],
        },
    ),
    (
        "ratio",
        Entry {
            rule: "CUDA_HANG",
            base: Base::Training,
            swept: "how long a call has not returned, in times of the longest that did (10 times 1.5 s)",
            may: &[],
            plant: |x, by| {
                x.step(|x| x.sync(ms(1_500)));
                x.calm(s(5));
                x.never_returns(Source::Cuda, "cudaStreamSync", by.of(s(15)));
            },
            twins: &[],
        },
    ),
    (
        "minute",
        Entry {
            rule: "CUDA_HANG",
            base: Base::Training,
            swept: "how long a call has not returned, others took 12 s (60 s)",
            may: &[],
            plant: |x, by| {
                x.step(|x| x.sync(s(12)));
                x.calm(s(5));
                x.never_returns(Source::Cuda, "cudaStreamSync", by.of(s(60)));
            },
            twins: &[],
        },
    ),
];

//! Healthy traces that look like trouble: the negative controls N1 to N30 of the catalogue of pathologies.
//! Nothing of LOW or above may be named in any of them.

use super::super::stage::{Off, direction};
use super::Control;
use super::blocks::{ms, s};
use super::scene::{Base, JOB, NEIGHBOUR, Scene};
use crate::unit::{Interval, US};

/// A host thread of the kernel that writes back.
const WRITER: i64 = 88;

/// Steps with something in each, for 20 s.
fn steps(x: &mut Scene<'_>, mut planted: impl FnMut(&mut Scene<'_>)) {
    x.during(s(20), |x| x.step(&mut planted));
}

/// Decoding with one request open: a token from `launches` kernels or from a graph.
fn decode(x: &mut Scene<'_>, time: i64, launches: i64) {
    x.during(time, |x| {
        let start = x.main.now;
        if launches > 0 {
            x.launches(launches, 30 * US);
        } else {
            x.graph_launch(60 * US);
        }
        x.sync(ms(25) - 400 * US - (x.main.now - start));
        x.main.now = start + ms(25);
        x.tick();
    });
}

/// A request that is open for so long from now on.
fn open(x: &mut Scene<'_>, time: i64) {
    x.open_request(128, Interval::new(x.main.now, x.main.now + time), ms(40));
}

pub(super) const CONTROLS: &[Control] = &[
    Control {
        name: "n01-idle-spin",
        about: "a server spins at 100 % CPU for half an hour without a request",
        base: Base::Serving,
        guards: &[
            "FRONTEND_CPU_BOUND",
            "IDLE_GPU_GAPS",
            "CPU_OVERSUBSCRIPTION",
            "ENGINE_STALL",
        ],
        plant: |x| {
            (x.host.cpu, x.nap) = ((97, 100), s(2));
            x.pass(s(1_800));
            x.tick();
            x.nap = ms(100);
        },
    },
    Control {
        name: "n02-poll-sleeps",
        about: "nothing but sleeps of 100 ms for 8.9 s",
        base: Base::Serving,
        guards: &[
            "LAUNCH_TAIL_CONTENTION",
            "ENGINE_STALL",
            "NOISY_NEIGHBOUR",
            "CPU_THROTTLED_CGROUP",
        ],
        plant: |x| x.idle(s(9)),
    },
    Control {
        name: "n03-queue-full",
        about: "launches at the pace of kernels, because the queue is full",
        base: Base::Training,
        guards: &["LAUNCH_TAIL_CONTENTION", "LAUNCH_BLOCKING_ON", "SMALL_KERNEL_STORM"],
        plant: |x| {
            for _ in 0..3 {
                for i in 0..4_000 {
                    x.launch(if i < 1_000 { 6 * US } else { 190 * US });
                    x.pass(3 * US);
                }
                x.device_sync(ms(190));
                x.tick();
            }
            x.calm(s(10));
        },
    },
    Control {
        name: "n04-long-syncs",
        about: "decoding with graphs, 95 % of the time in one synchronisation a token",
        base: Base::Serving,
        guards: &["SYNC_BOUND", "IDLE_GPU_GAPS", "DECODE_HOST_GAP"],
        plant: |x| {
            open(x, s(20));
            decode(x, s(20), 0);
        },
    },
    Control {
        name: "n05-start-up",
        about: "40 s of start-up: the context, first uses of up to 71 ms, weights from pageable memory",
        base: Base::Starting,
        guards: &["ALLOC_CHURN", "PAGEABLE_COPY", "LAUNCH_TAIL_CONTENTION", "MEMCPY_BOUND"],
        plant: |x| {
            x.during(s(30), |x| {
                x.malloc(128 << 20, 200 * US, 0);
                x.upload("cudaMemcpyAsync", ms(15), 9_000_000_000);
                x.pass(ms(150));
                x.tick();
            });
            for dur in [71, 1, 9, 14, 30, 2, 5, 3] {
                x.first_use(ms(dur));
            }
            x.calm(s(20));
        },
    },
    Control {
        name: "n06-two-sizes",
        about: "copies of two sizes, the larger take 98 times as long",
        base: Base::Training,
        guards: &["MEMCPY_BOUND", "LAUNCH_TAIL_CONTENTION", "PAGEABLE_COPY"],
        plant: |x| {
            let mut n = 0;
            steps(x, |x| {
                (0..20).for_each(|_| x.copy("cudaMemcpyAsync", direction::H2D, 4096, 9 * US));
                n += 1;
                if n <= 72 {
                    x.copy("cudaMemcpyAsync", direction::H2D, 8_700_000, 930 * US);
                }
            });
        },
    },
    Control {
        name: "n07-capture-sweep",
        about: "graphs of 67 sizes are captured at the start, 30 of them are never launched",
        base: Base::Starting,
        guards: &["GRAPH_RECAPTURE", "GRAPH_CAPTURE_FAIL"],
        plant: |x| {
            for size in 0..67 {
                x.capture(ms(4), 0);
                if size < 37 {
                    x.graph_launch(90 * US);
                }
                x.pass(ms(60));
            }
            x.tick();
            x.calm(s(40));
        },
    },
    Control {
        name: "n08-compile-warm-up",
        about: "torch.compile warms up: 12 runs of ptxas in the first two minutes",
        base: Base::Starting,
        guards: &["JIT_COMPILE_STALL", "BLOCKED_ON_CHILD", "COLD_START"],
        plant: |x| {
            for _ in 0..12 {
                x.step(|x| {
                    x.child("ptxas", x.main.now + ms(300), s(3));
                    x.off(ms(3_500), Off::Sleep);
                    x.first_use(ms(2));
                });
                x.calm(ms(5_200));
            }
            x.calm(s(20));
        },
    },
    Control {
        name: "n09-probing",
        about: "allocations fail while the start probes how much memory there is",
        base: Base::Starting,
        guards: &["ALLOC_RETRY", "CUDA_ERROR_BURST"],
        plant: |x| {
            for _ in 0..12 {
                x.malloc(8 << 30, 300 * US, 2);
                x.pass(ms(4));
                (0..6).for_each(|_| x.free(300 * US));
                x.malloc(1 << 30, 300 * US, 0);
                x.pass(ms(90));
            }
            x.tick();
            x.calm(s(40));
        },
    },
    Control {
        name: "n10-not-ready",
        about: "an event is polled a thousand times a second and has not happened yet",
        base: Base::Training,
        guards: &["CUDA_ERROR_BURST"],
        plant: |x| {
            x.during(s(4), |x| {
                x.step(|x| {
                    for _ in 0..190 {
                        x.query_event();
                        x.pass(900 * US);
                    }
                });
            });
            x.calm(s(8));
        },
    },
    Control {
        name: "n11-checkpoint",
        about: "an evaluation and a checkpoint take 3 % of the time",
        base: Base::Training,
        guards: &["IDLE_GPU_GAPS", "DISK_READ_BOUND", "MEMCPY_BOUND"],
        plant: |x| {
            for _ in 0..2 {
                x.calm(s(9));
                x.step(|x| {
                    x.launches(40, 50 * US);
                    x.copy("cudaMemcpy", direction::D2H, 2_000_000_000, ms(160));
                    (0..20).for_each(|_| x.disk("block_write", WRITER, ms(9), 200_000));
                    x.pass(ms(120));
                });
            }
        },
    },
    Control {
        name: "n12-fewer-clients",
        about: "clients ask less: launches fall by 80 %, in step with the requests",
        base: Base::Serving,
        guards: &["LAUNCH_RATE_COLLAPSE", "ENGINE_STALL"],
        plant: |x| {
            open(x, s(9));
            decode(x, s(9), 6);
            for _ in 0..7 {
                open(x, ms(200));
                decode(x, ms(200), 6);
                x.idle(ms(800));
            }
        },
    },
    Control {
        name: "n13-eager-to-graph",
        about: "kernels become graphs: launches fall by 70 % and as many tokens come out",
        base: Base::Serving,
        guards: &["LAUNCH_RATE_COLLAPSE"],
        plant: |x| {
            open(x, s(20));
            decode(x, s(9), 4);
            decode(x, s(10), 0);
        },
    },
    Control {
        name: "n14-short-gaps",
        about: "gaps of 2 ms each 200 ms, 1 % of the time",
        base: Base::Serving,
        guards: &["IDLE_GPU_GAPS", "SYNC_BOUND"],
        plant: |x| {
            open(x, s(32));
            x.during(s(32), |x| {
                let start = x.main.now;
                x.launches(20, 200 * US);
                x.sync(ms(198) - (x.main.now - start));
                x.main.now = start + ms(200);
                x.tick();
            });
        },
    },
    Control {
        name: "n15-static-swap",
        about: "3 GB of swap in use that do not change, memory 96 % full of page cache",
        base: Base::Training,
        guards: &["SWAP_PRESSURE"],
        plant: |x| {
            x.host_was(|h| (h.swap, h.mem) = (3_000, 96));
            x.calm(s(20));
        },
    },
    Control {
        name: "n16-many-cores",
        about: "a load of 60 on 128 cores",
        base: Base::Training,
        guards: &["CPU_OVERSUBSCRIPTION", "NOISY_NEIGHBOUR"],
        plant: |x| {
            x.host_was(|h| (h.load, h.cpu, h.cores) = (60, (44, 49), 128));
            x.calm(s(20));
        },
    },
    Control {
        name: "n17-many-switches",
        about: "24,347 short voluntary switches in 60 s",
        base: Base::Training,
        guards: &["NOISY_NEIGHBOUR", "LAUNCH_TAIL_CONTENTION", "CPU_OVERSUBSCRIPTION"],
        plant: |x| {
            x.during(s(60), |x| {
                x.step(|x| {
                    for _ in 0..80 {
                        x.off(300 * US, Off::Sleep);
                        x.pass(40 * US);
                    }
                });
            });
        },
    },
    Control {
        name: "n18-pages",
        about: "994,000 pages in a load phase, and 43,606 in a minute of work",
        base: Base::Starting,
        guards: &["PAGE_ALLOC_STORM"],
        plant: |x| {
            for _ in 0..8 {
                x.pages(JOB, 994_000 / 8);
                x.step(|x| x.pass(ms(700)));
            }
            x.calm(s(25));
            for _ in 0..20 {
                x.pages(JOB, 43_606 / 60);
                x.calm(s(1));
            }
        },
    },
    Control {
        name: "n19-retransmits",
        about: "12 retransmits a second, of ssh and of nobody, and no stall",
        base: Base::Training,
        guards: &["ENGINE_STALL"],
        plant: |x| {
            steps(x, |x| {
                x.retransmit(NEIGHBOUR);
                x.pass(ms(2));
                x.retransmit(0);
            });
        },
    },
    Control {
        name: "n20-jitter",
        about: "a rank of a data-parallel job with 3 % of jitter",
        base: Base::Rank,
        guards: &["NCCL_SMALL_MESSAGES", "NCCL_HANG"],
        plant: |x| {
            steps(x, |x| {
                let late = x.around(ms(6), 100);
                x.pass(late);
            });
        },
    },
    Control {
        name: "n21-first-collective",
        about: "the first collective takes 4 s, the others 2 ms",
        base: Base::Starting,
        guards: &["NCCL_INIT_SLOW", "NCCL_HANG"],
        plant: |x| {
            x.watched("nccl");
            x.step(|x| x.collective(25 << 20, s(4)));
            x.during(s(45), |x| x.step(|x| x.collective(25 << 20, ms(2))));
        },
    },
    Control {
        name: "n22-one-rank",
        about: "only one of eight ranks was recorded",
        base: Base::Rank,
        guards: &["NCCL_HANG", "NCCL_SMALL_MESSAGES"],
        plant: |x| x.calm(s(20)),
    },
    Control {
        name: "n23-sampler",
        about: "the recorder stores every call for 10 s, then few, then all again: rows come 100 times as fast",
        base: Base::Serving,
        guards: &["LAUNCH_RATE_COLLAPSE"],
        plant: |x| {
            open(x, s(24));
            x.record_all = false;
            decode(x, s(8), 6);
            let from = x.main.now;
            decode(x, s(8), 6);
            x.stage.count_only(Interval::new(from, x.main.now));
            decode(x, s(7), 6);
        },
    },
    Control {
        name: "n24-write-back",
        about: "journald and the kernel write 500 MB beside the training",
        base: Base::Training,
        guards: &["DISK_READ_BOUND", "SWAP_PRESSURE"],
        plant: |x| {
            steps(x, |x| {
                (0..5).for_each(|_| x.disk("block_write", WRITER, ms(4), 2_000));
            });
        },
    },
    Control {
        name: "n25-spinning-helpers",
        about: "helper threads of NCCL spin at 100 % CPU",
        base: Base::Rank,
        guards: &["CPU_OVERSUBSCRIPTION", "NCCL_SMALL_MESSAGES"],
        plant: |x| {
            x.host.cpu = (60, 75);
            steps(x, |x| x.helper.now = x.main.now + ms(200));
        },
    },
    Control {
        name: "n26-polls",
        about: "nvidia-smi once a second, and slow launches at other times",
        base: Base::Training,
        guards: &["MONITORING_POLL_SPIKE"],
        plant: |x| {
            for n in 0..24 {
                x.step(|x| {
                    let at = x.main.now;
                    x.run_program("nvidia-smi", at + ms(20), ms(30), 1);
                    x.pass(ms(if n % 12 == 0 { 25 } else { 70 }));
                    x.launch(ms(6));
                });
                x.calm(ms(750));
            }
        },
    },
    Control {
        name: "n27-accumulation",
        about: "gradients are accumulated: eight light steps and a heavy one",
        base: Base::Rank,
        guards: &["SYNC_BOUND", "NCCL_SMALL_MESSAGES", "DATALOADER_STARVATION"],
        plant: |x| {
            let mut n = 0;
            steps(x, |x| {
                n += 1;
                if n % 9 == 0 {
                    (0..4).for_each(|_| x.collective(25 << 20, 40 * US));
                    x.launches(60, 60 * US);
                    x.sync(ms(160));
                }
            });
        },
    },
    Control {
        name: "n28-notebook",
        about: "a notebook: two seconds of work, five minutes of nothing",
        base: Base::Training,
        guards: &["IDLE_GPU_GAPS", "DATALOADER_STARVATION", "ENGINE_STALL"],
        plant: |x| {
            x.nap = s(2);
            for _ in 0..2 {
                x.calm(s(2));
                x.off(s(300), Off::Sleep);
                x.tick();
            }
            x.nap = ms(100);
        },
    },
    Control {
        name: "n29-tensor-parallel",
        about: "decoding in tensor parallel: 2,000 small collectives a second",
        base: Base::Rank,
        guards: &["NCCL_SMALL_MESSAGES"],
        plant: |x| {
            open(x, s(3));
            let start = x.main.now;
            for n in 1..=6_000 {
                x.collective(16 << 10, 11 * US);
                if n % 20 == 0 {
                    x.graph_launch(60 * US);
                }
                x.main.now = x.main.now.max(start + n * (s(1) / 2_000));
                x.tick();
            }
            x.calm(s(9));
        },
    },
    Control {
        name: "n29-logprobs",
        about: "every request asks for the logprobs of one token",
        base: Base::Serving,
        guards: &[
            "LOGPROBS_AMPLIFICATION",
            "SLOW_FIRST_TOKEN",
            "HOL_BLOCKING",
            "DECODE_HOST_GAP",
        ],
        plant: |x| {
            x.logprobs = Some(1);
            for _ in 0..8 {
                x.serve(128, 40, |_| ());
                x.idle(ms(600));
            }
        },
    },
    Control {
        name: "n30-short",
        about: "a recording of 8 s",
        base: Base::Starting,
        guards: &["COLD_START", "LAZY_KERNEL_LOAD", "ALLOC_CHURN"],
        plant: |x| x.calm(s(2)),
    },
    Control {
        name: "n30-empty-window",
        about: "a recording in which nothing happens",
        base: Base::Nothing,
        guards: &["ENGINE_STALL", "CUDA_HANG", "TRACE_INCOMPLETE"],
        plant: |x| {
            x.main.now += s(60);
            x.tick();
            x.over = true;
        },
    },
    Control {
        name: "n30-no-rows",
        about: "a recording without a row",
        base: Base::Nothing,
        guards: &["ENGINE_STALL", "CUDA_HANG"],
        plant: |x| x.over = true,
    },
];

//! An analysis made by hand, realistic in every part that a report shows: the published case of a
//! serving engine that lost its core, as this tool would tell it.

#![allow(clippy::unwrap_used, reason = "test data")]

use ingero::diagnosis::{
    Analysis, Diagnosis, Evidence, Factors, GpuProcess, KeyValues, Link, Measured, NearMiss, Recording, RuleResult,
    Severity, Status, StoredVerdict, TraceSummary, Witness,
};
use ingero::unit::{Dim, Interval, MS, Num, SEC, Style, US};

/// 2026-04-02T04:38:10Z.
pub(crate) const START: i64 = 1_775_104_690 * SEC;

fn at(ms: i64, dur_ns: i64) -> Interval {
    Interval::new(START + ms * MS, START + ms * MS + dur_ns)
}

fn exact(n: i64) -> Measured {
    Measured::Exact(Num::int(n.into()))
}

fn ratio(n: i64, d: i64) -> Measured {
    Measured::Exact(Num::ratio(n.into(), d.into()).unwrap())
}

fn engine(op: Option<&str>) -> KeyValues {
    KeyValues {
        node: "gpu-07".to_owned(),
        pid: Some(4121),
        process: Some("VLLM::EngineCor".to_owned()),
        tid: Some(4121),
        op: op.map(str::to_owned),
        more: Vec::new(),
    }
}

fn witness(when: Interval, thread: (i64, &str), op: &str, detail: &str) -> Witness {
    let layer = match op {
        _ if op.starts_with("off_cpu") => "HOST",
        _ if op.starts_with("request.") => "REQUEST",
        _ => "CUDA",
    };
    Witness {
        layer,
        when,
        tid: Some(thread.0),
        thread: thread.1.to_owned(),
        op: op.to_owned(),
        detail: detail.to_owned(),
        row: None,
    }
}

fn base(rank: usize, rule: &str, title: &str, severity: Severity) -> Diagnosis {
    Diagnosis {
        rank,
        rule: rule.to_owned(),
        rule_id: rule.to_lowercase().replace('_', "-"),
        title: title.to_owned(),
        severity,
        score: 640,
        confidence: 910,
        factors: Factors {
            severity: 800,
            data_quality: 1000,
            support: 1000,
            link: 1000,
            evidence: 910,
            time_lost: 420,
        },
        impact_ns: 0,
        key: engine(None),
        link: None,
        when: at(0, 0),
        incidents: 1,
        message: String::new(),
        explanation: String::new(),
        refuted_by: String::new(),
        fixes: Vec::new(),
        evidence: Vec::new(),
        explains: Vec::new(),
        explained_by: None,
        refs: Vec::new(),
    }
}

fn measure(layer: &'static str, text: &str, value: Measured, dim: Dim, limit: Option<Measured>) -> Evidence {
    Evidence {
        layer,
        text: text.to_owned(),
        metric: text.split([' ', '[']).next().unwrap().to_owned(),
        value,
        dim,
        style: Style::Auto,
        relation: text
            .split(' ')
            .rev()
            .find(|w| limit.is_some() && [">", ">=", "<"].contains(w))
            .unwrap_or("exists")
            .to_owned(),
        threshold: limit,
        samples: 0,
        n_witnesses: 0,
        witnesses: Vec::new(),
    }
}

fn hol_blocking() -> Diagnosis {
    let thread = (4121, "VLLM::EngineCor");
    Diagnosis {
        impact_ns: 10_940 * MS,
        link: Some(Link::Process),
        when: at(12_310, 11_020 * MS),
        message: "Two short requests (128 tokens each) waited 10.9 s, 8.1 s of it while the engine worked on 4 \
                  requests of 2,048 tokens that were admitted in the same 40 ms."
            .to_owned(),
        explanation: "What it finds: a light request that waits while heavier ones are served.\n\
                      How it decides: at least half of the wait lies inside the service of requests with four times \
                      the tokens."
            .to_owned(),
        refuted_by: "the wait of the short requests stays the same when the long ones are sent alone".to_owned(),
        fixes: vec![
            "Turn on chunked prefill and keep max_num_batched_tokens at or below 2,048, so that a long prompt \
             cannot fill a whole step."
                .to_owned(),
            "Send long prompts to a replica of their own.".to_owned(),
        ],
        evidence: vec![
            Evidence {
                samples: 6,
                n_witnesses: 2,
                style: Style::Percent,
                witnesses: vec![
                    witness(
                        at(12_310, 10_940 * MS),
                        (4100, "vllm"),
                        "request.wait",
                        "cmpl-5, 128 tokens",
                    ),
                    witness(
                        at(12_325, 10_870 * MS),
                        (4100, "vllm"),
                        "request.wait",
                        "cmpl-6, 128 tokens",
                    ),
                ],
                ..measure(
                    "REQUEST",
                    "covered(request.wait, request.service[prompt_tokens >= 4*p50], process) >= 50%",
                    ratio(81, 109),
                    Dim::NONE,
                    Some(ratio(1, 2)),
                )
            },
            Evidence {
                samples: 5_214,
                n_witnesses: 75,
                witnesses: vec![witness(at(14_020, 356 * MS), thread, "cudaLaunchKernel", "")],
                ..measure(
                    "CUDA",
                    "cuda.launch[not first_use].p99 > 3*p50",
                    exact(444 * US),
                    Dim::TIME,
                    Some(exact(210 * US)),
                )
            },
            Evidence {
                n_witnesses: 1,
                witnesses: vec![witness(
                    at(13_100, 2_500 * MS),
                    thread,
                    "off_cpu",
                    "runnable for 2.31 s, ran before: stress-ng",
                )],
                ..measure(
                    "HOST",
                    "sched.off_cpu(pid) > 1s",
                    exact(2_500 * MS),
                    Dim::TIME,
                    Some(exact(SEC)),
                )
            },
        ],
        explains: vec![1, 3],
        refs: vec!["https://docs.vllm.ai/en/latest/configuration/optimization.html".to_owned()],
        key: KeyValues {
            tid: None,
            ..engine(None)
        },
        ..base(
            1,
            "HOL_BLOCKING",
            "a light request waits behind heavier ones",
            Severity::High,
        )
    }
}

fn engine_stall() -> Diagnosis {
    Diagnosis {
        score: 610,
        confidence: 880,
        impact_ns: 2_500 * MS,
        link: Some(Link::Thread),
        when: at(13_100, 2_500 * MS),
        message: "The engine thread was off CPU for 2.5 s while 6 requests were open; for 2.31 s of it it was \
                  runnable and waited for a CPU."
            .to_owned(),
        evidence: vec![Evidence {
            samples: 1,
            n_witnesses: 1,
            style: Style::Percent,
            witnesses: vec![witness(
                at(13_100, 2_500 * MS),
                (4121, "VLLM::EngineCor"),
                "off_cpu",
                "runnable for 2.31 s, ran before: stress-ng",
            )],
            ..measure(
                "HOST",
                "covered(gap(gpu) > 500ms, sched.runq) >= 50%",
                ratio(924, 1000),
                Dim::NONE,
                Some(ratio(1, 2)),
            )
        }],
        explained_by: Some(0),
        explains: vec![2],
        ..base(
            2,
            "ENGINE_STALL",
            "the engine stops while requests are open",
            Severity::High,
        )
    }
}

fn rate_collapse() -> Diagnosis {
    Diagnosis {
        score: 300,
        confidence: 700,
        impact_ns: 4 * SEC,
        when: at(14_000, 5 * SEC),
        message: "Launches fell from 1,051/s to 208/s.".to_owned(),
        evidence: vec![Evidence {
            samples: 18_240,
            n_witnesses: 1,
            ..measure(
                "CUDA",
                "gpu.launch.rate over 1s < 40% * gpu.launch.rate@first_half",
                Measured::Exact(Num::ratio(208, SEC.into()).unwrap()),
                Dim::RATE,
                Some(Measured::Exact(Num::ratio(1_051 * 2, 5 * i128::from(SEC)).unwrap())),
            )
        }],
        explained_by: Some(0),
        ..base(4, "LAUNCH_RATE_COLLAPSE", "launches fall off", Severity::Medium)
    }
}

fn tail() -> Diagnosis {
    Diagnosis {
        score: 250,
        confidence: 455,
        factors: Factors {
            severity: 550,
            data_quality: 1000,
            support: 500,
            link: 1000,
            evidence: 910,
            time_lost: 40,
        },
        impact_ns: 312 * MS,
        key: engine(Some("cudaLaunchKernel")),
        link: Some(Link::Thread),
        when: at(14_020, 356 * MS),
        message: "One cudaLaunchKernel took 356 ms; 311 ms of it the thread was runnable and had no CPU.".to_owned(),
        evidence: vec![Evidence {
            samples: 1,
            n_witnesses: 1,
            style: Style::Percent,
            witnesses: vec![witness(
                at(14_020, 356 * MS),
                (4121, "VLLM::EngineCor"),
                "cudaLaunchKernel",
                "",
            )],
            ..measure(
                "CUDA",
                "covered(cuda.launch[not first_use, duration > 3*p50], sched.runq) >= 50%",
                ratio(311, 356),
                Dim::NONE,
                Some(ratio(1, 2)),
            )
        }],
        explained_by: Some(1),
        ..base(3, "LAUNCH_TAIL_CONTENTION", "launches wait for a CPU", Severity::Medium)
    }
}

fn pageable() -> Diagnosis {
    Diagnosis {
        score: 90,
        confidence: 700,
        factors: Factors {
            severity: 300,
            data_quality: 700,
            support: 1000,
            link: 1000,
            evidence: 1000,
            time_lost: 21,
        },
        impact_ns: 64 * MS,
        key: engine(Some("cudaMemcpyAsync")),
        when: at(2_000, 24 * SEC),
        incidents: 3,
        message: "72 asynchronous copies of 8.7 MB ran at 8.4 to 10.3 GB/s and blocked the caller.".to_owned(),
        refuted_by: "the copies take as long after the source buffer is page-locked".to_owned(),
        fixes: vec!["Use pin_memory=True and non_blocking=True; reuse the pinned buffers.".to_owned()],
        evidence: vec![
            Evidence {
                samples: 72,
                n_witnesses: 72,
                witnesses: vec![
                    Witness {
                        row: Some(20_411),
                        ..witness(
                            at(2_000, 1_030 * US),
                            (4121, "VLLM::EngineCor"),
                            "cudaMemcpyAsync",
                            "8.7 MB h2d",
                        )
                    },
                    Witness {
                        row: Some(48_007),
                        ..witness(at(25_999, 1_010 * US), (4188, ""), "cudaMemcpyAsync", "8.7 MB h2d")
                    },
                ],
                ..measure(
                    "CUDA",
                    "cuda.memcpy[direction = h2d, bytes >= 1MiB].throughput < 15GB/s",
                    Measured::Between(Some(Num::ratio(84, 10).unwrap()), Some(Num::ratio(103, 10).unwrap())),
                    Dim::THROUGHPUT,
                    Some(exact(15)),
                )
            },
            measure(
                "CUDA",
                "cuda.memcpy[direction = h2d].count >= 10",
                Measured::Between(Some(Num::int(72)), None),
                Dim::NONE,
                Some(exact(10)),
            ),
        ],
        ..base(5, "PAGEABLE_COPY", "an asynchronous copy that blocks", Severity::Low)
    }
}

fn sampled() -> Diagnosis {
    Diagnosis {
        score: 10,
        confidence: 1000,
        factors: Factors {
            severity: 100,
            data_quality: 1000,
            support: 1000,
            link: 1000,
            evidence: 1000,
            time_lost: 0,
        },
        key: KeyValues {
            node: "gpu-07".to_owned(),
            ..KeyValues::default()
        },
        when: at(0, 30 * SEC),
        message: "Of 1,204,331 calls 1,019,999 were counted only: percentiles are bounds.".to_owned(),
        ..base(6, "SAMPLED_RATES", "the recorder stored a selection", Severity::Info)
    }
}

fn rule(name: &str, file: &str, status: Status, reason: &str, keys: (usize, usize)) -> RuleResult {
    RuleResult {
        id: name.to_lowercase().replace('_', "-"),
        name: name.to_owned(),
        title: String::new(),
        file: format!("rules/{file}.rules"),
        status,
        reason: reason.to_owned(),
        keys,
    }
}

/// The article's case.
pub(crate) fn article() -> Analysis {
    let io = "the trace has no rows of source `io`: its probes were not attached";
    let nccl = "the trace has no rows of source `nccl`";
    Analysis {
        traces: vec![TraceSummary {
            path: "traces/vllm-hol.db".to_owned(),
            nodes: vec!["gpu-07".to_owned()],
            generation: "0.10".to_owned(),
            events: 184_332,
            observed: Some(at(0, 30 * SEC)),
            stored: "every event of the first 10 s, then slow calls only".to_owned(),
            not_stored: 1_019_999,
            lost: None,
            gpu_processes: vec![GpuProcess {
                node: "gpu-07".to_owned(),
                pid: 4121,
                name: "VLLM::EngineCor".to_owned(),
                launches: 18_240,
                steady_ns: 12 * SEC,
            }],
            notes: vec!["The bucket of 04:38:15 was overwritten by a late event and counts too little.".to_owned()],
            reader: "range scan, 2 connections".to_owned(),
        }],
        recordings: vec![Recording {
            nodes: vec!["gpu-07".to_owned()],
            whole: at(0, 30 * SEC),
            judged: Some(at(0, 30 * SEC)),
        }],
        rules: vec![
            rule("HOL_BLOCKING", "vllm", Status::Fired, "", (2, 0)),
            rule("ENGINE_STALL", "vllm", Status::Fired, "", (2, 0)),
            rule("LAUNCH_RATE_COLLAPSE", "cuda", Status::Fired, "", (2, 0)),
            rule("LAUNCH_TAIL_CONTENTION", "cuda", Status::Fired, "", (2, 1)),
            rule("PAGEABLE_COPY", "cuda", Status::Fired, "", (2, 0)),
            rule("SAMPLED_RATES", "trace", Status::Fired, "", (1, 0)),
            rule("LAZY_KERNEL_LOAD", "cuda", Status::Quiet, "", (2, 0)),
            rule("LAUNCH_QUEUE_FULL", "cuda", Status::Quiet, "", (2, 0)),
            rule("OOM_KILL", "host", Status::Quiet, "", (1, 0)),
            rule("CHECKPOINT_STALL", "host", Status::NotApplicable, io, (0, 0)),
            rule("SWAP_STORM", "host", Status::NotApplicable, io, (0, 0)),
            rule("STRAGGLER", "host", Status::NotApplicable, nccl, (0, 0)),
            rule(
                "SYNC_BOUND",
                "cuda",
                Status::Unknown,
                "cuda.sync.p99 has 4 samples and needs 10",
                (2, 2),
            ),
        ],
        diagnoses: vec![
            hol_blocking(),
            engine_stall(),
            tail(),
            rate_collapse(),
            pageable(),
            sampled(),
        ],
        near_misses: vec![
            NearMiss {
                rule: "CPU_OVERSUBSCRIPTION".to_owned(),
                key: KeyValues {
                    node: "gpu-07".to_owned(),
                    ..KeyValues::default()
                },
                nearness: 940,
                reason: "system.load_per_core.avg = 1.41 (needs > 1.5)".to_owned(),
            },
            NearMiss {
                rule: "MEMCPY_BOUND".to_owned(),
                key: engine(Some("cudaMemcpyAsync")),
                nearness: 820,
                reason: "cuda.memcpy.busy = 16.4 % (needs >= 20 %)".to_owned(),
            },
        ],
        stored: vec![
            StoredVerdict {
                path: "traces/vllm-hol.db".to_owned(),
                node: "gpu-07".to_owned(),
                severity: "HIGH".to_owned(),
                summary: "cudaMemcpyAsync p99=1.0ms (4.1x p50) - 1,242 context switches".to_owned(),
                repeats: 316,
                op: "cudaMemcpyAsync".to_owned(),
                overlap: Some(12),
                ours: "PAGEABLE_COPY".to_owned(),
                verdict: "contradicted",
            },
            StoredVerdict {
                path: "traces/vllm-hol.db".to_owned(),
                node: "gpu-07".to_owned(),
                severity: "MEDIUM".to_owned(),
                summary: "cudaLaunchKernel p99=444us (6.4x p50) - 371 context switches".to_owned(),
                repeats: 1,
                op: "cudaLaunchKernel".to_owned(),
                overlap: Some(874),
                ours: "LAUNCH_TAIL_CONTENTION".to_owned(),
                verdict: "confirmed",
            },
        ],
    }
}

/// Nothing found, on two nodes, one of which holds nothing.
pub(crate) fn healthy() -> Analysis {
    let article = article();
    let trace = article.traces[0].clone();
    Analysis {
        traces: vec![
            TraceSummary {
                stored: "every event".to_owned(),
                not_stored: 0,
                lost: Some(0),
                notes: Vec::new(),
                ..trace
            },
            TraceSummary {
                path: "traces/empty.db".to_owned(),
                nodes: vec!["gpu-08".to_owned()],
                generation: "0.9".to_owned(),
                ..TraceSummary::default()
            },
        ],
        recordings: article.recordings,
        rules: article
            .rules
            .into_iter()
            .map(|r| RuleResult {
                status: if r.status == Status::Fired {
                    Status::Quiet
                } else {
                    r.status
                },
                keys: (r.keys.0, 0),
                ..r
            })
            .collect(),
        ..Analysis::default()
    }
}

/// Names that try to steer the terminal, and numbers at their edges.
pub(crate) fn hostile() -> Analysis {
    let mut a = article();
    a.diagnoses.truncate(1);
    let d = &mut a.diagnoses[0];
    d.explains = vec![0, 7];
    "A_RULE_WITH_A_NAME_THAT_IS_LONGER_THAN_ANY_COLUMN_OF_THE_SUMMARY_CAN_BE".clone_into(&mut d.rule);
    d.key.process = Some("\x1b[2J\u{202e}evil|name`".to_owned());
    "a\tb\r<script> 一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十"
        .clone_into(&mut d.message);
    d.evidence[0].value = Measured::Unknown;
    d.evidence[1].value = Measured::Between(None, Some(Num::int(i128::MAX)));
    d.evidence[2].witnesses[0].detail = "x".repeat(300);
    "a very long name of a thread that has no end".clone_into(&mut d.evidence[2].witnesses[0].thread);
    a
}

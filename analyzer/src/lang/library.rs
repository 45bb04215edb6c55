//! The library that is part of the program: the shipped packs, also as `import "std/…"`.

/// Every shipped pack: name and text, by name.
pub const PACKS: &[(&str, &str)] = &[
    ("cuda", include_str!("../../../rules/cuda.rules")),
    ("host", include_str!("../../../rules/host.rules")),
    ("nccl", include_str!("../../../rules/nccl.rules")),
    ("pytorch", include_str!("../../../rules/pytorch.rules")),
    ("trace", include_str!("../../../rules/trace.rules")),
    ("vllm", include_str!("../../../rules/vllm.rules")),
];

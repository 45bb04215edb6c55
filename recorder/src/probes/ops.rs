//! Every library function that is probed: what op it is and where its arguments lie.
//!
//! One generic program serves them all; this table is packed into the attach cookies
//! (`events.h`, "The cookie says …").

/// A place an argument is taken from, as in `enum selector` of `events.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub enum Sel {
    None = 0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    S1,
    S2,
    S3,
    ConfigStream = 11,
    H2D,
    D2H,
    D2D,
}
use Sel::{ConfigStream, D2D, D2H, H2D, R1, R2, R3, R4, R5, R6, S1, S2, S3};

/// How a function is handled, as in `enum mode` of `events.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// A record with its duration.
    Call = 0,
    /// Only counted.
    Poll,
    /// A collective.
    Nccl,
    /// A communicator is made.
    NcclInit,
    /// Arguments lie in a `CUDA_MEMCPY2D`.
    Cu2D,
    /// `arg1` is a 32-bit `cudaMemcpyKind`.
    Kind,
    /// A communicator is made of a part of the ranks of another.
    NcclSplit,
}

/// The library a function is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lib {
    /// `libcudart.so*`, or a program with the runtime linked in.
    Runtime,
    /// `libcuda.so*`
    Driver,
    /// `libnccl.so*`
    Nccl,
}

/// What a call does; a driver call is left out when the runtime call around it is of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "named after what the calls do")]
pub enum Class {
    None = 0,
    Launch,
    Copy,
    Set,
    Alloc,
    Free,
    Wait,
    Graph,
}

/// One op, and the functions that are it.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Source number of the trace file.
    pub source: u8,
    /// Op number of the trace file.
    pub op: u8,
    /// Where to look.
    pub lib: Lib,
    /// Exported names, per-thread-stream variants not listed (see [`Op::symbols`]).
    pub names: &'static [&'static str],
    mode: Mode,
    class: Class,
    args: [Sel; 4],
    factor: Sel,
    shift: u8,
    out: (u8, u8),
}

const SRC_CUDA: u8 = 1;
const SRC_DRIVER: u8 = 4;
const SRC_GRAPH: u8 = 8;
const SRC_NCCL: u8 = 9;
const N: Sel = Sel::None;

impl Op {
    const fn new(lib: Lib, op: u8, class: Class, names: &'static [&'static str]) -> Self {
        let source = match lib {
            Lib::Runtime => SRC_CUDA,
            Lib::Driver => SRC_DRIVER,
            Lib::Nccl => SRC_NCCL,
        };
        Self {
            source,
            op,
            lib,
            names,
            mode: Mode::Call,
            class,
            args: [N; 4],
            factor: N,
            shift: 0,
            out: (0, 0),
        }
    }
    const fn graph(mut self) -> Self {
        self.source = SRC_GRAPH;
        self
    }
    const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// arg0 and arg1 of the row.
    const fn args(mut self, arg0: Sel, arg1: Sel) -> Self {
        self.args[0] = arg0;
        self.args[1] = arg1;
        self
    }
    const fn stream(mut self, s: Sel) -> Self {
        self.args[2] = s;
        self
    }
    const fn handle(mut self, s: Sel) -> Self {
        self.args[3] = s;
        self
    }
    const fn times(mut self, s: Sel) -> Self {
        self.factor = s;
        self
    }
    const fn shift(mut self, by: u8) -> Self {
        self.shift = by;
        self
    }
    /// arg1 is what the pointer in this argument register points to at the return.
    const fn out_arg1(mut self, register: u8) -> Self {
        self.out = (register, 0);
        self
    }
    const fn out_handle(mut self, register: u8) -> Self {
        self.out = (register, 1);
        self
    }

    /// The packed form; the layout is that of the `COOKIE_*` macros of `events.h`.
    pub fn cookie(&self) -> u64 {
        let class = match (self.class, self.lib) {
            (Class::None, _) => 0,
            (class, Lib::Driver) => class as u8 | 8,
            (class, _) => class as u8,
        };
        let fields: [(u64, u32); 13] = [
            (u64::from(self.source), 4),
            (u64::from(self.op), 8),
            (self.args[0] as u64, 4),
            (self.args[1] as u64, 4),
            (self.args[2] as u64, 4),
            (self.args[3] as u64, 4),
            (self.factor as u64, 4),
            (u64::from(self.shift), 2),
            (u64::from(self.out.0), 2),
            (u64::from(self.out.1), 1),
            (self.mode as u64, 3),
            (u64::from(class), 4),
            (0, 20),
        ];
        let mut cookie = 0;
        let mut at = 0;
        for (value, width) in fields {
            debug_assert!(value < 1 << width);
            cookie |= value << at;
            at += width;
        }
        cookie
    }

    /// Whether only the number of calls is kept.
    pub fn is_poll(&self) -> bool {
        self.mode == Mode::Poll
    }

    /// The names to look for: each listed one and its variants for per-thread default streams.
    pub fn symbols(&self) -> impl Iterator<Item = (&'static str, String)> {
        let variants: &'static [&'static str] = match self.lib {
            Lib::Nccl => &[""],
            Lib::Runtime | Lib::Driver => &["", "_ptsz", "_ptds"],
        };
        self.names
            .iter()
            .flat_map(move |name| variants.iter().map(move |v| (*name, format!("{name}{v}"))))
    }
}

const fn rt(op: u8, class: Class, names: &'static [&'static str]) -> Op {
    Op::new(Lib::Runtime, op, class, names)
}
const fn cu(op: u8, class: Class, names: &'static [&'static str]) -> Op {
    Op::new(Lib::Driver, op, class, names)
}
const fn nccl(op: u8, names: &'static [&'static str]) -> Op {
    Op::new(Lib::Nccl, op, Class::None, names)
}

/// All of them. Where two functions of one library share their code, the first one listed wins.
pub const OPS: &[Op] = &[
    // Runtime: memory.
    rt(1, Class::Alloc, &["cudaMalloc"]).args(R2, N).out_arg1(1),
    rt(2, Class::Free, &["cudaFree"]).args(R1, N),
    rt(8, Class::Alloc, &["cudaMallocManaged"]).args(R2, N).out_arg1(1),
    rt(104, Class::Alloc, &["cudaMallocAsync"])
        .args(R2, N)
        .stream(R3)
        .out_arg1(1),
    rt(104, Class::Alloc, &["cudaMallocFromPoolAsync"])
        .args(R2, N)
        .stream(R4)
        .out_arg1(1),
    rt(105, Class::Free, &["cudaFreeAsync"]).args(R1, N).stream(R2),
    rt(106, Class::Alloc, &["cudaHostAlloc"]).args(R2, N).out_arg1(1),
    rt(107, Class::Alloc, &["cudaMallocHost"]).args(R2, N).out_arg1(1),
    rt(108, Class::Free, &["cudaFreeHost"]).args(R1, N),
    rt(109, Class::Alloc, &["cudaHostRegister"]).args(R2, R1),
    rt(110, Class::Free, &["cudaHostUnregister"]).args(R1, N),
    rt(117, Class::Alloc, &["cudaMallocPitch"])
        .args(R3, N)
        .times(R4)
        .out_arg1(1),
    // Runtime: launches. dim3 takes two registers, so the stream is the second stack slot.
    rt(3, Class::Launch, &["cudaLaunchKernel"]).args(R1, S2),
    rt(101, Class::Launch, &["cudaLaunchKernelExC"]).args(R2, ConfigStream),
    rt(102, Class::Launch, &["cudaLaunchCooperativeKernel"]).args(R1, S2),
    // Runtime: copies and sets.
    rt(4, Class::Copy, &["cudaMemcpy"]).args(R3, R4).mode(Mode::Kind),
    rt(7, Class::Copy, &["cudaMemcpyAsync"])
        .args(R3, R4)
        .stream(R5)
        .mode(Mode::Kind),
    rt(9, Class::Copy, &["cudaMemcpy2D"])
        .args(R5, S1)
        .times(R6)
        .mode(Mode::Kind),
    rt(10, Class::Copy, &["cudaMemcpy2DAsync"])
        .args(R5, S1)
        .times(R6)
        .stream(S2)
        .mode(Mode::Kind),
    rt(11, Class::Copy, &["cudaMemcpyPeer"]).args(R5, D2D),
    rt(12, Class::Copy, &["cudaMemcpyPeerAsync"]).args(R5, D2D).stream(R6),
    rt(111, Class::Set, &["cudaMemset"]).args(R3, N),
    rt(112, Class::Set, &["cudaMemsetAsync"]).args(R3, N).stream(R4),
    rt(111, Class::Set, &["cudaMemset2D"]).args(R4, N).times(R5),
    rt(112, Class::Set, &["cudaMemset2DAsync"])
        .args(R4, N)
        .times(R5)
        .stream(R6),
    // Runtime: waiting and polling.
    rt(5, Class::Wait, &["cudaStreamSynchronize"]).args(R1, N),
    rt(6, Class::Wait, &["cudaDeviceSynchronize"]),
    rt(103, Class::Wait, &["cudaEventSynchronize"]).args(R1, N),
    rt(116, Class::None, &["cudaStreamWaitEvent"]).args(R1, R2),
    rt(113, Class::None, &["cudaEventQuery"]).mode(Mode::Poll),
    rt(114, Class::None, &["cudaStreamQuery"]).mode(Mode::Poll),
    rt(115, Class::None, &["cudaStreamIsCapturing"]).mode(Mode::Poll),
    // Runtime: graphs. arg0 is the graph an executable one comes from.
    rt(1, Class::Graph, &["cudaStreamBeginCapture"]).graph().stream(R1),
    rt(1, Class::Graph, &["cudaStreamBeginCaptureToGraph"])
        .graph()
        .stream(R1)
        .handle(R2),
    rt(2, Class::Graph, &["cudaStreamEndCapture"])
        .graph()
        .stream(R1)
        .out_handle(2),
    rt(
        3,
        Class::Graph,
        &[
            "cudaGraphInstantiate",
            "cudaGraphInstantiateWithFlags",
            "cudaGraphInstantiateWithParams",
        ],
    )
    .graph()
    .args(R2, N)
    .out_handle(1),
    rt(4, Class::Graph, &["cudaGraphLaunch"]).graph().stream(R2).handle(R1),
    rt(5, Class::Graph, &["cudaGraphDestroy"]).graph().handle(R1),
    rt(6, Class::Graph, &["cudaGraphExecUpdate"])
        .graph()
        .args(R2, N)
        .handle(R1),
    rt(7, Class::Graph, &["cudaGraphExecDestroy"]).graph().handle(R1),
    // Driver: memory. The unversioned names of the first CUDA releases take 32-bit sizes and are
    // not used by anything built since.
    cu(5, Class::Alloc, &["cuMemAlloc_v2"]).args(R2, N).out_arg1(1),
    cu(5, Class::Alloc, &["cuMemAllocPitch_v2"])
        .args(R3, N)
        .times(R4)
        .out_arg1(1),
    cu(6, Class::Alloc, &["cuMemAllocManaged"]).args(R2, N).out_arg1(1),
    cu(105, Class::Free, &["cuMemFree_v2"]).args(R1, N),
    cu(106, Class::Alloc, &["cuMemAllocAsync"])
        .args(R2, N)
        .stream(R3)
        .out_arg1(1),
    cu(106, Class::Alloc, &["cuMemAllocFromPoolAsync"])
        .args(R2, N)
        .stream(R4)
        .out_arg1(1),
    cu(107, Class::Free, &["cuMemFreeAsync"]).args(R1, N).stream(R2),
    cu(108, Class::Alloc, &["cuMemHostAlloc", "cuMemAllocHost_v2"])
        .args(R2, N)
        .out_arg1(1),
    cu(109, Class::Free, &["cuMemFreeHost"]).args(R1, N),
    cu(110, Class::Alloc, &["cuMemHostRegister_v2"]).args(R2, R1),
    cu(111, Class::Free, &["cuMemHostUnregister"]).args(R1, N),
    // Driver: launches.
    cu(1, Class::Launch, &["cuLaunchKernel"]).args(R1, S3),
    cu(101, Class::Launch, &["cuLaunchKernelEx"]).args(R2, ConfigStream),
    cu(102, Class::Launch, &["cuLaunchCooperativeKernel"]).args(R1, S3),
    // Driver: copies and sets.
    cu(2, Class::Copy, &["cuMemcpy"]).args(R3, N),
    cu(3, Class::Copy, &["cuMemcpyAsync"]).args(R3, N).stream(R4),
    cu(112, Class::Copy, &["cuMemcpyHtoD_v2"]).args(R3, H2D),
    cu(113, Class::Copy, &["cuMemcpyDtoH_v2"]).args(R3, D2H),
    cu(114, Class::Copy, &["cuMemcpyHtoDAsync_v2"]).args(R3, H2D).stream(R4),
    cu(115, Class::Copy, &["cuMemcpyDtoHAsync_v2"]).args(R3, D2H).stream(R4),
    cu(116, Class::Copy, &["cuMemcpyDtoD_v2"]).args(R3, D2D),
    cu(117, Class::Copy, &["cuMemcpyDtoDAsync_v2"]).args(R3, D2D).stream(R4),
    cu(118, Class::Copy, &["cuMemcpyPeer"]).args(R5, D2D),
    cu(119, Class::Copy, &["cuMemcpyPeerAsync"]).args(R5, D2D).stream(R6),
    cu(120, Class::Copy, &["cuMemcpy2D_v2", "cuMemcpy2DUnaligned_v2"]).mode(Mode::Cu2D),
    cu(121, Class::Copy, &["cuMemcpy2DAsync_v2"])
        .stream(R2)
        .mode(Mode::Cu2D),
    cu(122, Class::Set, &["cuMemsetD8_v2"]).args(R3, N),
    cu(122, Class::Set, &["cuMemsetD16_v2"]).args(R3, N).shift(1),
    cu(122, Class::Set, &["cuMemsetD32_v2"]).args(R3, N).shift(2),
    cu(122, Class::Set, &["cuMemsetD2D8_v2"]).args(R4, N).times(R5),
    cu(123, Class::Set, &["cuMemsetD8Async"]).args(R3, N).stream(R4),
    cu(123, Class::Set, &["cuMemsetD16Async"])
        .args(R3, N)
        .shift(1)
        .stream(R4),
    cu(123, Class::Set, &["cuMemsetD32Async"])
        .args(R3, N)
        .shift(2)
        .stream(R4),
    cu(123, Class::Set, &["cuMemsetD2D8Async"])
        .args(R4, N)
        .times(R5)
        .stream(R6),
    // Driver: waiting and polling.
    cu(4, Class::Wait, &["cuCtxSynchronize"]),
    cu(103, Class::Wait, &["cuStreamSynchronize"]).args(R1, N),
    cu(104, Class::Wait, &["cuEventSynchronize"]).args(R1, N),
    cu(129, Class::None, &["cuStreamWaitEvent"]).args(R1, R2),
    cu(126, Class::None, &["cuEventQuery"]).mode(Mode::Poll),
    cu(127, Class::None, &["cuStreamQuery"]).mode(Mode::Poll),
    cu(128, Class::None, &["cuStreamIsCapturing"]).mode(Mode::Poll),
    // Driver: code is loaded; inside a launch this is what makes the first one slow.
    cu(
        124,
        Class::None,
        &[
            "cuModuleLoadData",
            "cuModuleLoadDataEx",
            "cuModuleLoadFatBinary",
            "cuModuleLoad",
        ],
    )
    .out_arg1(1),
    cu(125, Class::None, &["cuLibraryLoadData", "cuLibraryLoadFromFile"]).out_arg1(1),
    // Driver: graphs.
    cu(1, Class::Graph, &["cuStreamBeginCapture_v2"]).graph().stream(R1),
    cu(1, Class::Graph, &["cuStreamBeginCaptureToGraph"])
        .graph()
        .stream(R1)
        .handle(R2),
    cu(2, Class::Graph, &["cuStreamEndCapture"])
        .graph()
        .stream(R1)
        .out_handle(2),
    cu(
        3,
        Class::Graph,
        &[
            "cuGraphInstantiateWithFlags",
            "cuGraphInstantiateWithParams",
            "cuGraphInstantiate_v2",
        ],
    )
    .graph()
    .args(R2, N)
    .out_handle(1),
    cu(4, Class::Graph, &["cuGraphLaunch"]).graph().stream(R2).handle(R1),
    cu(5, Class::Graph, &["cuGraphDestroy"]).graph().handle(R1),
    cu(6, Class::Graph, &["cuGraphExecUpdate_v2", "cuGraphExecUpdate"])
        .graph()
        .args(R2, N)
        .handle(R1),
    cu(7, Class::Graph, &["cuGraphExecDestroy"]).graph().handle(R1),
    // NCCL: arg0 count, arg1 communicator, handle data type, factor root or peer.
    nccl(1, &["ncclCommInitRank"])
        .args(R2, N)
        .handle(R3)
        .out_arg1(1)
        .mode(Mode::NcclInit),
    nccl(102, &["ncclCommInitRankConfig"])
        .args(R2, N)
        .handle(R3)
        .out_arg1(1)
        .mode(Mode::NcclInit),
    // Several unique ids, of which all ranks have the first one: the stream selects where they are.
    nccl(103, &["ncclCommInitRankScalable"])
        .args(R2, N)
        .handle(R3)
        .stream(R5)
        .out_arg1(1)
        .mode(Mode::NcclInit),
    nccl(104, &["ncclCommSplit"]).args(R2, R1).mode(Mode::NcclSplit),
    nccl(9, &["ncclCommInitAll"]).args(R2, N),
    nccl(2, &["ncclCommDestroy"]).args(N, R1),
    nccl(3, &["ncclAllReduce"])
        .args(R3, R6)
        .handle(R4)
        .stream(S1)
        .mode(Mode::Nccl),
    nccl(4, &["ncclAllGather"])
        .args(R3, R5)
        .handle(R4)
        .stream(R6)
        .mode(Mode::Nccl),
    nccl(5, &["ncclReduceScatter"])
        .args(R3, R6)
        .handle(R4)
        .stream(S1)
        .mode(Mode::Nccl),
    nccl(6, &["ncclBroadcast"])
        .args(R3, R6)
        .handle(R4)
        .times(R5)
        .stream(S1)
        .mode(Mode::Nccl),
    nccl(6, &["ncclBcast"])
        .args(R2, R5)
        .handle(R3)
        .times(R4)
        .stream(R6)
        .mode(Mode::Nccl),
    nccl(101, &["ncclReduce"])
        .args(R3, S1)
        .handle(R4)
        .times(R6)
        .stream(S2)
        .mode(Mode::Nccl),
    nccl(7, &["ncclSend"])
        .args(R2, R5)
        .handle(R3)
        .times(R4)
        .stream(R6)
        .mode(Mode::Nccl),
    nccl(8, &["ncclRecv"])
        .args(R2, R5)
        .handle(R3)
        .times(R4)
        .stream(R6)
        .mode(Mode::Nccl),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_has_every_field_where_the_macros_look() {
        let op = OPS.iter().find(|o| o.names == ["cuMemcpy2DAsync_v2"]).expect("listed");
        let c = op.cookie();
        assert_eq!(c & 0xf, 4);
        assert_eq!((c >> 4) & 0xff, 121);
        assert_eq!((c >> 20) & 0xf, R2 as u64);
        assert_eq!((c >> 37) & 7, Mode::Cu2D as u64);
        assert_eq!((c >> 40) & 0xf, 8 | Class::Copy as u64);
        let alloc = OPS[0].cookie();
        assert_eq!((alloc >> 34) & 3, 1);
        assert_eq!((alloc >> 36) & 1, 0);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<_> = OPS.iter().flat_map(|o| o.symbols().map(|(_, s)| (o.lib, s))).collect();
        let n = names.len();
        names.sort();
        names.dedup();
        assert_eq!(n, names.len());
    }

    #[test]
    fn every_op_is_in_the_lookup_table_of_the_file() {
        let sql = include_str!("../../../analyzer/src/trace/ops.sql");
        for op in OPS {
            assert!(
                sql.contains(&format!("({},{},'", op.source, op.op)),
                "{op:?} has no name in ops.sql"
            );
        }
    }
}

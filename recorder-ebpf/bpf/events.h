/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs and the recorder agree on: records in the ring, keys and values of the maps,
 * the configuration, and the packing of an attach cookie. `recorder/src/abi.rs` holds the same in
 * Rust; both sides assert the sizes.
 */
#pragma once

/* Sources, as numbered in the trace file. */
enum source {
	SRC_CUDA = 1,
	SRC_XID = 2,
	SRC_HOST = 3,
	SRC_DRIVER = 4,
	SRC_IO = 5,
	SRC_TCP = 6,
	SRC_NET = 7,
	SRC_GRAPH = 8,
	SRC_NCCL = 9,
};

/* Ops of source HOST. */
enum host_op {
	OP_SCHED_SWITCH = 1,
	OP_PAGE_ALLOC = 3,
	OP_OOM_KILL = 4,
	OP_EXEC = 5,
	OP_EXIT = 6,
	OP_FORK = 7,
};

/* Who lost an event, in the order of `abi::PROBES`. */
enum probe {
	PROBE_CUDA,
	PROBE_DRIVER,
	PROBE_GRAPH,
	PROBE_NCCL,
	PROBE_SCHED,
	PROBE_MEM,
	PROBE_PROCESS,
	PROBE_IO,
	PROBE_NET,
	PROBE_TCP,
	PROBE_XID,
	PROBE_PAGES, /* counts of page allocations */
	N_PROBES,
};

enum reason {
	REASON_RING_FULL,
	REASON_MAP_FULL,
	REASON_NESTING, /* more open calls on one thread than there are frames for */
	REASON_NO_ENTRY, /* a return whose entry was not seen, though the probe was attached */
	N_REASONS,
};

/* The first two bytes of a record say what it is. */
enum kind {
	KIND_CALL = 1,
	KIND_NCCL,
	KIND_SCHED,
	KIND_TASK,
	KIND_XID,
	KIND_MAPPED,
	KIND_OPEN,
};

/* A finished call, request, or system call. Time is CLOCK_MONOTONIC in ns. */
struct call_event {
	u16 kind;
	u8 source;
	u8 op;
	s32 ret;
	u32 pid;
	u32 tid;
	u64 start_ns;
	u64 dur_ns;
	u64 arg0;
	u64 arg1;
	u64 stream;
	u64 handle;
};
_Static_assert(sizeof(struct call_event) == 64, "call_event");

struct nccl_event {
	struct call_event call; /* arg0 = count, arg1 = communicator */
	u64 seq;
	s32 dtype;
	s32 peer;
	s32 rank;
	s32 nranks;
	u64 comm_id; /* see struct comm_info */
};
_Static_assert(sizeof(struct nccl_event) == 96, "nccl_event");

/* A call that has not returned: `dur_ns` is its time so far. */
struct open_event {
	struct nccl_event nccl;
	u32 depth; /* open calls around it on its thread */
	u32 exited; /* its thread ends here */
};
_Static_assert(sizeof(struct open_event) == 104, "open_event");

struct sched_event {
	u16 kind;
	u16 cpu;
	u32 tid;
	u32 pid;
	u32 prev;
	u32 waker;
	u32 preemptor;
	u32 state;
	u32 pad;
	u64 end_ns;
	u64 dur_ns;
	u64 woken_ns;
};
_Static_assert(sizeof(struct sched_event) == 56, "sched_event");

enum task_what { TASK_FORK, TASK_EXEC, TASK_EXIT, TASK_RENAME };

struct task_event {
	u16 kind;
	u16 what;
	u32 pid;
	u32 tid;
	u32 child_tid; /* fork: the new thread */
	u32 child_pid; /* fork: its process */
	u32 last; /* exit: the last thread of the process */
	u64 ts_ns;
	char comm[16]; /* of the child for fork, else of the thread */
};
_Static_assert(sizeof(struct task_event) == 48, "task_event");

struct xid_event {
	u16 kind;
	u16 pad;
	u32 xid;
	u64 ts_ns;
	char dev[32];
	char msg[128];
};
_Static_assert(sizeof(struct xid_event) == 176, "xid_event");

/* A target mapped a file executable: look for libraries. */
struct mapped_event {
	u16 kind;
	u16 pad;
	u32 pid;
	u64 ts_ns;
};
_Static_assert(sizeof(struct mapped_event) == 16, "mapped_event");

/* Read-only data, set before loading. */
struct config {
	u64 epoch_offset; /* wall clock minus monotonic clock, ns */
	u32 self_pid;
	u8 everything;
	u8 drop_nested; /* driver calls inside a runtime call of the same class */
	u8 use_thresholds;
	u8 n_comms;
	u16 xid_dev_off; /* offsets in the tracepoint's record */
	u16 xid_code_off;
	u16 xid_msg_off;
	u16 pad;
	char comms[4][16];
};
_Static_assert(sizeof(struct config) == 88, "config");

struct agg_key {
	u32 bucket; /* wall clock / 5 s */
	u32 pid;
	u8 source;
	u8 op;
	u8 order; /* page allocations only */
	u8 pad;
};
_Static_assert(sizeof(struct agg_key) == 12, "agg_key");

struct agg {
	u64 count;
	u64 sum_dur;
	u64 min_dur;
	u64 max_dur;
	u64 sum_arg0;
};
_Static_assert(sizeof(struct agg) == 40, "agg");

struct hist_key {
	u32 bucket;
	u32 pid;
	u8 source;
	u8 op;
	u16 slot;
};
_Static_assert(sizeof(struct hist_key) == 12, "hist_key");

struct loss_key {
	u32 second; /* wall clock */
	u16 probe;
	u16 reason;
};
_Static_assert(sizeof(struct loss_key) == 8, "loss_key");

/* A thread that is off CPU (ts_ns != 0), or was once. */
struct off_cpu {
	u64 ts_ns;
	u64 woken_ns;
	u32 pid;
	u32 waker;
	u32 preemptor;
	u32 state;
};
_Static_assert(sizeof(struct off_cpu) == 32, "off_cpu");

struct comm_key {
	u64 comm;
	u32 pid;
	u32 pad;
};
_Static_assert(sizeof(struct comm_key) == 16, "comm_key");

struct comm_info {
	u64 seq;
	u64 id; /* the same on all ranks: made from the unique id; 0 where that was not seen */
	u64 splits;
	s32 rank;
	s32 nranks;
};
_Static_assert(sizeof(struct comm_info) == 32, "comm_info");

/*
 * The cookie says what a probed function is and where its arguments lie, so that one program
 * serves all functions. From bit 0: source 4, op 8, four selectors of 4 bits (arg0, arg1, stream,
 * handle), factor 4 (a selector that multiplies arg0), shift 2 (of arg0), out_reg 2, out_to 1
 * (0 = arg1, 1 = handle), mode 3, class 4. For NCCL the factor selects root or peer, and the
 * handle the data type. The unique id of a communicator that is made lies on the stack, or where the
 * stream selector points.
 */
enum selector {
	SEL_NONE,
	SEL_R1, /* the six argument registers */
	SEL_R2,
	SEL_R3,
	SEL_R4,
	SEL_R5,
	SEL_R6,
	SEL_S1, /* the first four stack slots behind the return address */
	SEL_S2,
	SEL_S3,
	SEL_S4,
	SEL_CONFIG_STREAM, /* *(R1 + 32): the stream of a launch configuration, both layers */
	SEL_H2D, /* constants */
	SEL_D2H,
	SEL_D2D,
};

enum mode {
	MODE_CALL,
	MODE_POLL, /* counted, never a record, no return probe */
	MODE_NCCL,
	MODE_NCCL_INIT,
	MODE_CU_2D, /* bytes and direction lie in the structure R1 points to */
	MODE_KIND, /* arg1 is a 32-bit cudaMemcpyKind */
	MODE_NCCL_SPLIT, /* arg0 is the colour, arg1 the parent, R4 where the new communicator goes */
};

/*
 * What a call does, for telling that a driver call only serves the runtime call around it: the
 * runtime's class plus CLASS_DRIVER is the driver's. 0: never left out.
 */
enum { CLASS_DRIVER = 8 };

#define COOKIE_SOURCE(c) ((u8)((c)&0xf))
#define COOKIE_OP(c) ((u8)(((c) >> 4) & 0xff))
#define COOKIE_ARG0(c) ((u32)(((c) >> 12) & 0xf))
#define COOKIE_ARG1(c) ((u32)(((c) >> 16) & 0xf))
#define COOKIE_STREAM(c) ((u32)(((c) >> 20) & 0xf))
#define COOKIE_HANDLE(c) ((u32)(((c) >> 24) & 0xf))
#define COOKIE_FACTOR(c) ((u32)(((c) >> 28) & 0xf))
#define COOKIE_SHIFT(c) ((u32)(((c) >> 32) & 0x3))
#define COOKIE_OUT_REG(c) ((u32)(((c) >> 34) & 0x3))
#define COOKIE_OUT_TO(c) ((u32)(((c) >> 36) & 0x1))
#define COOKIE_MODE(c) ((u32)(((c) >> 37) & 0x7))
#define COOKIE_CLASS(c) ((u32)(((c) >> 40) & 0xf))

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CUDA runtime, CUDA driver, CUDA graph and NCCL calls: one entry and one return half for every
 * probed function, told by its cookie which function it is. Two ways to attach them: a session
 * program (Linux 6.13: entry and return in one link) or a pair of uprobe and uretprobe.
 */

#define MAX_FRAMES 8

struct frame {
	u64 cookie;
	u64 sp; /* of the return address: tells a frame from one left behind by longjmp */
	u64 start_ns;
	u64 arg0;
	u64 arg1;
	u64 stream; /* where a communicator is made: its identity */
	u64 handle;
	u64 out; /* address of an out parameter; a collective: its sequence number */
};

struct thread_calls {
	u64 depth;
	struct frame frames[MAX_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_calls);
} open_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct comm_key);
	__type(value, struct comm_info);
} communicators SEC(".maps");

extern bool bpf_session_is_return(void) __ksym __weak;

static __always_inline u64 user_u64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

/*
 * The argument registers, copied out: a switch over fields of the context would be compiled into
 * one load at a computed offset, which the verifier refuses.
 */
struct args {
	u64 registers[8]; /* by selector; 0 and 7 unused */
	u64 sp;
};

static __always_inline u64 pick(struct args *args, u32 selector)
{
	switch (selector) {
	case SEL_R1:
	case SEL_R2:
	case SEL_R3:
	case SEL_R4:
	case SEL_R5:
	case SEL_R6:
		return args->registers[selector & 7];
	case SEL_S1:
	case SEL_S2:
	case SEL_S3:
	case SEL_S4:
		return user_u64(args->sp + 8ull * (selector - SEL_S1 + 1));
	case SEL_CONFIG_STREAM:
		return user_u64(args->registers[SEL_R1] + 32);
	case SEL_H2D:
		return 1;
	case SEL_D2H:
		return 2;
	case SEL_D2D:
		return 3;
	}
	return 0;
}

static __always_inline u16 probe_of(u8 source)
{
	switch (source) {
	case SRC_DRIVER:
		return PROBE_DRIVER;
	case SRC_GRAPH:
		return PROBE_GRAPH;
	case SRC_NCCL:
		return PROBE_NCCL;
	}
	return PROBE_CUDA;
}

#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull
#define UNIQUE_ID_WORDS 16 /* sizeof(ncclUniqueId) / 8 */

/* 64-bit FNV-1a, a word at a time. Never 0, which means "not known". */
static __always_inline u64 fold(u64 hash, u64 word)
{
	hash = (hash ^ word) * FNV_PRIME;
	return hash ? hash : 1;
}

/* What all ranks of a communicator have in common; 0 where it cannot be read. */
static __always_inline u64 hash_unique_id(u64 addr)
{
	u64 words[UNIQUE_ID_WORDS], hash = FNV_BASIS;
	u32 i;

	if (bpf_probe_read_user(words, sizeof(words), (void *)addr))
		return 0;
	for (i = 0; i < UNIQUE_ID_WORDS; i++)
		hash = fold(hash, words[i]);
	return hash;
}

/* The communicator, as far as it is known; made known where it was not. */
static __always_inline struct comm_info *communicator(u64 comm, u32 pid)
{
	struct comm_key key = { .comm = comm, .pid = pid };
	struct comm_info first = { .rank = -1, .nranks = -1 };
	struct comm_info *c = bpf_map_lookup_elem(&communicators, &key);

	if (c)
		return c;
	bpf_map_update_elem(&communicators, &key, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&communicators, &key);
}

/*
 * A split is a call of all ranks of its parent, so its number there is the same on all, and the ranks
 * that name one colour get one communicator.
 */
static __always_inline u64 id_of_split(u64 parent, u32 pid, u32 color)
{
	struct comm_info *c = communicator(parent, pid);
	u64 n;

	if (!c)
		return 0;
	n = __sync_fetch_and_add(&c->splits, 1);
	return c->id ? fold(fold(fold(FNV_BASIS, c->id), color), n) : 0;
}

/* ncclSuccess, or ncclInProgress of a communicator that does not block. */
static __always_inline bool is_made(s32 result)
{
	return result == 0 || result == 7;
}

/* Bytes and direction of a CUDA_MEMCPY2D: memory types 1 host, 2 device, 3 array, 4 unified. */
static __always_inline void read_cu_2d(u64 addr, struct frame *f)
{
	u32 src = 0, dst = 0;

	f->arg0 = user_u64(addr + 112) * user_u64(addr + 120);
	bpf_probe_read_user(&src, sizeof(src), (void *)(addr + 16));
	bpf_probe_read_user(&dst, sizeof(dst), (void *)(addr + 72));
	if (src == 1)
		f->arg1 = dst == 1 ? 0 : 1;
	else if (dst == 1)
		f->arg1 = 2;
	else
		f->arg1 = src == 4 || dst == 4 ? 4 : 3;
}

/* 0: the return half is wanted. */
static __always_inline int on_entry(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	u64 id = bpf_get_current_pid_tgid(), now, depth, i;
	u32 pid = id >> 32, mode = COOKIE_MODE(cookie), factor = COOKIE_FACTOR(cookie);
	u8 source = COOKIE_SOURCE(cookie);
	struct thread_calls *t;
	struct frame *f;
	struct args args = {
		.registers = { 0, ctx->di, ctx->si, ctx->dx, ctx->cx, ctx->r8, ctx->r9, 0 },
		.sp = ctx->sp,
	};

	if (!is_target(pid))
		return 1;
	now = bpf_ktime_get_ns();
	if (mode == MODE_POLL) {
		if (!count(pid, source, COOKIE_OP(cookie), 0, now, 0, 0))
			lose(probe_of(source), REASON_MAP_FULL, now);
		return 1;
	}
	t = bpf_task_storage_get(&open_calls, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		lose(probe_of(source), REASON_MAP_FULL, now);
		return 1;
	}
	depth = t->depth;
	/*
	 * Frames that lie below the stack pointer were left without returning (longjmp, exceptions).
	 * One at the same place is a tail call's, unless it is of this very function.
	 */
	for (i = 0; i < MAX_FRAMES && depth && depth <= MAX_FRAMES; i++) {
		f = &t->frames[(depth - 1) & (MAX_FRAMES - 1)];
		if (f->sp > ctx->sp || (f->sp == ctx->sp && f->cookie != cookie))
			break;
		depth--;
	}
	if (depth >= MAX_FRAMES) {
		lose(probe_of(source), REASON_NESTING, now);
		return 1;
	}
	if (depth && mode == MODE_NCCL) {
		/* ncclBcast calls ncclBroadcast: one collective. */
		f = &t->frames[(depth - 1) & (MAX_FRAMES - 1)];
		if (COOKIE_MODE(f->cookie) == MODE_NCCL)
			return 1;
	}
	if (config.drop_nested && depth && COOKIE_CLASS(cookie) > CLASS_DRIVER) {
		u64 outer = t->frames[(depth - 1) & (MAX_FRAMES - 1)].cookie;

		if (COOKIE_CLASS(outer) + CLASS_DRIVER == COOKIE_CLASS(cookie)) {
			u32 zero = 0;
			u64 *n = bpf_map_lookup_elem(&nested, &zero);

			if (n)
				__sync_fetch_and_add(n, 1);
			return 1;
		}
	}
	f = &t->frames[depth & (MAX_FRAMES - 1)];
	f->cookie = cookie;
	f->sp = ctx->sp;
	f->arg0 = pick(&args, COOKIE_ARG0(cookie)) << COOKIE_SHIFT(cookie);
	f->arg1 = pick(&args, COOKIE_ARG1(cookie));
	f->stream = pick(&args, COOKIE_STREAM(cookie));
	f->handle = pick(&args, COOKIE_HANDLE(cookie));
	if (mode == MODE_NCCL)
		f->handle = (u32)f->handle | (u64)(factor ? (u32)pick(&args, factor) : -1u) << 32;
	else if (factor)
		f->arg0 *= pick(&args, factor);
	f->out = COOKIE_OUT_REG(cookie) ? pick(&args, COOKIE_OUT_REG(cookie)) : 0;
	if (mode == MODE_NCCL_INIT) {
		f->arg0 = (u32)f->arg0;
		f->handle = (u32)f->handle;
		f->stream = hash_unique_id(f->stream ? f->stream : ctx->sp + 8);
	} else if (mode == MODE_NCCL_SPLIT) {
		f->stream = id_of_split(f->arg1, pid, (u32)f->arg0);
		f->arg0 = -1; /* how many ranks took that colour, and which this one is, is not told */
		f->handle = -1;
		f->out = args.registers[SEL_R4];
	} else if (mode == MODE_KIND) {
		f->arg1 = (u32)f->arg1;
	} else if (mode == MODE_CU_2D) {
		read_cu_2d(ctx->di, f);
	} else if (mode == MODE_NCCL) {
		/* Counted here, not at the return, so that a lost record leaves a gap in the numbers. */
		struct comm_info *c = communicator(f->arg1, pid);

		f->out = c ? __sync_fetch_and_add(&c->seq, 1) + 1 : 0;
	}
	t->depth = depth + 1;
	f->start_ns = now;
	return 0;
}

static __always_inline int on_return(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), now = bpf_ktime_get_ns();
	u64 id = bpf_get_current_pid_tgid(), depth, i;
	u32 pid = id >> 32, mode = COOKIE_MODE(cookie);
	u8 source = COOKIE_SOURCE(cookie), op = COOKIE_OP(cookie);
	struct thread_calls *t;
	struct frame *f = 0;
	struct call_event *e;
	bool makes;

	if (!is_target(pid))
		return 0;
	t = bpf_task_storage_get(&open_calls, bpf_get_current_task_btf(), 0, 0);
	if (!t)
		return 0;
	depth = t->depth;
	for (i = 0; i < MAX_FRAMES; i++) {
		if (!depth)
			return 0; /* entered before the probe was there, or counted as lost */
		depth--;
		f = &t->frames[depth & (MAX_FRAMES - 1)];
		/* The return has taken the return address off the stack. */
		if (f->cookie == cookie && f->sp + 8 == ctx->sp)
			break;
		if (f->sp >= ctx->sp)
			return 0; /* the frame of an outer call: ours was never entered */
		f = 0;
	}
	if (!f)
		return 0;
	t->depth = depth;
	if (COOKIE_OUT_REG(cookie) && mode != MODE_NCCL) {
		u64 value = user_u64(f->out);

		if (COOKIE_OUT_TO(cookie))
			f->handle = value;
		else
			f->arg1 = value;
	}
	if (mode == MODE_NCCL_SPLIT)
		f->arg1 = user_u64(f->out);
	makes = mode == MODE_NCCL_INIT || mode == MODE_NCCL_SPLIT;
	if (makes && f->arg1 && is_made(ctx->ax)) {
		struct comm_key key = { .comm = f->arg1, .pid = pid };
		/* handle = rank, arg0 = number of ranks, stream = identity */
		struct comm_info born = { .rank = f->handle, .nranks = f->arg0, .id = f->stream };

		bpf_map_update_elem(&communicators, &key, &born, BPF_ANY);
	}
	if (!long_enough(probe_of(source), pid, source, op, now, f->start_ns, f->arg0))
		return 0;

	if (mode == MODE_NCCL || makes) {
		struct comm_key key = { .comm = f->arg1, .pid = pid };
		struct comm_info *c;
		struct nccl_event *n = bpf_ringbuf_reserve(&ring, sizeof(*n), 0);

		if (!n) {
			lose(PROBE_NCCL, REASON_RING_FULL, now);
			return 0;
		}
		c = bpf_map_lookup_elem(&communicators, &key);
		n->comm_id = c ? c->id : 0;
		n->seq = mode == MODE_NCCL ? f->out : 0;
		n->dtype = mode == MODE_NCCL ? (s32)f->handle : -1;
		n->peer = mode == MODE_NCCL ? (s32)(f->handle >> 32) : -1;
		n->rank = c ? c->rank : -1;
		n->nranks = c ? c->nranks : -1;
		e = &n->call;
		e->kind = KIND_NCCL;
	} else {
		e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
		if (!e) {
			lose(probe_of(source), REASON_RING_FULL, now);
			return 0;
		}
		e->kind = KIND_CALL;
	}
	e->source = source;
	e->op = op;
	e->ret = (s32)ctx->ax;
	e->pid = pid;
	e->tid = (u32)id;
	e->start_ns = f->start_ns;
	e->dur_ns = now - f->start_ns;
	e->arg0 = f->arg0;
	e->arg1 = f->arg1;
	e->stream = makes ? 0 : f->stream;
	e->handle = f->handle;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("uprobe.session")
int call_session(struct pt_regs *ctx)
{
	if (bpf_session_is_return())
		return on_return(ctx);
	return on_entry(ctx);
}

SEC("uprobe")
int call_entry(struct pt_regs *ctx)
{
	on_entry(ctx);
	return 0;
}

SEC("uretprobe")
int call_return(struct pt_regs *ctx)
{
	return on_return(ctx);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls that have not returned: those of a thread that ends, and those of all threads when asked. */

/*
 * False for a frame that was left without returning: the stack has been unwound past it. One that
 * was left by a jump to its caller, which then called something else from there, looks open.
 */
static __always_inline bool is_open(struct frame *f, struct task_struct *task)
{
	struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);

	return user->sp <= f->sp;
}

static __always_inline void fill_open(struct open_event *e, struct frame *f,
				      struct task_struct *task, u32 depth, u32 exited)
{
	u64 cookie = f->cookie, now = bpf_ktime_get_ns();
	u32 mode = COOKIE_MODE(cookie);
	bool makes = mode == MODE_NCCL_INIT || mode == MODE_NCCL_SPLIT;
	struct comm_key key = { .comm = f->arg1, .pid = task->tgid };
	struct comm_info *c = 0;

	e->nccl.call.kind = KIND_OPEN;
	e->nccl.call.source = COOKIE_SOURCE(cookie);
	e->nccl.call.op = COOKIE_OP(cookie);
	e->nccl.call.ret = 0;
	e->nccl.call.pid = task->tgid;
	e->nccl.call.tid = task->pid;
	e->nccl.call.start_ns = f->start_ns;
	e->nccl.call.dur_ns = now > f->start_ns ? now - f->start_ns : 0;
	e->nccl.call.arg0 = f->arg0;
	e->nccl.call.arg1 = f->arg1;
	e->nccl.call.stream = makes ? 0 : f->stream;
	e->nccl.call.handle = f->handle;
	if (mode == MODE_NCCL)
		c = bpf_map_lookup_elem(&communicators, &key);
	e->nccl.seq = mode == MODE_NCCL ? f->out : 0;
	e->nccl.dtype = mode == MODE_NCCL ? (s32)f->handle : -1;
	e->nccl.peer = mode == MODE_NCCL ? (s32)(f->handle >> 32) : -1;
	e->nccl.rank = makes ? (s32)f->handle : c ? c->rank : -1;
	e->nccl.nranks = makes ? (s32)f->arg0 : c ? c->nranks : -1;
	e->nccl.comm_id = makes ? f->stream : c ? c->id : 0;
	e->depth = depth;
	e->exited = exited;
}

/* Called while a thread of a target exits. */
static __always_inline void calls_never_ended(struct task_struct *task)
{
	struct thread_calls *t = bpf_task_storage_get(&open_calls, task, 0, 0);
	u32 i;

	if (!t)
		return;
	for (i = 0; i < MAX_FRAMES; i++) {
		struct open_event *e;

		if (i >= t->depth)
			return;
		if (!is_open(&t->frames[i], task))
			continue;
		e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
		if (!e) {
			lose(probe_of(COOKIE_SOURCE(t->frames[i].cookie)), REASON_RING_FULL,
			     bpf_ktime_get_ns());
			continue;
		}
		fill_open(e, &t->frames[i], task, i, 1);
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	}
}

/* Reading the iterator gives one open_event for each open call of a target. */
SEC("iter/task")
int open_calls_now(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_calls *t;
	u32 i;

	if (!task || !is_target(task->tgid))
		return 0;
	t = bpf_task_storage_get(&open_calls, task, 0, 0);
	if (!t)
		return 0;
	for (i = 0; i < MAX_FRAMES; i++) {
		struct open_event e = {};

		if (i >= t->depth)
			return 0;
		if (!is_open(&t->frames[i], task))
			continue;
		fill_open(&e, &t->frames[i], task, i, 0);
		bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* Page allocations, counted by process and order; victims of the OOM killer. */

SEC("tp_btf/mm_page_alloc")
int BPF_PROG(page_alloc, struct page *page, unsigned int order, unsigned int gfp, int migratetype)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u64 now;

	if (!page || !is_target(pid))
		return 0;
	now = bpf_ktime_get_ns();
	if (!count(pid, SRC_HOST, OP_PAGE_ALLOC, order, now, 0, 4096ull << (order & 31)))
		lose(PROBE_PAGES, REASON_MAP_FULL, now);
	return 0;
}

/* Any victim matters on the host of a target, not only targets. */
SEC("tp_btf/mark_victim")
int BPF_PROG(oom_kill, struct task_struct *victim, unsigned int uid)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	struct call_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		lose(PROBE_MEM, REASON_RING_FULL, now);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = KIND_CALL;
	e->source = SRC_HOST;
	e->op = OP_OOM_KILL;
	e->pid = id >> 32;
	e->tid = (u32)id;
	e->start_ns = now;
	e->arg1 = victim->pid;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

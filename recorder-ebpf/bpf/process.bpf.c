/* SPDX-License-Identifier: GPL-2.0-only */
/* Fork, exec, exit and renaming of threads; children and namesakes of targets become targets. */

static __always_inline void task_event(u16 what, u32 pid, u32 tid, u32 child_pid, u32 child_tid,
				       u32 last, const char *comm)
{
	u64 now = bpf_ktime_get_ns();
	struct task_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		lose(PROBE_PROCESS, REASON_RING_FULL, now);
		return;
	}
	e->kind = KIND_TASK;
	e->what = what;
	e->pid = pid;
	e->tid = tid;
	e->child_pid = child_pid;
	e->child_tid = child_tid;
	e->last = last;
	e->ts_ns = now;
	bpf_probe_read_kernel(e->comm, sizeof(e->comm), comm);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline void add_target(u32 pid)
{
	u32 one = 1;

	if (bpf_map_update_elem(&targets, &pid, &one, BPF_ANY))
		lose(PROBE_PROCESS, REASON_MAP_FULL, bpf_ktime_get_ns());
}

static __always_inline bool wanted_name(const char *comm)
{
	u64 have[2] = {};
	int i;

	bpf_probe_read_kernel_str(have, sizeof(have), comm);
	for (i = 0; i < 4; i++) {
		const volatile u64 *want = (const volatile u64 *)config.comms[i];

		if (i < config.n_comms && want[0] == have[0] && want[1] == have[1])
			return true;
	}
	return false;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 pid = parent->tgid, child_pid = child->tgid;

	if (!is_target(pid))
		return 0;
	if (child_pid != pid && !config.everything)
		add_target(child_pid);
	task_event(TASK_FORK, pid, parent->pid, child_pid, child->pid, 0, child->comm);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *p, int old_pid, struct linux_binprm *bprm)
{
	u32 pid = p->tgid;

	if (!is_target(pid)) {
		if (!config.n_comms || !wanted_name(p->comm))
			return 0;
		add_target(pid);
	}
	/* An exec by a thread makes it the leader: its old id is gone. */
	if ((u32)old_pid != pid) {
		u32 old = old_pid;

		bpf_map_delete_elem(&off_cpus, &old);
	}
	task_event(TASK_EXEC, pid, p->pid, 0, old_pid, 0, p->comm);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *p)
{
	u32 pid = p->tgid, tid = p->pid;
	u32 last = p->signal->live.counter == 0;

	if (!is_target(pid))
		return 0;
	bpf_map_delete_elem(&off_cpus, &tid);
	calls_never_ended(p);
	/* The number may be given to a stranger next. */
	if (last)
		bpf_map_delete_elem(&targets, &pid);
	task_event(TASK_EXIT, pid, tid, 0, 0, last, p->comm);
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename, struct task_struct *p, const char *comm)
{
	u32 pid = p->tgid;

	if (!is_target(pid)) {
		if (!config.n_comms || (u32)p->pid != pid || !wanted_name(comm))
			return 0;
		add_target(pid);
	}
	task_event(TASK_RENAME, pid, p->pid, 0, 0, 0, comm);
	return 0;
}

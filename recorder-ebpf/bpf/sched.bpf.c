/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Off-CPU intervals of target threads. What is known when a thread leaves its CPU (state, who took
 * the CPU) and while it is away (wake-up and waker) waits in `off_cpus` and goes out in one record
 * when the thread comes back.
 */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct off_cpu);
} off_cpus SEC(".maps");

/* The states a task reports: without the bits that only say how it may be woken. */
#define REPORTED_STATES 0xff
#define DEAD 0x80

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	u32 prev_tid = prev->pid, prev_pid = prev->tgid;
	u32 next_tid = next->pid, next_pid = next->tgid;
	u64 now = bpf_ktime_get_ns();
	struct off_cpu *off;

	if (prev_state & DEAD) {
		/* Never to come back; a thread of the same number begins with nothing. */
		bpf_map_delete_elem(&off_cpus, &prev_tid);
	} else if (prev_tid && is_target(prev_pid)) {
		struct off_cpu left = {
			.ts_ns = now,
			.pid = prev_pid,
			.preemptor = next_tid,
			.state = preempt ? 0 : prev_state & REPORTED_STATES,
		};

		off = bpf_map_lookup_elem(&off_cpus, &prev_tid);
		if (off)
			*off = left;
		else if (bpf_map_update_elem(&off_cpus, &prev_tid, &left, BPF_ANY))
			lose(PROBE_SCHED, REASON_MAP_FULL, now);
	}
	if (next_tid && is_target(next_pid)) {
		struct sched_event *e;

		off = bpf_map_lookup_elem(&off_cpus, &next_tid);
		if (!off || !off->ts_ns)
			return 0;
		if (!long_enough(PROBE_SCHED, next_tid, SRC_HOST, OP_SCHED_SWITCH, now, off->ts_ns, 0)) {
			off->ts_ns = 0;
			return 0;
		}
		e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
		if (!e) {
			off->ts_ns = 0;
			lose(PROBE_SCHED, REASON_RING_FULL, now);
			return 0;
		}
		e->kind = KIND_SCHED;
		e->cpu = bpf_get_smp_processor_id();
		e->tid = next_tid;
		e->pid = next_pid;
		e->prev = prev_tid;
		e->waker = off->waker;
		e->preemptor = off->preemptor;
		e->state = off->state;
		e->pad = 0;
		e->end_ns = now;
		e->dur_ns = now - off->ts_ns;
		e->woken_ns = off->woken_ns;
		off->ts_ns = 0;
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	}
	return 0;
}

static __always_inline int woken(struct task_struct *p)
{
	u32 tid = p->pid;
	struct off_cpu *off = bpf_map_lookup_elem(&off_cpus, &tid);

	if (off && off->ts_ns) {
		off->woken_ns = bpf_ktime_get_ns();
		off->waker = (u32)bpf_get_current_pid_tgid();
	}
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct *p)
{
	return woken(p);
}

/* A new thread waits for its first turn: off CPU, runnable, from here on. */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *p)
{
	u32 tid = p->pid;
	struct off_cpu left = { .pid = p->tgid };

	if (!is_target(left.pid))
		return 0;
	left.ts_ns = left.woken_ns = bpf_ktime_get_ns();
	left.waker = (u32)bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&off_cpus, &tid, &left, BPF_ANY))
		lose(PROBE_SCHED, REASON_MAP_FULL, left.ts_ns);
	return 0;
}

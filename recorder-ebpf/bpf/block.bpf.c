/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Block requests from issue to completion. All of them: write-back is issued by kernel threads, so
 * the issuer says little about whose data it is.
 */

struct request_start {
	u64 ts_ns;
	u64 id;
	u64 sector;
	u32 sectors;
	u32 op;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct request_start);
} requests SEC(".maps");

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_issue, struct request *rq)
{
	u64 key = (u64)rq;
	u32 op = 0;
	struct request_start s = {
		.ts_ns = bpf_ktime_get_ns(),
		.id = bpf_get_current_pid_tgid(),
		.sector = rq->__sector,
		.sectors = rq->__data_len >> 9,
	};

	switch (rq->cmd_flags & 0xff) {
	case 0: /* read */
		op = 1;
		break;
	case 1: /* write */
	case 2: /* flush */
	case 9: /* write zeroes */
		op = 2;
		break;
	case 3: /* discard */
	case 5: /* secure erase */
		op = 3;
		break;
	default:
		return 0; /* zone management and pass-through commands move no data */
	}
	s.op = op;
	if (s.sector == ~0ull)
		s.sector = 0;
	if (bpf_map_update_elem(&requests, &key, &s, BPF_ANY))
		lose(PROBE_IO, REASON_MAP_FULL, s.ts_ns);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_complete, struct request *rq, int error, unsigned int nr_bytes)
{
	u64 key = (u64)rq, now = bpf_ktime_get_ns();
	struct request_start *s = bpf_map_lookup_elem(&requests, &key);
	struct call_event *e;

	if (!s)
		return 0;
	if (long_enough(PROBE_IO, s->id >> 32, SRC_IO, s->op, now, s->ts_ns, s->sectors)) {
		e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
		if (e) {
			e->kind = KIND_CALL;
			e->source = SRC_IO;
			e->op = s->op;
			e->ret = 0;
			e->pid = s->id >> 32;
			e->tid = (u32)s->id;
			e->start_ns = s->ts_ns;
			e->dur_ns = now - s->ts_ns;
			e->arg0 = s->sectors;
			e->arg1 = s->sector;
			e->stream = 0;
			e->handle = 0;
			bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
		} else {
			lose(PROBE_IO, REASON_RING_FULL, now);
		}
	}
	bpf_map_delete_elem(&requests, &key);
	return 0;
}

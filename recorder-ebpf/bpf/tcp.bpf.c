/* SPDX-License-Identifier: GPL-2.0-only */
/* TCP retransmissions of the host; the current task is only whoever was interrupted. */

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit, const struct sock *sk, const struct sk_buff *skb)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	struct call_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	u16 dport;

	if (!e) {
		lose(PROBE_TCP, REASON_RING_FULL, now);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = KIND_CALL;
	e->source = SRC_TCP;
	e->op = 1;
	e->pid = id >> 32;
	e->tid = (u32)id;
	e->start_ns = now;
	if (sk->__sk_common.skc_family == 2)
		e->arg0 = (u64)sk->__sk_common.skc_rcv_saddr << 32 | sk->__sk_common.skc_daddr;
	dport = sk->__sk_common.skc_dport;
	e->arg1 = (u64)sk->__sk_common.skc_num << 16 | __builtin_bswap16(dport);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * XID errors from the NVIDIA driver's tracepoint. A classic tracepoint: its record is described by
 * a text file, whose offsets the recorder puts into the configuration.
 */

static __always_inline void read_string(char *to, u32 size, void *ctx, u16 field_off)
{
	u32 loc = 0;

	bpf_probe_read_kernel(&loc, sizeof(loc), ctx + (field_off & 0xff));
	bpf_probe_read_kernel_str(to, size, ctx + (loc & 0xffff));
}

SEC("tracepoint/nvidia/nvidia_dev_xid")
int nvidia_xid(void *ctx)
{
	u64 now = bpf_ktime_get_ns();
	struct xid_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		lose(PROBE_XID, REASON_RING_FULL, now);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = KIND_XID;
	e->ts_ns = now;
	bpf_probe_read_kernel(&e->xid, sizeof(e->xid), ctx + (config.xid_code_off & 0xff));
	read_string(e->dev, sizeof(e->dev), ctx, config.xid_dev_off);
	read_string(e->msg, sizeof(e->msg), ctx, config.xid_msg_off);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

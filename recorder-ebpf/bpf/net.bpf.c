/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sends and receives on sockets: sendto, recvfrom, sendmsg, recvmsg, and read, write, readv and
 * writev where the descriptor is a socket (uvloop and most C servers use these). The same two
 * programs tell the recorder that a target mapped a file executable, so that libraries loaded
 * later are found at once.
 */

enum { NR_READ = 0, NR_WRITE = 1, NR_MMAP = 9, NR_READV = 19, NR_WRITEV = 20 };
enum { NR_SENDTO = 44, NR_RECVFROM = 45, NR_SENDMSG = 46, NR_RECVMSG = 47 };
#define PROT_EXEC 4
#define S_IFMT 0170000
#define S_IFSOCK 0140000

struct sys_start {
	u64 ts_ns;
	u32 nr;
	u32 fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct sys_start);
} open_syscalls SEC(".maps");

static __always_inline bool is_socket(u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return false;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	return file && (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long nr)
{
	u64 id;
	u32 tid, fd;
	struct sys_start s = {};

	switch (nr) {
	case NR_READ:
	case NR_WRITE:
	case NR_READV:
	case NR_WRITEV:
	case NR_SENDTO:
	case NR_RECVFROM:
	case NR_SENDMSG:
	case NR_RECVMSG:
		break;
	case NR_MMAP:
		if (!(regs->dx & PROT_EXEC) || (int)regs->r8 < 0)
			return 0;
		break;
	default:
		return 0;
	}
	id = bpf_get_current_pid_tgid();
	tid = (u32)id;
	if (!is_target(id >> 32))
		return 0;
	fd = regs->di;
	if (nr == NR_MMAP)
		fd = 0;
	else if (nr <= NR_WRITEV && !is_socket(fd))
		return 0;
	s.ts_ns = bpf_ktime_get_ns();
	s.nr = nr;
	s.fd = fd;
	if (bpf_map_update_elem(&open_syscalls, &tid, &s, BPF_ANY))
		lose(PROBE_NET, REASON_MAP_FULL, s.ts_ns);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	u64 id = bpf_get_current_pid_tgid(), now;
	u32 tid = (u32)id;
	struct sys_start *s;
	struct call_event *e;
	long nr = regs->orig_ax;
	u8 op = 1;

	if (nr > NR_RECVMSG)
		return 0;
	s = bpf_map_lookup_elem(&open_syscalls, &tid);
	if (!s)
		return 0;
	if (s->nr != nr)
		goto out;
	now = bpf_ktime_get_ns();
	if (nr == NR_MMAP) {
		struct mapped_event *m = bpf_ringbuf_reserve(&ring, sizeof(*m), 0);

		if (m) {
			m->kind = KIND_MAPPED;
			m->pad = 0;
			m->pid = id >> 32;
			m->ts_ns = now;
			bpf_ringbuf_submit(m, BPF_RB_NO_WAKEUP);
		}
		goto out;
	}
	if (nr == NR_READ || nr == NR_READV || nr == NR_RECVFROM || nr == NR_RECVMSG)
		op = 2;
	if (!long_enough(PROBE_NET, id >> 32, SRC_NET, op, now, s->ts_ns, 0))
		goto out;
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		lose(PROBE_NET, REASON_RING_FULL, now);
		goto out;
	}
	e->kind = KIND_CALL;
	e->source = SRC_NET;
	e->op = op;
	e->ret = 0;
	e->pid = id >> 32;
	e->tid = tid;
	e->start_ns = s->ts_ns;
	e->dur_ns = now - s->ts_ns;
	e->arg0 = s->fd;
	e->arg1 = ret > 0 ? ret : 0;
	e->stream = 0;
	e->handle = 0;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
out:
	bpf_map_delete_elem(&open_syscalls, &tid);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* The recorder's programs, one file an area, in one object because they share the ring. */

#include "maps.h"
#include "calls.bpf.c"
#include "open.bpf.c"
#include "sched.bpf.c"
#include "process.bpf.c"
#include "mem.bpf.c"
#include "block.bpf.c"
#include "net.bpf.c"
#include "tcp.bpf.c"
#include "xid.bpf.c"

char LICENSE[] SEC("license") = "GPL";

/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps, and the small functions on them that every area uses. */
#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"

const volatile struct config config SEC(".rodata.config");

/* One ring for everything keeps the order of events; its size is set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps");

/* Process ids that are traced. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u32);
} targets SEC(".maps");

/* Counts of what is not a record: polling calls, page allocations, calls under a threshold. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct agg_key);
	__type(value, struct agg);
} aggs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hist_key);
	__type(value, u64);
} hists SEC(".maps");

/* Shortest duration that becomes a record, by source << 8 | op. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u64);
} thresholds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct loss_key);
	__type(value, u64);
} losses SEC(".maps");

/* Losses that found no room in `losses`: probe * N_REASONS + reason, without a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_PROBES * N_REASONS);
	__type(key, u32);
	__type(value, u64);
} untimed_losses SEC(".maps");

/* Driver calls left out because the runtime call around them is recorded. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} nested SEC(".maps");

static __always_inline void lose(u16 probe, u16 reason, u64 now)
{
	struct loss_key key = {
		.second = (now + config.epoch_offset) / 1000000000ull,
		.probe = probe,
		.reason = reason,
	};
	u64 one = 1, *n = bpf_map_lookup_elem(&losses, &key);

	if (!n && bpf_map_update_elem(&losses, &key, &one, BPF_NOEXIST) == 0)
		return;
	if (!n)
		n = bpf_map_lookup_elem(&losses, &key);
	if (!n) {
		u32 slot = probe * N_REASONS + reason;

		n = bpf_map_lookup_elem(&untimed_losses, &slot);
	}
	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline bool is_target(u32 pid)
{
	if (config.everything)
		return pid != config.self_pid && pid != 0;
	return bpf_map_lookup_elem(&targets, &pid) != 0;
}

/* Counts one event; false if there was no room, which the caller reports as lost. */
static __always_inline bool count(u32 pid, u8 source, u8 op, u8 order, u64 now, u64 dur, u64 arg0)
{
	struct agg_key key = {
		.bucket = (now + config.epoch_offset) / 5000000000ull,
		.pid = pid,
		.source = source,
		.op = op,
		.order = order,
	};
	struct agg *a = bpf_map_lookup_elem(&aggs, &key);

	if (!a) {
		struct agg first = { .min_dur = ~0ull };

		bpf_map_update_elem(&aggs, &key, &first, BPF_NOEXIST);
		a = bpf_map_lookup_elem(&aggs, &key);
		if (!a)
			return false;
	}
	/* Atomic because a program can be preempted by another task's on its CPU. */
	__sync_fetch_and_add(&a->count, 1);
	__sync_fetch_and_add(&a->sum_dur, dur);
	__sync_fetch_and_add(&a->sum_arg0, arg0);
	if (dur < a->min_dur)
		a->min_dur = dur;
	if (dur > a->max_dur)
		a->max_dur = dur;
	return true;
}

/* The log-linear slot of a duration: exact below 16, then 16 slots an octave. */
static __always_inline u16 slot_of(u64 v)
{
	u32 log = 0;
	u64 x = v;

	if (v < 16)
		return v;
	if (x >> 32) {
		log += 32;
		x >>= 32;
	}
	if (x >> 16) {
		log += 16;
		x >>= 16;
	}
	if (x >> 8) {
		log += 8;
		x >>= 8;
	}
	if (x >> 4) {
		log += 4;
		x >>= 4;
	}
	if (x >> 2) {
		log += 2;
		x >>= 2;
	}
	if (x >> 1)
		log += 1;
	return 16 * (log - 3) + ((v >> (log - 4)) & 15);
}

/*
 * Under thresholds: puts the duration into its histogram and says whether it is long enough to
 * become a record. One that is not is counted here.
 */
static __always_inline bool long_enough(u16 probe, u32 pid, u8 source, u8 op, u64 end, u64 start,
					u64 arg0)
{
	u32 key = (u32)source << 8 | op;
	u64 dur = end - start, one = 1, *min, *n;
	/* Calls belong to the bucket of their time stamp in the file. */
	u64 stamp = source == SRC_HOST || source == SRC_IO || source == SRC_NET ? end : start;
	struct hist_key hist = {
		.bucket = (stamp + config.epoch_offset) / 5000000000ull,
		.pid = pid,
		.source = source,
		.op = op,
		.slot = slot_of(dur),
	};

	if (!config.use_thresholds)
		return true;
	min = bpf_map_lookup_elem(&thresholds, &key);
	if (!min || *min == 0)
		return true;
	n = bpf_map_lookup_elem(&hists, &hist);
	if (!n) {
		u64 zero = 0;

		bpf_map_update_elem(&hists, &hist, &zero, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&hists, &hist);
	}
	if (!n)
		return true; /* no room to count it: store it */
	__sync_fetch_and_add(n, one);
	if (dur >= *min)
		return true;
	if (!count(pid, source, op, 0, stamp, dur, arg0))
		lose(probe, REASON_MAP_FULL, end);
	return false;
}

/*
 * Makes known calls and says on standard output which: one line a call,
 *   call LIBRARY SOURCE OP ARG0 ARG1 STREAM HANDLE RET START END TID
 * with CLOCK_MONOTONIC nanoseconds around the call. The first argument says what to do; the
 * libraries are opened from the directory in the environment variable STANDIN.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

typedef void *P;
typedef size_t Z;
typedef unsigned long long U;
typedef struct { unsigned x, y, z; } dim3;
struct config { dim3 grid, block; Z shared; P stream; };
struct copy2d {
	Z src_x, src_y;
	unsigned src_type;
	P src_host, src_dev, src_array;
	Z src_pitch, dst_x, dst_y;
	unsigned dst_type;
	P dst_host, dst_dev, dst_array;
	Z dst_pitch, width, height;
};
typedef struct { char internal[128]; } unique_id;

static P rt, cu, nccl;

static U now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Of this thread: what others do on its CPU does not count. */
static U cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int tid(void)
{
	return syscall(SYS_gettid);
}

static P library(const char *name)
{
	char path[4096];
	P lib;

	snprintf(path, sizeof(path), "%s/%s", getenv("STANDIN"), name);
	lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		exit(3);
	}
	return lib;
}

static P symbol(P lib, const char *name)
{
	P f = dlsym(lib, name);

	if (!f) {
		fprintf(stderr, "%s\n", dlerror());
		exit(3);
	}
	return f;
}

static void said(const char *name, int source, int op, U a0, U a1, P stream, U handle, int ret,
		 U t0, U t1)
{
	printf("call %s %d %d %llu %llu %llu %llu %d %llu %llu %d\n", name, source, op, a0, a1,
	       (U)stream, handle, ret, t0, t1, tid());
}

/* Calls NAME of LIB with these types and values, and says so. The expected row is evaluated after
 * the call, so that it may hold what came out of it. */
#define DO(lib, name, source, op, a0, a1, stream, handle, types, ...)                          \
	do {                                                                                   \
		int(*f_) types = (int(*) types)symbol(lib, #name);                             \
		U t0_ = now();                                                                 \
		int r_ = f_(__VA_ARGS__);                                                      \
		U t1_ = now();                                                                 \
		said(#name, source, op, (U)(a0), (U)(a1), (P)(stream), (U)(handle), r_, t0_, t1_); \
	} while (0)

#define S1 ((P)0x5100)
#define S2 ((P)0x5200)
#define F ((P)0xf00)
#define PTR ((P)0xabc0)

static void runtime_calls(void)
{
	P p = 0;
	Z pitch;
	int status;
	dim3 g = { 1, 2, 3 }, b = { 4, 5, 6 };
	struct config c = { g, b, 7, S1 };

	DO(rt, cudaMalloc, 1, 1, 4096, p, 0, 0, (P *, Z), &p, 4096);
	DO(rt, cudaMalloc, 1, 1, 13, p, 0, 0, (P *, Z), &p, 13);
	DO(rt, cudaFree, 1, 2, PTR, 0, 0, 0, (P), PTR);
	DO(rt, cudaMallocManaged, 1, 8, 1 << 20, p, 0, 0, (P *, Z, unsigned), &p, 1 << 20, 1);
	DO(rt, cudaMallocAsync, 1, 104, 77, p, S1, 0, (P *, Z, P), &p, 77, S1);
	DO(rt, cudaMallocFromPoolAsync, 1, 104, 78, p, S2, 0, (P *, Z, P, P), &p, 78, F, S2);
	DO(rt, cudaFreeAsync, 1, 105, PTR, 0, S1, 0, (P, P), PTR, S1);
	DO(rt, cudaHostAlloc, 1, 106, 79, p, 0, 0, (P *, Z, unsigned), &p, 79, 0);
	DO(rt, cudaMallocHost, 1, 107, 80, p, 0, 0, (P *, Z), &p, 80);
	DO(rt, cudaFreeHost, 1, 108, PTR, 0, 0, 0, (P), PTR);
	DO(rt, cudaHostRegister, 1, 109, 81, PTR, 0, 0, (P, Z, unsigned), PTR, 81, 0);
	DO(rt, cudaHostUnregister, 1, 110, PTR, 0, 0, 0, (P), PTR);
	DO(rt, cudaMallocPitch, 1, 117, 30 * 40, p, 0, 0, (P *, Z *, Z, Z), &p, &pitch, 30, 40);
	DO(rt, cudaLaunchKernel, 1, 3, F, S1, 0, 0, (P, dim3, dim3, P *, Z, P), F, g, b, 0, 0, S1);
	DO(rt, cudaLaunchKernel, 1, 3, F, 0, 0, 0, (P, dim3, dim3, P *, Z, P), F, g, b, 0, 13, 0);
	DO(rt, cudaLaunchKernel_ptsz, 1, 3, F, S2, 0, 0, (P, dim3, dim3, P *, Z, P), F, g, b, 0, 0, S2);
	DO(rt, cudaLaunchKernelExC, 1, 101, F, S1, 0, 0, (const struct config *, P, P *), &c, F, 0);
	DO(rt, cudaLaunchCooperativeKernel, 1, 102, F, S2, 0, 0, (P, dim3, dim3, P *, Z, P), F, g, b, 0, 0, S2);
	DO(rt, cudaMemcpy, 1, 4, 100, 1, 0, 0, (P, P, Z, int), PTR, PTR, 100, 1);
	DO(rt, cudaMemcpyAsync, 1, 7, 101, 2, S1, 0, (P, P, Z, int, P), PTR, PTR, 101, 2, S1);
	DO(rt, cudaMemcpy2D, 1, 9, 6 * 7, 3, 0, 0, (P, Z, P, Z, Z, Z, int), PTR, 8, PTR, 9, 6, 7, 3);
	DO(rt, cudaMemcpy2DAsync, 1, 10, 6 * 8, 1, S2, 0, (P, Z, P, Z, Z, Z, int, P), PTR, 8, PTR, 9, 6, 8, 1, S2);
	DO(rt, cudaMemcpyPeer, 1, 11, 102, 3, 0, 0, (P, int, P, int, Z), PTR, 0, PTR, 1, 102);
	DO(rt, cudaMemcpyPeerAsync, 1, 12, 103, 3, S1, 0, (P, int, P, int, Z, P), PTR, 0, PTR, 1, 103, S1);
	DO(rt, cudaMemset, 1, 111, 104, 0, 0, 0, (P, int, Z), PTR, 0, 104);
	DO(rt, cudaMemsetAsync, 1, 112, 105, 0, S1, 0, (P, int, Z, P), PTR, 0, 105, S1);
	DO(rt, cudaMemset2D, 1, 111, 3 * 5, 0, 0, 0, (P, Z, int, Z, Z), PTR, 8, 0, 3, 5);
	DO(rt, cudaMemset2DAsync, 1, 112, 3 * 6, 0, S2, 0, (P, Z, int, Z, Z, P), PTR, 8, 0, 3, 6, S2);
	DO(rt, cudaStreamSynchronize, 1, 5, S1, 0, 0, 0, (P), S1);
	DO(rt, cudaDeviceSynchronize, 1, 6, 0, 0, 0, 0, (void));
	DO(rt, cudaEventSynchronize, 1, 103, F, 0, 0, 0, (P), F);
	DO(rt, cudaStreamWaitEvent, 1, 116, S1, F, 0, 0, (P, P, unsigned), S1, F, 0);
	DO(rt, cudaStreamBeginCapture, 8, 1, 0, 0, S1, 0, (P, int), S1, 2);
	DO(rt, cudaStreamBeginCaptureToGraph, 8, 1, 0, 0, S2, F, (P, P, P, P, Z, int), S2, F, 0, 0, 0, 2);
	DO(rt, cudaStreamEndCapture, 8, 2, 0, 0, S1, p, (P, P *), S1, &p);
	DO(rt, cudaGraphInstantiate, 8, 3, F, 0, 0, p, (P *, P, U), &p, F, 0);
	DO(rt, cudaGraphInstantiateWithFlags, 8, 3, F, 0, 0, p, (P *, P, U), &p, F, 0);
	DO(rt, cudaGraphInstantiateWithParams, 8, 3, F, 0, 0, p, (P *, P, P), &p, F, 0);
	DO(rt, cudaGraphLaunch, 8, 4, 0, 0, S1, PTR, (P, P), PTR, S1);
	DO(rt, cudaGraphExecUpdate, 8, 6, F, 0, 0, PTR, (P, P, P), PTR, F, 0);
	DO(rt, cudaGraphExecDestroy, 8, 7, 0, 0, 0, PTR, (P), PTR);
	DO(rt, cudaGraphDestroy, 8, 5, 0, 0, 0, F, (P), F);
	DO(rt, cudaEventQuery, 1, 113, 0, 0, 0, 0, (P), F);
	DO(rt, cudaStreamQuery, 1, 114, 0, 0, 0, 0, (P), S1);
	DO(rt, cudaStreamIsCapturing, 1, 115, 0, 0, 0, 0, (P, int *), S1, &status);
}

static void driver_calls(void)
{
	P p = 0;
	Z pitch;
	dim3 g = { 1, 2, 3 }, b = { 4, 5, 6 };
	struct config c = { g, b, 7, S2 };
	struct copy2d up = { .src_type = 1, .dst_type = 2, .width = 11, .height = 3 };
	struct copy2d down = { .src_type = 2, .dst_type = 1, .width = 11, .height = 4 };
	struct copy2d across = { .src_type = 2, .dst_type = 2, .width = 11, .height = 5 };
	int status;

	DO(cu, cuMemAlloc_v2, 4, 5, 4096, p, 0, 0, (P *, Z), &p, 4096);
	DO(cu, cuMemAllocPitch_v2, 4, 5, 30 * 40, p, 0, 0, (P *, Z *, Z, Z, unsigned), &p, &pitch, 30, 40, 4);
	DO(cu, cuMemAllocManaged, 4, 6, 4097, p, 0, 0, (P *, Z, unsigned), &p, 4097, 1);
	DO(cu, cuMemFree_v2, 4, 105, PTR, 0, 0, 0, (P), PTR);
	DO(cu, cuMemAllocAsync, 4, 106, 13, p, S1, 0, (P *, Z, P), &p, 13, S1);
	DO(cu, cuMemAllocFromPoolAsync, 4, 106, 15, p, S2, 0, (P *, Z, P, P), &p, 15, F, S2);
	DO(cu, cuMemFreeAsync, 4, 107, PTR, 0, S1, 0, (P, P), PTR, S1);
	DO(cu, cuMemHostAlloc, 4, 108, 16, p, 0, 0, (P *, Z, unsigned), &p, 16, 0);
	DO(cu, cuMemAllocHost_v2, 4, 108, 17, p, 0, 0, (P *, Z), &p, 17);
	DO(cu, cuMemFreeHost, 4, 109, PTR, 0, 0, 0, (P), PTR);
	DO(cu, cuMemHostRegister_v2, 4, 110, 18, PTR, 0, 0, (P, Z, unsigned), PTR, 18, 0);
	DO(cu, cuMemHostUnregister, 4, 111, PTR, 0, 0, 0, (P), PTR);
	DO(cu, cuLaunchKernel, 4, 1, F, S1, 0, 0,
	   (P, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, P, P *, P *),
	   F, 1, 2, 3, 4, 5, 6, 0, S1, 0, 0);
	DO(cu, cuLaunchKernelEx, 4, 101, F, S2, 0, 0, (const struct config *, P, P *, P *), &c, F, 0, 0);
	DO(cu, cuLaunchCooperativeKernel, 4, 102, F, S2, 0, 0,
	   (P, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, P, P *),
	   F, 1, 2, 3, 4, 5, 6, 13, S2, 0);
	DO(cu, cuMemcpy, 4, 2, 200, 0, 0, 0, (P, P, Z), PTR, PTR, 200);
	DO(cu, cuMemcpyAsync, 4, 3, 201, 0, S1, 0, (P, P, Z, P), PTR, PTR, 201, S1);
	DO(cu, cuMemcpyHtoD_v2, 4, 112, 202, 1, 0, 0, (P, P, Z), PTR, PTR, 202);
	DO(cu, cuMemcpyDtoH_v2, 4, 113, 203, 2, 0, 0, (P, P, Z), PTR, PTR, 203);
	DO(cu, cuMemcpyHtoDAsync_v2, 4, 114, 204, 1, S1, 0, (P, P, Z, P), PTR, PTR, 204, S1);
	DO(cu, cuMemcpyDtoHAsync_v2, 4, 115, 205, 2, S1, 0, (P, P, Z, P), PTR, PTR, 205, S1);
	DO(cu, cuMemcpyDtoD_v2, 4, 116, 206, 3, 0, 0, (P, P, Z), PTR, PTR, 206);
	DO(cu, cuMemcpyDtoDAsync_v2, 4, 117, 207, 3, S2, 0, (P, P, Z, P), PTR, PTR, 207, S2);
	DO(cu, cuMemcpyPeer, 4, 118, 208, 3, 0, 0, (P, P, P, P, Z), PTR, F, PTR, F, 208);
	DO(cu, cuMemcpyPeerAsync, 4, 119, 209, 3, S1, 0, (P, P, P, P, Z, P), PTR, F, PTR, F, 209, S1);
	DO(cu, cuMemcpy2D_v2, 4, 120, 33, 1, 0, 0, (struct copy2d *), &up);
	DO(cu, cuMemcpy2DUnaligned_v2, 4, 120, 44, 2, 0, 0, (struct copy2d *), &down);
	DO(cu, cuMemcpy2DAsync_v2, 4, 121, 55, 3, S1, 0, (struct copy2d *, P), &across, S1);
	DO(cu, cuMemsetD8_v2, 4, 122, 210, 0, 0, 0, (P, unsigned char, Z), PTR, 1, 210);
	DO(cu, cuMemsetD16_v2, 4, 122, 2 * 211, 0, 0, 0, (P, unsigned short, Z), PTR, 1, 211);
	DO(cu, cuMemsetD32_v2, 4, 122, 4 * 212, 0, 0, 0, (P, unsigned, Z), PTR, 1, 212);
	DO(cu, cuMemsetD2D8_v2, 4, 122, 5 * 6, 0, 0, 0, (P, Z, unsigned char, Z, Z), PTR, 8, 1, 5, 6);
	DO(cu, cuMemsetD8Async, 4, 123, 213, 0, S1, 0, (P, unsigned char, Z, P), PTR, 1, 213, S1);
	DO(cu, cuMemsetD16Async, 4, 123, 2 * 214, 0, S1, 0, (P, unsigned short, Z, P), PTR, 1, 214, S1);
	DO(cu, cuMemsetD32Async, 4, 123, 4 * 215, 0, S1, 0, (P, unsigned, Z, P), PTR, 1, 215, S1);
	DO(cu, cuMemsetD2D8Async, 4, 123, 5 * 7, 0, S2, 0, (P, Z, unsigned char, Z, Z, P), PTR, 8, 1, 5, 7, S2);
	DO(cu, cuCtxSynchronize, 4, 4, 0, 0, 0, 0, (void));
	DO(cu, cuStreamSynchronize, 4, 103, S1, 0, 0, 0, (P), S1);
	DO(cu, cuEventSynchronize, 4, 104, F, 0, 0, 0, (P), F);
	DO(cu, cuStreamWaitEvent, 4, 129, S1, F, 0, 0, (P, P, unsigned), S1, F, 0);
	DO(cu, cuModuleLoadData, 4, 124, 0, p, 0, 0, (P *, P), &p, F);
	DO(cu, cuModuleLoadDataEx, 4, 124, 0, p, 0, 0, (P *, P, unsigned, P, P), &p, F, 0, 0, 0);
	DO(cu, cuModuleLoadFatBinary, 4, 124, 0, p, 0, 0, (P *, P), &p, F);
	DO(cu, cuModuleLoad, 4, 124, 0, p, 0, 0, (P *, P), &p, "x");
	DO(cu, cuLibraryLoadData, 4, 125, 0, p, 0, 0, (P *, P), &p, F);
	DO(cu, cuLibraryLoadFromFile, 4, 125, 0, p, 0, 0, (P *, P), &p, "x");
	DO(cu, cuStreamBeginCapture_v2, 8, 1, 0, 0, S1, 0, (P, int), S1, 2);
	DO(cu, cuStreamBeginCaptureToGraph, 8, 1, 0, 0, S2, F, (P, P, P, P, Z, int), S2, F, 0, 0, 0, 2);
	DO(cu, cuStreamEndCapture, 8, 2, 0, 0, S1, p, (P, P *), S1, &p);
	DO(cu, cuGraphInstantiateWithFlags, 8, 3, F, 0, 0, p, (P *, P, U), &p, F, 0);
	DO(cu, cuGraphInstantiateWithParams, 8, 3, F, 0, 0, p, (P *, P, P), &p, F, 0);
	DO(cu, cuGraphInstantiate_v2, 8, 3, F, 0, 0, p, (P *, P, P, P, Z), &p, F, 0, 0, 0);
	DO(cu, cuGraphLaunch, 8, 4, 0, 0, S1, PTR, (P, P), PTR, S1);
	DO(cu, cuGraphExecUpdate_v2, 8, 6, F, 0, 0, PTR, (P, P, P), PTR, F, 0);
	DO(cu, cuGraphExecUpdate, 8, 6, F, 0, 0, PTR, (P, P, P, P), PTR, F, 0, 0);
	DO(cu, cuGraphExecDestroy, 8, 7, 0, 0, 0, PTR, (P), PTR);
	DO(cu, cuGraphDestroy, 8, 5, 0, 0, 0, F, (P), F);
	DO(cu, cuEventQuery, 4, 126, 0, 0, 0, 0, (P), F);
	DO(cu, cuStreamQuery, 4, 127, 0, 0, 0, 0, (P), S1);
	DO(cu, cuStreamIsCapturing, 4, 128, 0, 0, 0, 0, (P, int *), S1, &status);
}

/* What a communicator is called on all its ranks: FNV-1a over 64-bit words. */
static U fold(U hash, U word) { return (hash ^ word) * 0x100000001b3ull; }

static U name_of(unique_id id)
{
	U hash = 0xcbf29ce484222325ull, word;

	for (int i = 0; i < 128; i += 8) {
		memcpy(&word, id.internal + i, 8);
		hash = fold(hash, word);
	}
	return hash;
}

static U name_of_split(U parent, unsigned color, U n)
{
	return fold(fold(fold(0xcbf29ce484222325ull, parent), color), n);
}

/* The detail row: nccl SEQ COUNT DTYPE BYTES PEER RANK NRANKS NAME, after its call line. */
static void collective(int seq, int count, int type, int bytes, int peer, int rank, int n, U name)
{
	printf("nccl %d %d %d %d %d %d %d %llu\n", seq, count, type, bytes, peer, rank, n, name);
}

static void nccl_calls(void)
{
	P a = 0, b = 0, c = 0, part = 0, many[2] = { 0, 0 };
	unique_id ids[2] = { { "one" }, { "two" } };
	U id = name_of(ids[0]), id_b = name_of(ids[1]);

	DO(nccl, ncclCommInitRank, 9, 1, 0, a, 0, 0, (P *, int, unique_id, int), &a, 8, ids[0], 3);
	collective(0, 0, -1, 0, -1, 3, 8, id);
	DO(nccl, ncclCommInitRankConfig, 9, 102, 0, b, 0, 0, (P *, int, unique_id, int, P), &b, 2, ids[1], 1, 0);
	collective(0, 0, -1, 0, -1, 1, 2, id_b);
	DO(nccl, ncclCommInitRankScalable, 9, 103, 0, c, 0, 0, (P *, int, int, int, unique_id *, P), &c, 300, 4, 2,
	   ids, 0);
	collective(0, 0, -1, 0, -1, 4, 300, id);
	DO(nccl, ncclAllReduce, 9, 3, 4000, a, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 1000, 7, 0, a, S1);
	collective(1, 1000, 7, 4000, -1, 3, 8, id);
	DO(nccl, ncclAllReduce, 9, 3, 13 * 2, b, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 13, 9, 0, b, S1);
	collective(1, 13, 9, 26, -1, 1, 2, id_b);
	DO(nccl, ncclAllGather, 9, 4, 80, a, S2, 0, (P, P, Z, int, P, P), PTR, PTR, 10, 8, a, S2);
	collective(2, 10, 8, 80, -1, 3, 8, id);
	DO(nccl, ncclReduceScatter, 9, 5, 11, a, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 11, 0, 0, a, S1);
	collective(3, 11, 0, 11, -1, 3, 8, id);
	DO(nccl, ncclBroadcast, 9, 6, 24, a, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 12, 6, 5, a, S1);
	collective(4, 12, 6, 24, 5, 3, 8, id);
	DO(nccl, ncclBcast, 9, 6, 28, a, S1, 0, (P, Z, int, int, P, P), PTR, 14, 6, 4, a, S1);
	collective(5, 14, 6, 28, 4, 3, 8, id);
	DO(nccl, ncclReduce, 9, 101, 60, a, S1, 0, (P, P, Z, int, int, int, P, P), PTR, PTR, 15, 2, 0, 6, a, S1);
	collective(6, 15, 2, 60, 6, 3, 8, id);
	DO(nccl, ncclSend, 9, 7, 64, a, S1, 0, (P, Z, int, int, P, P), PTR, 16, 3, 7, a, S1);
	collective(7, 16, 3, 64, 7, 3, 8, id);
	DO(nccl, ncclRecv, 9, 8, 136, a, S1, 0, (P, Z, int, int, P, P), PTR, 17, 4, 1, a, S1);
	collective(8, 17, 4, 136, 1, 3, 8, id);
	DO(nccl, ncclCommSplit, 9, 104, 0, part, 0, 0, (P, int, int, P *, P), a, 2, 0, &part, 0);
	collective(0, 0, -1, 0, -1, -1, -1, name_of_split(id, 2, 0));
	DO(nccl, ncclCommDestroy, 9, 2, 0, b, 0, 0, (P), b);
	DO(nccl, ncclCommInitAll, 9, 9, 2, 0, 0, 0, (P *, int, const int *), many, 2, 0);
}

/*
 * One of two ranks. The two communicators have ids that differ in their last byte only, and lie at
 * other addresses in rank 1. Both split the world by parity, then all together, then into nothing.
 */
static void as_rank(int rank)
{
	P extra = 0, world = 0, other = 0, half = 0, all = 0, none = 0;
	unique_id id = { "of the world" }, id2 = id, id3 = { "of nobody else" };
	U name = name_of(id), name2;

	id2.internal[127] = 1;
	name2 = name_of(id2);
	if (rank == 1) {
		DO(nccl, ncclCommInitRank, 9, 1, 0, extra, 0, 0, (P *, int, unique_id, int), &extra, 1, id3, 0);
		collective(0, 0, -1, 0, -1, 0, 1, name_of(id3));
	}
	/* Not blocking. */
	DO(nccl, ncclCommInitRankConfig, 9, 102, 0, world, 0, 0, (P *, int, unique_id, int, P), &world, 2, id, rank,
	   PTR);
	collective(0, 0, -1, 0, -1, rank, 2, name);
	DO(nccl, ncclCommInitRank, 9, 1, 0, other, 0, 0, (P *, int, unique_id, int), &other, 2, id2, 1 - rank);
	collective(0, 0, -1, 0, -1, 1 - rank, 2, name2);
	for (int seq = 1; seq <= 20; seq++) {
		DO(nccl, ncclAllReduce, 9, 3, 4000, world, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 1000, 7, 0, world,
		   S1);
		collective(seq, 1000, 7, 4000, -1, rank, 2, name);
		DO(nccl, ncclAllGather, 9, 4, 80, other, S2, 0, (P, P, Z, int, P, P), PTR, PTR, 10, 8, other, S2);
		collective(seq, 10, 8, 80, -1, 1 - rank, 2, name2);
	}
	DO(nccl, ncclCommSplit, 9, 104, 0, half, 0, 0, (P, int, int, P *, P), world, rank, 0, &half, 0);
	collective(0, 0, -1, 0, -1, -1, -1, name_of_split(name, rank, 0));
	DO(nccl, ncclCommSplit, 9, 104, 0, all, 0, 0, (P, int, int, P *, P), world, 0, 0, &all, 0);
	collective(0, 0, -1, 0, -1, -1, -1, name_of_split(name, 0, 1));
	DO(nccl, ncclCommSplit, 9, 104, 0, none, 0, 0, (P, int, int, P *, P), world, -1, 0, &none, 0);
	collective(0, 0, -1, 0, -1, -1, -1, 0);
	DO(nccl, ncclAllReduce, 9, 3, 8, all, S1, 0, (P, P, Z, int, int, P, P), PTR, PTR, 2, 7, 0, all, S1);
	collective(1, 2, 7, 8, -1, -1, -1, name_of_split(name, 0, 1));
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);
}

static void spin_ms(int ms)
{
	U end = now() + ms * 1000000ull;

	while (now() < end)
		;
}

static void launches(int n)
{
	dim3 g = { 1, 1, 1 };

	for (int i = 0; i < n; i++)
		DO(rt, cudaLaunchKernel, 1, 3, i, S1, 0, 0, (P, dim3, dim3, P *, Z, P), (P)(long)i, g, g, 0, 0, S1);
}

/* A call that lasts: the sleep happens in a callback of the library's caller. */
static void *worker(void *arg)
{
	int go;

	prctl(PR_SET_NAME, "old-worker");
	printf("thread %d\n", tid());
	fflush(stdout);
	read((long)arg, &go, 1);
	launches(5);
	sleep_ms(20);
	return 0;
}

static jmp_buf back;

static void escape(void)
{
	longjmp(back, 1);
}

/* A frame between, so that the stack lies higher once the call has been left. */
static void __attribute__((noinline)) deeper(int (*f)(P), P arg)
{
	volatile char room[4096];

	room[0] = 0;
	f(arg);
	room[1] = 0;
}

/* Calls that never return, by what the stand-ins take HOW for. */
static void *never(void *how)
{
	int (*sync)(P) = symbol(rt, "cudaStreamSynchronize");

	if (how == (P)0x10e) {
		*(void (**)(void))symbol(rt, "standin_escape") = escape;
		if (setjmp(back))
			how = 0;
	}
	if (how)
		deeper(sync, how);
	for (;;)
		pause();
}

static void *spinner(void *arg)
{
	prctl(PR_SET_NAME, "spinner");
	pin(0);
	printf("spinner %d\n", tid());
	spin_ms(1500);
	return 0;
}

static void burst(long n)
{
	int (*f)(P, dim3, dim3, P *, Z, P) = symbol(rt, "cudaLaunchKernel");
	dim3 g = { 1, 1, 1 };
	U t0 = now(), c0 = cpu_time();

	for (long i = 0; i < n; i++)
		f((P)i, g, g, 0, 0, S1);
	printf("burst %ld %llu %llu\n", n, now() - t0, cpu_time() - c0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0;

	static char said_so_far[1 << 20];

	setvbuf(stdout, said_so_far, _IOFBF, sizeof(said_so_far));
	printf("pid %d\n", getpid());
	fflush(stdout);
	if (!strcmp(what, "exec")) {
		/* A child that becomes another program, which loads the library. */
		pid_t child = fork();

		if (child == 0) {
			execl("/proc/self/exe", "again", "calls", "7", (char *)0);
			_exit(9);
		}
		printf("child %d\n", child);
		fflush(stdout);
		waitpid(child, 0, 0);
		return 0;
	}
	if (!strcmp(what, "late")) {
		/* Long without a library, then opens one from a place nobody knows of. */
		sleep_ms(300);
		rt = library("libcudart.so.13");
		sleep_ms(300);
		launches(n);
		return 0;
	}
	if (!strcmp(what, "quiet"))
		return sleep_ms(n), 0;
	if (!strcmp(what, "eat")) {
		/* More memory than it may have. */
		fflush(stdout);
		for (;;) {
			void *p = malloc(1 << 20);

			if (p)
				memset(p, 1, 1 << 20);
		}
	}
	if (!strcmp(what, "net")) {
		int s[2], file = open("/dev/zero", O_RDONLY);
		char buf[64];
		struct iovec v = { buf, 30 };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

		socketpair(AF_UNIX, SOCK_STREAM, 0, s);
		read(file, buf, 9);
		send(s[0], buf, 10, 0);
		recv(s[1], buf, 64, 0);
		write(s[0], buf, 11);
		read(s[1], buf, 64);
		sendmsg(s[0], &m, 0);
		recvmsg(s[1], &m, 0);
		send(s[0], buf, 13, MSG_DONTWAIT);
		recv(s[1], buf, 64, 0);
		recv(s[1], buf, 64, MSG_DONTWAIT);
		printf("fds %d %d\n", s[0], s[1]);
		return 0;
	}
	if (!strcmp(what, "io")) {
		int fd = open(argv[2], O_CREAT | O_WRONLY | O_DIRECT, 0600);
		void *page;

		posix_memalign(&page, 4096, 65536);
		memset(page, 1, 65536);
		for (int i = 0; i < 20; i++)
			if (pwrite(fd, page, 65536, i * 65536l) != 65536)
				return 1;
		fsync(fd);
		return 0;
	}
	rt = library("libcudart.so.13");
	cu = library("libcuda.so.1");
	nccl = library("libnccl.so.2");
	if (!strcmp(what, "all")) {
		runtime_calls();
		driver_calls();
		nccl_calls();
	} else if (!strcmp(what, "ranks")) {
		pid_t child = fork();

		as_rank(child == 0);
		if (child) {
			/* What the child says comes first, and whole. */
			waitpid(child, 0, 0);
			printf("child %d\n", child);
		}
	} else if (!strcmp(what, "calls")) {
		launches(n);
	} else if (!strcmp(what, "burst")) {
		burst(n);
	} else if (!strcmp(what, "forever")) {
		fflush(stdout);
		for (int i = 0;; i++) {
			launches(1);
			sleep_ms(1);
		}
	} else if (!strcmp(what, "flood")) {
		for (;;)
			burst(1000);
	} else if (!strcmp(what, "never")) {
		int (*init)(P *, int, unique_id, int) = symbol(nccl, "ncclCommInitRank");
		int (*reduce)(P, P, Z, int, int, P, P) = symbol(nccl, "ncclAllReduce");
		pthread_t t;
		unique_id id = {};
		P comm;

		fflush(stdout);
		for (long how = 0; how < 3; how++)
			pthread_create(&t, 0, never, (P[]){ (P)0xdead, (P)0xe14, (P)0x10e }[how]);
		init(&comm, 8, id, 3);
		reduce(0, 0, 1, 7, 0, comm, S1);
		reduce(0, 0, 0xdead, 7, 0, comm, S1);
	} else if (!strcmp(what, "sleeps")) {
		printf("begin %llu\n", now());
		for (int i = 0; i < n; i++)
			sleep_ms(20);
	} else if (!strcmp(what, "preempt")) {
		pthread_t t;

		pin(0);
		pthread_create(&t, 0, spinner, 0);
		spin_ms(1500);
		pthread_join(t, 0);
	} else if (!strcmp(what, "threads")) {
		/* Threads that wait for a byte on standard input, so that the recorder may come late. */
		int pipes[3][2];
		pthread_t t[3];
		char go;

		for (int i = 0; i < 3; i++) {
			if (pipe(pipes[i]))
				return 1;
			pthread_create(&t[i], 0, worker, (void *)(long)pipes[i][0]);
		}
		printf("ready\n");
		fflush(stdout);
		if (read(0, &go, 1) != 1)
			return 1;
		for (int i = 0; i < 3; i++) {
			write(pipes[i][1], "x", 1);
			pthread_join(t[i], 0);
		}
	} else {
		return 4;
	}
	fflush(stdout);
	return 0;
}

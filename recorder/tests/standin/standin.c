/*
 * Stand-ins for libcudart, libcuda and libnccl: the signatures of the real functions, nothing
 * behind them. Compiled once for each library (-DCUDART, -DCUDA, -DNCCL). A size of 13 makes a
 * call fail with 2, so that return codes can be told from zero. With -DNESTING the runtime calls
 * the driver, as the real one does. Some functions do not return when told so by an argument: they
 * wait for ever (0xdead), end their thread (0xe14), or leave by `standin_escape` (0x10e).
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void *P;
typedef size_t Z;
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

static uint64_t next_handle = 0x7000;
#define RET(size) return (size) == 13 ? 2 : 0
#define OUT(p, size)                                    \
	do {                                            \
		*(uint64_t *)(p) = next_handle += 0x10; \
		RET(size);                              \
	} while (0)

void (*standin_escape)(void);
static void may_not_return(Z how)
{
	while (how == 0xdead)
		pause();
	if (how == 0xe14)
		syscall(SYS_exit, 0);
	if (how == 0x10e)
		standin_escape();
}

#ifdef CUDART
#ifdef NESTING
int cuLaunchKernel(P f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
		   unsigned bz, unsigned shared, P stream, P *params, P *extra);
int cuModuleLoadData(P *m, const void *image);
#endif
int cudaMalloc(P *p, Z n) { OUT(p, n); }
int cudaFree(P p) { RET((Z)p); }
int cudaMallocManaged(P *p, Z n, unsigned flags) { OUT(p, n); }
int cudaMallocAsync(P *p, Z n, P stream) { OUT(p, n); }
int cudaMallocFromPoolAsync(P *p, Z n, P pool, P stream) { OUT(p, n); }
int cudaFreeAsync(P p, P stream) { RET((Z)p); }
int cudaHostAlloc(P *p, Z n, unsigned flags) { OUT(p, n); }
int cudaMallocHost(P *p, Z n) { OUT(p, n); }
int cudaFreeHost(P p) { RET((Z)p); }
int cudaHostRegister(P p, Z n, unsigned flags) { RET(n); }
int cudaHostUnregister(P p) { RET((Z)p); }
int cudaMallocPitch(P *p, Z *pitch, Z width, Z height) { OUT(p, width); }
int cudaLaunchKernel(const void *f, dim3 grid, dim3 block, P *args, Z shared, P stream)
{
#ifdef NESTING
	P module;
	static int loaded;

	if (!loaded++)
		cuModuleLoadData(&module, f);
	return cuLaunchKernel((P)f, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared,
			      stream, args, 0);
#endif
	RET(shared);
}
int cudaLaunchKernel_ptsz(const void *f, dim3 grid, dim3 block, P *args, Z shared, P stream)
{
	RET(shared);
}
int cudaLaunchKernelExC(const struct config *c, const void *f, P *args) { RET(c->shared); }
int cudaLaunchCooperativeKernel(const void *f, dim3 grid, dim3 block, P *args, Z shared, P stream)
{
	RET(shared);
}
int cudaMemcpy(P dst, const void *src, Z n, int kind) { RET(n); }
int cudaMemcpyAsync(P dst, const void *src, Z n, int kind, P stream) { RET(n); }
int cudaMemcpy2D(P dst, Z dp, const void *src, Z sp, Z width, Z height, int kind) { RET(width); }
int cudaMemcpy2DAsync(P dst, Z dp, const void *src, Z sp, Z width, Z height, int kind, P stream)
{
	RET(width);
}
int cudaMemcpyPeer(P dst, int dd, const void *src, int sd, Z n) { RET(n); }
int cudaMemcpyPeerAsync(P dst, int dd, const void *src, int sd, Z n, P stream) { RET(n); }
int cudaMemset(P p, int v, Z n) { RET(n); }
int cudaMemsetAsync(P p, int v, Z n, P stream) { RET(n); }
int cudaMemset2D(P p, Z pitch, int v, Z width, Z height) { RET(width); }
int cudaMemset2DAsync(P p, Z pitch, int v, Z width, Z height, P stream) { RET(width); }
int cudaStreamSynchronize(P stream)
{
	may_not_return((Z)stream);
	RET((Z)stream);
}
int cudaDeviceSynchronize(void) { return 0; }
int cudaEventSynchronize(P event) { RET((Z)event); }
int cudaStreamWaitEvent(P stream, P event, unsigned flags) { RET((Z)stream); }
int cudaEventQuery(P event) { return 600; }
int cudaStreamQuery(P stream) { return 600; }
int cudaStreamIsCapturing(P stream, int *status) { *status = 0; return 0; }
int cudaStreamBeginCapture(P stream, int mode) { RET((Z)stream); }
int cudaStreamBeginCaptureToGraph(P stream, P graph, P deps, P data, Z n, int mode) { RET(n); }
int cudaStreamEndCapture(P stream, P *graph) { OUT(graph, (Z)stream); }
int cudaGraphInstantiate(P *exec, P graph, unsigned long long flags) { OUT(exec, flags); }
int cudaGraphInstantiateWithFlags(P *exec, P graph, unsigned long long flags) { OUT(exec, flags); }
int cudaGraphInstantiateWithParams(P *exec, P graph, P params) { OUT(exec, (Z)params); }
int cudaGraphLaunch(P exec, P stream) { RET((Z)stream); }
int cudaGraphDestroy(P graph) { RET((Z)graph); }
int cudaGraphExecUpdate(P exec, P graph, P info) { RET((Z)info); }
int cudaGraphExecDestroy(P exec) { RET((Z)exec); }
#endif

#ifdef CUDA
int cuMemAlloc_v2(P *p, Z n) { OUT(p, n); }
int cuMemAllocPitch_v2(P *p, Z *pitch, Z width, Z height, unsigned elem) { OUT(p, width); }
int cuMemAllocManaged(P *p, Z n, unsigned flags) { OUT(p, n); }
int cuMemFree_v2(P p) { RET((Z)p); }
int cuMemAllocAsync(P *p, Z n, P stream) { OUT(p, n); }
int cuMemAllocFromPoolAsync(P *p, Z n, P pool, P stream) { OUT(p, n); }
int cuMemFreeAsync(P p, P stream) { RET((Z)p); }
int cuMemHostAlloc(P *p, Z n, unsigned flags) { OUT(p, n); }
int cuMemAllocHost_v2(P *p, Z n) { OUT(p, n); }
int cuMemFreeHost(P p) { RET((Z)p); }
int cuMemHostRegister_v2(P p, Z n, unsigned flags) { RET(n); }
int cuMemHostUnregister(P p) { RET((Z)p); }
int cuLaunchKernel(P f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
		   unsigned bz, unsigned shared, P stream, P *params, P *extra)
{
	RET(shared);
}
int cuLaunchKernelEx(const struct config *c, P f, P *params, P *extra) { RET((unsigned)c->shared); }
int cuLaunchCooperativeKernel(P f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
			      unsigned bz, unsigned shared, P stream, P *params)
{
	RET(shared);
}
int cuMemcpy(P dst, P src, Z n) { RET(n); }
int cuMemcpyAsync(P dst, P src, Z n, P stream) { RET(n); }
int cuMemcpyHtoD_v2(P dst, const void *src, Z n) { RET(n); }
int cuMemcpyDtoH_v2(P dst, P src, Z n) { RET(n); }
int cuMemcpyHtoDAsync_v2(P dst, const void *src, Z n, P stream) { RET(n); }
int cuMemcpyDtoHAsync_v2(P dst, P src, Z n, P stream) { RET(n); }
int cuMemcpyDtoD_v2(P dst, P src, Z n) { RET(n); }
int cuMemcpyDtoDAsync_v2(P dst, P src, Z n, P stream) { RET(n); }
int cuMemcpyPeer(P dst, P dc, P src, P sc, Z n) { RET(n); }
int cuMemcpyPeerAsync(P dst, P dc, P src, P sc, Z n, P stream) { RET(n); }
int cuMemcpy2D_v2(const struct copy2d *c) { RET(c->width); }
int cuMemcpy2DUnaligned_v2(const struct copy2d *c) { RET(c->width); }
int cuMemcpy2DAsync_v2(const struct copy2d *c, P stream) { RET(c->width); }
int cuMemsetD8_v2(P p, unsigned char v, Z n) { RET(n); }
int cuMemsetD16_v2(P p, unsigned short v, Z n) { RET(n); }
int cuMemsetD32_v2(P p, unsigned v, Z n) { RET(n); }
int cuMemsetD2D8_v2(P p, Z pitch, unsigned char v, Z width, Z height) { RET(width); }
int cuMemsetD8Async(P p, unsigned char v, Z n, P stream) { RET(n); }
int cuMemsetD16Async(P p, unsigned short v, Z n, P stream) { RET(n); }
int cuMemsetD32Async(P p, unsigned v, Z n, P stream) { RET(n); }
int cuMemsetD2D8Async(P p, Z pitch, unsigned char v, Z width, Z height, P stream) { RET(width); }
int cuCtxSynchronize(void) { return 0; }
int cuStreamSynchronize(P stream) { RET((Z)stream); }
int cuEventSynchronize(P event) { RET((Z)event); }
int cuStreamWaitEvent(P stream, P event, unsigned flags) { RET((Z)stream); }
int cuEventQuery(P event) { return 600; }
int cuStreamQuery(P stream) { return 600; }
int cuStreamIsCapturing(P stream, int *status) { *status = 0; return 0; }
int cuModuleLoadData(P *m, const void *image) { OUT(m, (Z)image); }
int cuModuleLoadDataEx(P *m, const void *image, unsigned n, P o, P v) { OUT(m, (Z)image); }
int cuModuleLoadFatBinary(P *m, const void *image) { OUT(m, (Z)image); }
int cuModuleLoad(P *m, const char *name) { OUT(m, 0); }
int cuLibraryLoadData(P *l, const void *code) { OUT(l, (Z)code); }
int cuLibraryLoadFromFile(P *l, const char *name) { OUT(l, 0); }
int cuStreamBeginCapture_v2(P stream, int mode) { RET((Z)stream); }
int cuStreamBeginCaptureToGraph(P stream, P graph, P deps, P data, Z n, int mode) { RET(n); }
int cuStreamEndCapture(P stream, P *graph) { OUT(graph, (Z)stream); }
int cuGraphInstantiateWithFlags(P *exec, P graph, unsigned long long flags) { OUT(exec, flags); }
int cuGraphInstantiateWithParams(P *exec, P graph, P params) { OUT(exec, (Z)params); }
int cuGraphInstantiate_v2(P *exec, P graph, P node, P log, Z n) { OUT(exec, n); }
int cuGraphLaunch(P exec, P stream) { RET((Z)stream); }
int cuGraphDestroy(P graph) { RET((Z)graph); }
int cuGraphExecUpdate_v2(P exec, P graph, P info) { RET((Z)info); }
int cuGraphExecUpdate(P exec, P graph, P node, P info) { RET((Z)info); }
int cuGraphExecDestroy(P exec) { RET((Z)exec); }
#endif

#ifdef NCCL
typedef struct { char internal[128]; } unique_id;
int ncclCommInitRank(P *comm, int nranks, unique_id id, int rank) { OUT(comm, 0); }
/* With a configuration it does not block: the communicator is there and is still being made. */
int ncclCommInitRankConfig(P *comm, int nranks, unique_id id, int rank, P config)
{
	*(uint64_t *)comm = next_handle += 0x10;
	return config ? 7 : 0;
}
int ncclCommInitRankScalable(P *comm, int nranks, int rank, int n, unique_id *ids, P config)
{
	OUT(comm, 0);
}
int ncclCommSplit(P comm, int color, int key, P *out, P config)
{
	if (color >= 0)
		OUT(out, 0);
	*(uint64_t *)out = 0;
	return 0;
}
int ncclCommInitAll(P *comms, int n, const int *devices) { OUT(comms, 0); }
int ncclCommDestroy(P comm) { RET((Z)comm); }
int ncclAllReduce(const void *s, P r, Z n, int type, int op, P comm, P stream)
{
	may_not_return(n);
	RET(n);
}
int ncclAllGather(const void *s, P r, Z n, int type, P comm, P stream) { RET(n); }
int ncclReduceScatter(const void *s, P r, Z n, int type, int op, P comm, P stream) { RET(n); }
int ncclBroadcast(const void *s, P r, Z n, int type, int root, P comm, P stream) { RET(n); }
int ncclBcast(P b, Z n, int type, int root, P comm, P stream)
{
	return ncclBroadcast(b, b, n, type, root, comm, stream);
}
int ncclReduce(const void *s, P r, Z n, int type, int op, int root, P comm, P stream) { RET(n); }
int ncclSend(const void *b, Z n, int type, int peer, P comm, P stream) { RET(n); }
int ncclRecv(P b, Z n, int type, int peer, P comm, P stream) { RET(n); }
#endif

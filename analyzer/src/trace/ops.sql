-- The lookup tables. Numbers below 100 are upstream's; ours start at 101 so that they never meet.
INSERT INTO sources(id, name, description) VALUES
 (1,'CUDA','CUDA runtime API calls'), (2,'NVIDIA','reserved'), (3,'HOST','Linux kernel events'),
 (4,'DRIVER','CUDA driver API calls'), (5,'IO','block I/O'), (6,'TCP','TCP events'),
 (7,'NET','socket calls'), (8,'CUDA_GRAPH','CUDA graph API calls'), (9,'NCCL','NCCL calls');
INSERT INTO ops(source_id, op_id, name) VALUES
 (1,1,'cudaMalloc'),(1,2,'cudaFree'),(1,3,'cudaLaunchKernel'),(1,4,'cudaMemcpy'),(1,5,'cudaStreamSync'),
 (1,6,'cudaDeviceSync'),(1,7,'cudaMemcpyAsync'),(1,8,'cudaMallocManaged'),(1,9,'cudaMemcpy2D'),
 (1,10,'cudaMemcpy2DAsync'),(1,11,'cudaMemcpyPeer'),(1,12,'cudaMemcpyPeerAsync'),
 (1,101,'cudaLaunchKernelExC'),(1,102,'cudaLaunchCooperativeKernel'),(1,103,'cudaEventSynchronize'),
 (1,104,'cudaMallocAsync'),(1,105,'cudaFreeAsync'),(1,106,'cudaHostAlloc'),(1,107,'cudaMallocHost'),
 (1,108,'cudaFreeHost'),(1,109,'cudaHostRegister'),(1,110,'cudaHostUnregister'),(1,111,'cudaMemset'),
 (1,112,'cudaMemsetAsync'),(1,113,'cudaEventQuery'),(1,114,'cudaStreamQuery'),
 (1,115,'cudaStreamIsCapturing'),(1,116,'cudaStreamWaitEvent'),(1,117,'cudaMallocPitch'),
 (2,1,'xid'),
 (3,1,'sched_switch'),(3,2,'sched_wakeup'),(3,3,'mm_page_alloc'),(3,4,'oom_kill'),(3,5,'process_exec'),
 (3,6,'process_exit'),(3,7,'process_fork'),(3,10,'pod_restart'),(3,11,'pod_eviction'),(3,12,'pod_oom_kill'),
 (3,20,'mm_page_alloc_summary'),(3,21,'sched_switch_summary'),
 (4,1,'cuLaunchKernel'),(4,2,'cuMemcpy'),(4,3,'cuMemcpyAsync'),(4,4,'cuCtxSynchronize'),(4,5,'cuMemAlloc'),
 (4,6,'cuMemAllocManaged'),(4,101,'cuLaunchKernelEx'),(4,102,'cuLaunchCooperativeKernel'),
 (4,103,'cuStreamSynchronize'),(4,104,'cuEventSynchronize'),(4,105,'cuMemFree'),(4,106,'cuMemAllocAsync'),
 (4,107,'cuMemFreeAsync'),(4,108,'cuMemHostAlloc'),(4,109,'cuMemFreeHost'),(4,110,'cuMemHostRegister'),
 (4,111,'cuMemHostUnregister'),(4,112,'cuMemcpyHtoD'),(4,113,'cuMemcpyDtoH'),(4,114,'cuMemcpyHtoDAsync'),
 (4,115,'cuMemcpyDtoHAsync'),(4,116,'cuMemcpyDtoD'),(4,117,'cuMemcpyDtoDAsync'),(4,118,'cuMemcpyPeer'),
 (4,119,'cuMemcpyPeerAsync'),(4,120,'cuMemcpy2D'),(4,121,'cuMemcpy2DAsync'),(4,122,'cuMemset'),
 (4,123,'cuMemsetAsync'),(4,124,'cuModuleLoadData'),(4,125,'cuLibraryLoadData'),(4,126,'cuEventQuery'),
 (4,127,'cuStreamQuery'),(4,128,'cuStreamIsCapturing'),(4,129,'cuStreamWaitEvent'),
 (5,1,'block_read'),(5,2,'block_write'),(5,3,'block_discard'),(6,1,'tcp_retransmit'),
 (7,1,'net_send'),(7,2,'net_recv'),
 (8,1,'graphBeginCapture'),(8,2,'graphEndCapture'),(8,3,'graphInstantiate'),(8,4,'graphLaunch'),
 (8,5,'graphDestroy'),(8,6,'graphExecUpdate'),(8,7,'graphExecDestroy'),
 (9,1,'ncclCommInitRank'),(9,2,'ncclCommDestroy'),(9,3,'ncclAllReduce'),(9,4,'ncclAllGather'),
 (9,5,'ncclReduceScatter'),(9,6,'ncclBroadcast'),(9,7,'ncclSend'),(9,8,'ncclRecv'),(9,9,'ncclCommInitAll'),
 (9,101,'ncclReduce'),(9,102,'ncclCommInitRankConfig'),(9,103,'ncclCommInitRankScalable'),(9,104,'ncclCommSplit');
INSERT INTO schema_info(key, value) VALUES
 ('version','0.10'),('timestamp_unit','ns since the Unix epoch'),('duration_unit','ns');
INSERT INTO recording(key, value) VALUES ('format','1');

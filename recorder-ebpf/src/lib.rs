//! eBPF objects.

//! The heaps of the process: that of C libraries and Rust's own, which no binding lets us set.

// The allocator of the binary; linked here for tests of the library too.
use mimalloc as _;
use std::ffi::c_long;

/// Makes the heap of C libraries (librdkafka, codecs, TLS) give back what they free, but for `kept` bytes to twice as many:
/// the answers of brokers, which come and go all the time and would each be of memory that the kernel clears first. By
/// itself glibc keeps tens of megabytes for each thread, which no budget counts. Rust's own heap asks for huge pages, of
/// which a few bytes in use hold 2 MiB, and keeps what was freed for a second, in which closed files leave a hundred
/// megabytes. Call it before the first client.
pub fn keep_small(kept: usize) {
    #[cfg(target_os = "linux")]
    {
        const PR_SET_THP_DISABLE: i32 = 41;
        unsafe extern "C" {
            fn prctl(option: i32, ...) -> i32;
        }
        // SAFETY: sets a flag of the process. A kernel that does not know it leaves pages as they are.
        unsafe { prctl(PR_SET_THP_DISABLE, 1_usize, 0_usize, 0_usize, 0_usize) };
    }
    // Number of mimalloc's `mimalloc.h`, and milliseconds.
    const PURGE_DELAY: (i32, c_long) = (15, 100);
    unsafe extern "C" {
        fn mi_option_set(option: i32, value: c_long);
    }
    // SAFETY: sets a number of the allocator, which any thread may do at any time.
    unsafe { mi_option_set(PURGE_DELAY.0, PURGE_DELAY.1) };
    #[cfg(target_env = "gnu")]
    {
        // The most that glibc takes for the larger of these.
        let kept = kept.clamp(1 << 20, 16 << 20) as i32;
        // Numbers of glibc's `malloc.h`: one heap for all threads, much larger blocks by themselves, and what is kept when
        // twice as much is free at the end of the heap.
        const ARENA_MAX: (i32, i32) = (-8, 1);
        let (mmap_threshold, trim_threshold, top_pad) = ((-3, 2 * kept), (-1, 2 * kept), (-2, kept));
        unsafe extern "C" {
            fn mallopt(name: i32, value: i32) -> i32;
        }
        for (name, value) in [ARENA_MAX, mmap_threshold, trim_threshold, top_pad] {
            // SAFETY: sets a number of the C library, which any thread may do at any time.
            let set = unsafe { mallopt(name, value) };
            debug_assert_eq!(set, 1, "glibc knows option {name}");
        }
    }
}

/// Makes all heaps give back what they hold and nobody uses.
pub fn give_back() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: any thread may ask at any time; only free pages are given back.
    unsafe { mi_collect(true) };
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: as above.
        unsafe { malloc_trim(0) };
    }
}

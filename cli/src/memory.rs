//! How the process takes memory from the machine.

/// Of librdkafka too. Each record is a dozen small pieces, made on a worker's thread and freed on librdkafka's, which is
/// what glibc's allocator does worst: `docs/decisions/0005-mimalloc.md` has the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has Linux give pages of 4 KiB to this process and no others. The allocator asks for huge ones, of 2 MiB, where the machine has
/// them; what it gives back is smaller than that as a rule, so that little of it goes back: `docs/decisions/0017-small-pages.md`.
///
/// Where it may not be asked for, the process has more memory, and works.
pub fn small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

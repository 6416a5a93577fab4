//! The guest's allocator: blocks of powers of two, each size with a list of free ones, nothing else.
//!
//! A function allocates a few small blocks for an event and frees them all; here either is a handful of instructions,
//! where the standard allocator's generality costs 100 of the 900 ns of a call and 10 KB of module (measured with
//! examples/customer-registration). The price: a block of up to twice the size asked for, and a block once used for
//! one size is never used for another.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::memory_grow;
use std::cell::Cell;
use std::ptr::null_mut;

/// The unit in which wasm memory grows, in bytes.
const PAGE: usize = 65_536;

#[global_allocator]
static MEMORY: Blocks = Blocks { free: [const { Cell::new(null_mut()) }; 32], next: Cell::new(0), end: Cell::new(0) };

struct Blocks {
    /// The first free block of 2^i bytes; a free block begins with a pointer to the next.
    free: [Cell<*mut u8>; 32],
    /// What lies from here to `end` was never used.
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: an instance has one thread.
unsafe impl Sync for Blocks {}

// SAFETY: a block is on a free list or in use, never both, and holds its layout: see `class` and `fresh`.
unsafe impl GlobalAlloc for Blocks {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        let Some(list) = self.free.get(class) else { return null_mut() };
        let block = list.get();
        if block.is_null() {
            return self.fresh(1 << class);
        }
        // SAFETY: a free block begins with a pointer.
        list.set(unsafe { block.cast::<*mut u8>().read() });
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(list) = self.free.get(class(layout)) else { return };
        // SAFETY: the block is free now, and every block has room for a pointer.
        unsafe { block.cast::<*mut u8>().write(list.get()) };
        list.set(block);
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid size.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class(wanted) == class(layout) {
            return block;
        }
        // SAFETY: as the caller promises; the two blocks are distinct.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                block.copy_to_nonoverlapping(moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

impl Blocks {
    /// A block of never used memory, aligned to its size (up to a page's); null when there is no more.
    #[cold]
    #[inline(never)]
    fn fresh(&self, size: usize) -> *mut u8 {
        let mut at = self.next.get().next_multiple_of(size.min(PAGE));
        if self.end.get() - at < size {
            let pages = size.div_ceil(PAGE);
            let grown = memory_grow(0, pages);
            if grown == usize::MAX {
                return null_mut();
            }
            // The first time, or when somebody else grew the memory meanwhile.
            if grown * PAGE != self.end.get() {
                at = grown * PAGE;
            }
            self.end.set((grown + pages) * PAGE);
        }
        self.next.set(at + size);
        at as *mut u8
    }
}

/// The power of two that holds the layout: its size, its alignment, and a pointer while it is free.
#[inline]
fn class(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()).max(size_of::<*mut u8>());
    (usize::BITS - (bytes - 1).leading_zeros()) as usize
}

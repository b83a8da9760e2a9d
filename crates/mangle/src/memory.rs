//! How much memory something needs at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;

/// The system's allocator, which counts for each thread. Tests that ask for [`peak`] install it:
/// `#[global_allocator] static ALLOCATOR: mangle::Counting = mangle::Counting;`
pub struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Runs something and says how many more bytes than before it held at once, on this thread. Without [`Counting`], 0.
pub fn peak<R>(act: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = act();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

fn count(bytes: isize) {
    // A thread that ends has no counters any more; nobody asks it.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.dealloc(at, layout) }
    }
}

/// The system's allocator, which counts for the whole process: for servers that are asked by one thread and answer by others.
pub struct CountingAll;

static HELD: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

/// How much more memory the process holds than when this began. Without [`CountingAll`], none. One is looked at at a time:
/// beginning another one forgets the most so far.
#[derive(Debug)]
pub struct Growth(isize);

impl Growth {
    pub fn begin() -> Self {
        let before = HELD.load(Relaxed);
        MOST.store(before, Relaxed);
        Self(before)
    }

    /// Bytes that are held now.
    pub fn kept(&self) -> usize {
        usize::try_from(HELD.load(Relaxed) - self.0).unwrap_or(0)
    }

    /// Bytes that were held at once at some moment since the beginning.
    pub fn most(&self) -> usize {
        usize::try_from(MOST.load(Relaxed) - self.0).unwrap_or(0)
    }
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAll {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() as isize;
        MOST.fetch_max(HELD.fetch_add(size, Relaxed) + size, Relaxed);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.dealloc(at, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn what_is_held_at_once_counts_and_what_was_freed_does_not() {
        let (_, used) = peak(|| {
            for _ in 0..10 {
                drop(std::hint::black_box(vec![0u8; 100_000]));
            }
            std::hint::black_box(vec![0u8; 50_000])
        });
        assert!((100_000..120_000).contains(&used), "{used}");
    }

    #[test]
    fn what_all_threads_hold_is_one_sum() {
        let growth = Growth::begin();
        let layout = Layout::array::<u8>(100_000).unwrap();
        let hold = || {
            // SAFETY: the layout is not empty, and what is got is given back with the same one.
            unsafe { CountingAll.dealloc(CountingAll.alloc(layout), layout) }
        };
        std::thread::scope(|scope| scope.spawn(hold).join()).unwrap();
        // SAFETY: as above.
        let at = unsafe { CountingAll.alloc(layout) };
        assert_eq!((growth.kept(), growth.most()), (100_000, 100_000));
        // SAFETY: as above.
        unsafe { CountingAll.dealloc(at, layout) };
        assert_eq!((growth.kept(), growth.most()), (0, 100_000));
    }
}

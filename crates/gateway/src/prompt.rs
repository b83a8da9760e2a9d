//! The gateway's threads are asked to run soon, rather than long, when they have something to do.

use std::{io, mem};

/// How long a thread may run at a time where others wait, in nanoseconds: the kernel's least. What it does between two requests takes a
/// tenth of that.
const SLICE: u64 = 100_000;

/// Asks that this thread, when it wakes, goes before those that want to run for longer; its share of the processor stays what
/// it is. Kernels before 6.12 take no notice.
pub(crate) fn be_prompt() {
    if let Err(error) = set_slice(SLICE) {
        tracing::debug!(%error, "the gateway's threads wait for the processor as long as any other");
    }
}

fn set_slice(slice: u64) -> io::Result<()> {
    let mut attributes = attributes()?;
    let fair = [libc::SCHED_OTHER, libc::SCHED_BATCH].map(|policy| policy as u32);
    if !fair.contains(&attributes.sched_policy) {
        // Whoever chose another policy meant it.
        return Ok(());
    }
    attributes.sched_runtime = slice;
    // SAFETY: the kernel reads a structure of the size that it says itself, and this thread is one of ours.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// This thread's.
fn attributes() -> io::Result<libc::sched_attr> {
    // SAFETY: it is made of numbers, all of which may be 0.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let size = mem::size_of_val(&attributes) as u32;
    // SAFETY: the kernel writes at most `size` bytes.
    match unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } {
        0 => Ok(attributes),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_asked_to_be_prompt_keeps_its_place_among_others() {
        std::thread::spawn(|| {
            // Not every sandbox lets a test ask.
            let Ok(before) = attributes() else { return };
            if set_slice(SLICE).is_err() {
                return;
            }
            let after = attributes().unwrap();
            assert_eq!(
                (after.sched_policy, after.sched_nice, after.sched_priority),
                (before.sched_policy, before.sched_nice, before.sched_priority)
            );
            // An older kernel says 0, as before.
            assert!([0, SLICE].contains(&after.sched_runtime), "{}", after.sched_runtime);
        })
        .join()
        .unwrap();
    }
}

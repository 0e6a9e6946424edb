//! How long a thread could run and had no processor, as the kernel counts it: the second number of
//! `/proc/PID/task/TID/schedstat`, in nanoseconds.
//! What a hypervisor takes of a processor is not in it: to the kernel the thread runs then.
//! A kernel without this count (CONFIG_SCHED_INFO), or a thread that has ended, has none.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Three numbers of 20 digits.
const TEXT_BYTES_MAX: usize = 64;

/// A thread's count.
#[derive(Debug)]
pub(crate) struct Runqueue {
    schedstat: File,
}

impl Runqueue {
    /// That of the calling thread.
    pub(crate) fn own() -> Option<Self> {
        Self::of(Path::new("/proc/thread-self"))
    }

    /// That of the thread with this directory.
    pub(crate) fn of(thread: &Path) -> Option<Self> {
        let schedstat = File::open(thread.join("schedstat")).ok()?;
        let opened = Self { schedstat };
        opened.nanos().is_some().then_some(opened)
    }

    /// Nanoseconds so far.
    pub(crate) fn nanos(&self) -> Option<u64> {
        let mut text = [0; TEXT_BYTES_MAX];
        let filled = self.schedstat.read_at(&mut text, 0).ok()?;
        second(&text[..filled])
    }
}

/// Of: time on a processor, time without one, how often it got one.
fn second(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_counts_and_is_read_again_and_again() {
        assert_eq!(second(b"324246 17 1\n"), Some(17));
        assert_eq!(second(b"324246\n"), None);
        assert!(Runqueue::of(Path::new("/proc/no such thread")).is_none());
        let own = Runqueue::own().unwrap();
        let before = own.nanos().unwrap();
        std::thread::yield_now();
        assert!(own.nanos().unwrap() >= before);
    }
}

//! Looks, while a path works, how many kernel workers its ring has: threads named `iou-wrk-...` of
//! this process. The looks take processor time too; it is measured, to be left out.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::daemon::pause;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(10);
/// What the kernel calls its workers.
const WORKER: &str = "iou-wrk-";

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Most workers at one look.
    pub(crate) workers: u32,
    /// Processor time that the looks took.
    pub(crate) spent: Duration,
}

/// A thread that looks until it is told to stop.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Starts looking.
    pub(crate) fn start() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(String::from("watch"))
            .spawn(move || look_until(&seen))
            .context("cannot start a thread")?;
        Ok(Self { stop, thread })
    }

    /// Stops, after a last look. Both what it saw and what it took.
    pub(crate) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread
            .join()
            .map_err(|_panic| anyhow::anyhow!("the thread that counts kernel workers ended"))
    }
}

fn look_until(stop: &AtomicBool) -> Seen {
    let mut workers = 0;
    loop {
        let stopped = stop.load(Ordering::Relaxed);
        workers = workers.max(count());
        if stopped {
            break;
        }
        thread::park_timeout(LOOK);
    }
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(spent.tv_nsec).unwrap_or(0);
    Seen {
        workers,
        spent: Duration::new(seconds, nanos),
    }
}

fn count() -> u32 {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let workers = threads.filter_map(Result::ok).filter(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.starts_with(WORKER))
    });
    u32::try_from(workers.count()).unwrap_or(u32::MAX)
}

/// Waits until the workers of rings that are gone have gone too, within a bound.
pub(crate) fn wait_for_none() {
    for _ in 0..100 {
        if count() == 0 {
            return;
        }
        pause(LOOK);
    }
}

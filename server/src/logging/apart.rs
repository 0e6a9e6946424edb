//! Standard error of a running daemon: a thread of its own writes there, so that whoever reads it no more
//! (a terminal that is held, a log driver that hangs) holds up no core and no signal.
//! Bounded: what finds no place in the queue is dropped, counted, and told once there is room. Before
//! `begin`, and after an end in which all was written, lines are written by who says them.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use benzene_engine::limits::LOG_QUEUE_LINES_MAX;

use super::queue::LAST_LINES;

/// Who says a line writes it.
const DIRECT: u8 = 0;
/// The thread writes it.
const APART: u8 = 1;
/// Nobody does: at the end the thread could not write any more.
const STALLED: u8 = 2;

static WAY: AtomicU8 = AtomicU8::new(DIRECT);
static ENTRIES: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What lies in the queue.
enum Entry {
    Line(Vec<u8>),
    /// Everything before this is to be written, and then this answered.
    Flush(Sender<()>),
}

/// Lines go through the thread until this goes.
#[derive(Debug)]
pub(crate) struct Apart(());

/// Has a thread write what is said from now on.
pub(crate) fn begin() -> io::Result<Apart> {
    let (entries, end) = sync_channel(LOG_QUEUE_LINES_MAX);
    std::thread::Builder::new()
        .name("benzene-stderr".to_owned())
        .spawn(move || run(&end))?;
    let fresh = ENTRIES.set(entries).is_ok();
    assert!(fresh, "standard error is written apart twice");
    WAY.store(APART, Ordering::Release);
    Ok(Apart(()))
}

impl Drop for Apart {
    /// Waits a moment until what was said is written.
    fn drop(&mut self) {
        let (done, wait) = channel();
        let is_asked = ENTRIES
            .get()
            .is_some_and(|entries| entries.try_send(Entry::Flush(done)).is_ok());
        let is_written = is_asked && wait.recv_timeout(LAST_LINES).is_ok();
        let way = if is_written { DIRECT } else { STALLED };
        WAY.store(way, Ordering::Release);
    }
}

/// Writes a line, or has it written.
pub(super) fn write(line: &[u8]) -> io::Result<()> {
    match (WAY.load(Ordering::Acquire), ENTRIES.get()) {
        (DIRECT, _) => io::stderr().write_all(line),
        (APART, Some(entries)) if entries.try_send(Entry::Line(line.to_vec())).is_ok() => Ok(()),
        _ => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

fn run(entries: &Receiver<Entry>) {
    while let Ok(entry) = entries.recv() {
        match entry {
            // Nobody can be told that nobody reads.
            Entry::Line(line) => io::stderr().write_all(&line).unwrap_or_default(),
            // Whoever asked may have lost patience.
            Entry::Flush(done) => done.send(()).unwrap_or_default(),
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} lines found no place here, for nobody read what was said");
        }
    }
}

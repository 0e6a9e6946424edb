//! What is on its way to a log file, or to standard error: a bounded queue that never makes anyone wait.
//! What finds no place is dropped, counted, and told once there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::limits::LOG_QUEUE_LINES_MAX;

/// How long the end of the process waits for the log disk.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Which file a line goes into, as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// What the daemon has to say.
    Console,
    /// Connections of senders.
    Listener,
    /// New files.
    Creates,
    /// Updates.
    Updates,
    /// Cache queries.
    Query,
}

impl Topic {
    /// Every file, in the order of declaration.
    pub(super) const ALL: [Topic; 5] = [
        Topic::Console,
        Topic::Listener,
        Topic::Creates,
        Topic::Updates,
        Topic::Query,
    ];

    /// The file's name.
    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Topic::Console => "console.log",
            Topic::Listener => "listener.log",
            Topic::Creates => "creates.log",
            Topic::Updates => "updates.log",
            Topic::Query => "query.log",
        }
    }
}

/// What lies in the queue.
#[derive(Debug)]
pub(super) enum Entry {
    /// A line, and the second in which it was said.
    Line(Topic, u32, String),
    /// The files are to be opened again.
    Reopen,
    /// Everything before this is to be on its way to the disk, and then this answered.
    Flush(Sender<()>),
}

/// The way to the log files; copies are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Logs {
    /// The way, and its end.
    pub(super) fn new() -> (Logs, Receiver<Entry>) {
        let (entries, end) = sync_channel(LOG_QUEUE_LINES_MAX);
        let dropped = Arc::default();
        (Logs { entries, dropped }, end)
    }

    /// A line for a file; dropped where there is no room for it.
    pub(crate) fn say(&self, topic: Topic, text: String) {
        self.say_of(clock::now().unix_seconds, topic, text);
    }

    /// A line of that second.
    pub(super) fn say_of(&self, second: u32, topic: Topic, text: String) {
        if self
            .entries
            .try_send(Entry::Line(topic, second, text))
            .is_err()
        {
            self.drop_lines(1);
        }
    }

    /// Counts lines that reach no file.
    pub(super) fn drop_lines(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Lines that have reached no file so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Has the files opened again, by their names.
    pub(crate) fn reopen(&self) {
        // A queue that is full is being written, and files that have moved are noticed then too.
        drop(self.entries.try_send(Entry::Reopen));
    }

    /// Waits a moment until what was said is written, the last thing a process does; says whether it
    /// was.
    pub(crate) fn finish(&self) -> bool {
        let (done, wait) = channel();
        self.entries.try_send(Entry::Flush(done)).is_ok() && wait.recv_timeout(LAST_LINES).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_waits() {
        let (logs, end) = Logs::new();
        for number in 0..LOG_QUEUE_LINES_MAX + 7 {
            logs.say(Topic::Updates, number.to_string());
        }
        assert_eq!(logs.dropped(), 7);
        let Ok(Entry::Line(Topic::Updates, _, first)) = end.recv() else {
            panic!("no line")
        };
        assert_eq!(first, "0", "the oldest are kept");
        drop(end);
        logs.say(Topic::Console, String::new());
        assert_eq!(logs.dropped(), 8, "nobody listens any more");
        assert!(!logs.finish());
    }
}

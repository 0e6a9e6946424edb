//! Announces series to graphite-web's tag index: `POST GRAPHITE_URL/tags/tagMultiSeries`.
//! One thread of its own takes what the shards say (`writer::Outlet`) and posts it in batches, each
//! series once, new ones first. Never on a core, and nothing that the cores do waits for it.
//! Invariant: a series that was taken in is in the queue until graphite-web has taken it.
//! On failure it stays there and is posted again, after pauses that grow to a minute; what is too
//! much waits with the shards. A stop waits for three seconds and says what was left.

mod post;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use benzene_engine::clock;
use benzene_engine::limits::{TAG_LAST_WORDS, TAG_RETRY_PAUSE_MAX};
use benzene_engine::quiet::Quiet;
use benzene_engine::stats::{Counter, Stats};
use benzene_engine::writer::Outlet;

pub(crate) use post::GraphiteUrl;
use post::{Failure, Post};
use queue::Queue;

/// How often it is looked what the shards say: Python carbon does as often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The first pause after a post that failed.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);

/// What the operator says of announcements.
#[derive(Clone, Debug)]
pub struct TagSettings {
    /// GRAPHITE_URL.
    pub(crate) url: GraphiteUrl,
    /// TAG_UPDATE_INTERVAL.
    pub(crate) update_interval: u16,
    /// TAG_BATCH_SIZE.
    pub(crate) batch_max: usize,
    /// TAG_QUEUE_SIZE.
    pub(crate) queue_max: usize,
    /// Series without tags are announced too.
    pub(crate) untagged: bool,
}

/// What the thread has done, for the reports.
#[derive(Debug, Default)]
struct Tally {
    posted: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicUsize,
    stopping: AtomicBool,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct TagDb {
    outlet: Arc<Outlet>,
    tally: Arc<Tally>,
    thread: Thread,
    ended: Receiver<()>,
}

impl TagDb {
    /// Starts the thread.
    pub(crate) fn start(settings: &TagSettings, outlet: Arc<Outlet>) -> std::io::Result<TagDb> {
        let tally = Arc::new(Tally::default());
        let (send, ended) = mpsc::channel();
        let poster = Poster {
            outlet: Arc::clone(&outlet),
            tally: Arc::clone(&tally),
            queue: Queue::new(settings.queue_max, settings.batch_max),
            post: Post::new(&settings.url),
            retry_at: clock::now().instant,
            pause: RETRY_PAUSE_MIN,
            failing_since: None,
            quiet: Quiet::default(),
        };
        let handle = std::thread::Builder::new()
            .name("benzene-tagdb".to_owned())
            .spawn(move || {
                poster.run();
                drop(send);
            })?;
        Ok(TagDb {
            outlet,
            tally,
            thread: handle.thread().clone(),
            ended,
        })
    }

    /// Adds what the thread has counted.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        let tally = &self.tally;
        for (counter, count) in [
            (Counter::TagsPosted, &tally.posted),
            (Counter::TagsFailed, &tally.failed),
            (Counter::TagsRefused, &tally.refused),
            (Counter::TagsDropped, &tally.dropped),
        ] {
            stats.add(counter, count.load(Ordering::Relaxed));
        }
    }

    /// Series that wait to be posted.
    pub(crate) fn queued(&self) -> u64 {
        let outside = self.outlet.news.len() + self.outlet.repeats.len();
        (self.tally.queued.load(Ordering::Relaxed) + outside) as u64
    }

    /// Posts what waits, as far as that goes at once and does not take long.
    pub(crate) fn finish(self) {
        self.tally.stopping.store(true, Ordering::Release);
        self.thread.unpark();
        // The thread may wait for graphite-web for longer than we do; it ends with the process.
        if self.ended.recv_timeout(TAG_LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("graphite-web has not answered in time");
        }
        let left = self.queued();
        if left > 0 {
            tracing::warn!(
                "{left} series were not announced to graphite-web; each is announced again within \
                 TAG_UPDATE_INTERVAL updates of its file"
            );
        }
    }
}

/// The thread's own.
struct Poster {
    outlet: Arc<Outlet>,
    tally: Arc<Tally>,
    queue: Queue,
    post: Post,
    retry_at: Instant,
    pause: Duration,
    failing_since: Option<Instant>,
    quiet: Quiet,
}

impl Poster {
    /// Until a stop.
    fn run(mut self) {
        loop {
            self.take_in();
            let is_stopping = self.tally.stopping.load(Ordering::Acquire);
            if is_stopping && (self.queue.is_empty() || self.failing_since.is_some()) {
                return;
            }
            if !self.queue.is_empty() && clock::now().instant >= self.retry_at {
                self.post_batch();
            } else {
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    /// Takes over what the shards say, as far as there is room.
    fn take_in(&mut self) {
        while self.queue.has_room_for_new() {
            let Some(name) = self.outlet.news.pop() else {
                break;
            };
            self.queue.add_new(name);
        }
        while let Some(name) = self.outlet.repeats.pop() {
            if self.queue.add_repeat(name) {
                self.tally.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.note_length();
    }

    fn note_length(&self) {
        self.tally.queued.store(self.queue.len(), Ordering::Relaxed);
    }

    fn post_batch(&mut self) {
        let result = self.post.send(self.queue.batch());
        let now = clock::now().instant;
        match result {
            Ok(()) => {
                let taken = self.queue.taken() as u64;
                self.tally.posted.fetch_add(taken, Ordering::Relaxed);
                self.pause = RETRY_PAUSE_MIN;
                self.say_well(now);
            }
            Err(failure) => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                self.say_failure(&failure, now);
                self.put_off(&failure, now);
            }
        }
        self.note_length();
    }

    /// Decides when what was not taken is posted again. A batch that was refused is posted in smaller
    /// ones soon, so that the series that it was refused for is found.
    fn put_off(&mut self, failure: &Failure, now: Instant) {
        let was_alone = self.queue.batch_len() == 1;
        if let Some(name) = self.queue.failed(failure.is_refusal()) {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("graphite-web refuses to index {name:?} ({failure}); it is given up");
        }
        let pause = if was_alone || !failure.is_refusal() {
            let pause = self.pause;
            self.pause = (pause * 2).min(TAG_RETRY_PAUSE_MAX);
            pause
        } else {
            LOOK_EVERY
        };
        self.retry_at = now + pause;
    }

    fn say_failure(&mut self, failure: &Failure, now: Instant) {
        self.failing_since.get_or_insert(now);
        if self.quiet.due(now).is_none() {
            return;
        }
        tracing::warn!(
            "series cannot be announced to graphite-web at {}: {failure}; {} wait and are posted \
             again (see GRAPHITE_URL in carbon.conf, or set ENABLE_TAGS = False)",
            self.post.shown(),
            self.queue.len()
        );
    }

    fn say_well(&mut self, now: Instant) {
        if let Some(since) = self.failing_since.take()
            && self.quiet.end()
        {
            tracing::info!(
                "graphite-web at {} takes series again, after {} s; {} wait",
                self.post.shown(),
                now.saturating_duration_since(since).as_secs(),
                self.queue.len()
            );
        }
    }
}

//! The model of a spinning disk: one head, which serves the request that it can reach first.
//! Of the requests in the disk the one with the least seek and wait for the platter is next, unless
//! one has waited too long. Between requests the head reads on, so that a reader who asks for one
//! piece after the other sees the platter's rate. With the write cache on, writes are answered as soon
//! as they are in the disk's buffer, and carried out when nobody reads, when the buffer fills, or
//! when a flush waits for them.
//! Invariant: the head's times follow each other without gaps of the caller's making.

use std::collections::VecDeque;

use super::counters::Counters;
use super::due::Due;
use super::layout::Layout;
use super::params::{HddSpec, Params};
use super::queue::{Queue, Waiting};
use super::read_buffer::ReadBuffer;
use super::write_cache::{Dirty, WriteCache};
use super::{Answer, Request, Wanted, count, transfer_ns};

/// A spinning disk.
#[derive(Debug)]
pub(crate) struct Spindle {
    spec: HddSpec,
    bytes: u64,
    layout: Layout,
    head: Head,
    active: Option<Active>,
    queue: Queue,
    cache: WriteCache,
    flushes: VecDeque<Flush>,
    buffer: ReadBuffer,
    /// Answers that need no head any more, and when their requests came.
    due: Due,
    /// When the cable is free.
    link_free_ns: u64,
    counters: Counters,
}

/// Where the head was, and how far it reads on from there.
#[derive(Clone, Copy, Debug)]
struct Head {
    byte: u64,
    at_ns: u64,
    until: u64,
}

/// What the head is doing.
#[derive(Clone, Copy, Debug)]
struct Active {
    job: Job,
    done_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Job {
    Host(Waiting),
    Destage(Dirty),
}

/// Which job is next, by its place in the queue or in the cache.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Host(usize),
    Destage(usize),
}

#[derive(Clone, Copy, Debug)]
struct Flush {
    id: u64,
    came_ns: u64,
    /// It waits for the writes before this one.
    before: u64,
}

/// How the head gets to a job and through it.
#[derive(Clone, Copy, Debug)]
struct Way {
    begin_ns: u64,
    /// The first byte that is not in the buffer yet.
    from: u64,
    end: u64,
    /// Of the stroke.
    distance: u64,
    seek_ns: u64,
    wait_ns: u64,
}

impl Spindle {
    pub(super) fn new(spec: HddSpec, params: &Params) -> Self {
        Self {
            spec,
            bytes: params.bytes,
            layout: Layout::new(&spec, params.bytes, params.stroke_percent),
            head: Head {
                byte: 0,
                at_ns: 0,
                until: 0,
            },
            active: None,
            queue: Queue::new(spec.queue, spec.patience_ns),
            cache: WriteCache::new(spec.dirty_writes, spec.dirty_bytes),
            flushes: VecDeque::new(),
            buffer: ReadBuffer::new(spec.segments, 2 * spec.read_ahead_bytes),
            due: Due::default(),
            link_free_ns: 0,
            counters: Counters::default(),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        let active = self.active.map(|active| active.done_ns);
        let due = self.due.next_ns();
        active.into_iter().chain(due).min()
    }

    pub(super) fn submit(&mut self, request: Request, at_ns: u64) {
        assert!(
            request.end() <= self.bytes,
            "{request:?} on a disk of {} bytes",
            self.bytes
        );
        // Jobs that end before this one came are worked off first.
        self.work_until(at_ns);
        count(&mut self.counters, &request);
        let waiting = Waiting {
            request,
            came_ns: at_ns,
        };
        match request.wanted {
            Wanted::Flush => self.flushes.push_back(Flush {
                id: request.id,
                came_ns: at_ns,
                before: self.cache.next_sequence(),
            }),
            Wanted::Write => {
                if self.buffer.forget(request.offset, request.end()) {
                    self.stop_reading_on(at_ns);
                }
                self.queue.push(waiting);
            }
            Wanted::Read => {
                self.note_what_was_read_on(at_ns);
                let (start, end) = (request.offset, request.end());
                if self.buffer.covers(start, end) || self.cache.covers(start, end) {
                    self.counters.buffered_reads += 1;
                    self.answer(&waiting, at_ns);
                } else {
                    self.queue.push(waiting);
                }
            }
        }
        self.go_on(at_ns);
    }

    pub(super) fn advance(&mut self, now_ns: u64, answers: &mut Vec<Answer>) {
        self.work_until(now_ns);
        self.due.give(now_ns, &mut self.counters, answers);
    }

    fn work_until(&mut self, now_ns: u64) {
        while let Some(active) = self.active.filter(|active| active.done_ns <= now_ns) {
            self.active = None;
            self.finish(&active);
            self.go_on(active.done_ns);
        }
    }

    /// The head has done a job.
    fn finish(&mut self, active: &Active) {
        let at_ns = active.done_ns;
        let (start, end, is_read) = active.job.extent();
        self.head = Head {
            byte: end,
            at_ns,
            until: end,
        };
        if is_read {
            self.buffer.add(start, end);
            self.head.until = (end + self.spec.read_ahead_bytes).min(self.bytes);
        }
        match active.job {
            Job::Host(waiting) => {
                let id = waiting.request.id;
                self.due.push(Answer { at_ns, id }, waiting.came_ns);
            }
            Job::Destage(_) => self.counters.destaged_writes += 1,
        }
    }

    /// Whatever can go on now does: writes into the cache, flushes that have all they waited for, and
    /// the head's next job.
    fn go_on(&mut self, now_ns: u64) {
        while self.spec.write_cache
            && let Some(index) = self.cacheable()
        {
            let write = self.queue.take(index, now_ns);
            self.cache.put(write.request.offset, write.request.end());
            self.counters.cached_writes += 1;
            self.answer(&write, now_ns);
        }
        while let Some(flush) = self.flushes.front().copied()
            && !self.is_owed(flush.before)
        {
            self.flushes.pop_front();
            let at_ns = now_ns.max(flush.came_ns + self.spec.overhead_ns);
            let answer = Answer {
                at_ns,
                id: flush.id,
            };
            self.due.push(answer, flush.came_ns);
        }
        if self.active.is_none()
            && let Some(choice) = self.choose(now_ns)
        {
            self.begin(choice, now_ns);
        }
    }

    /// The oldest write that waits in the disk, if the cache has room for it.
    fn cacheable(&self) -> Option<usize> {
        let writes = self.queue.taken().iter().enumerate();
        let writes = writes.filter(|(_, waiting)| waiting.request.wanted == Wanted::Write);
        let (index, oldest) = writes.min_by_key(|(_, waiting)| waiting.came_ns)?;
        self.cache.has_room(oldest.request.bytes).then_some(index)
    }

    /// Whether a write from before `sequence` is not on the platter yet.
    fn is_owed(&self, sequence: u64) -> bool {
        let destaged = self.active.is_some_and(|active| match active.job {
            Job::Destage(dirty) => dirty.sequence < sequence,
            Job::Host(_) => false,
        });
        destaged || self.cache.has_before(sequence)
    }

    /// Answers over the cable, without the head.
    fn answer(&mut self, waiting: &Waiting, now_ns: u64) {
        let ready_ns = now_ns.max(waiting.came_ns + self.spec.overhead_ns);
        let link_ns = transfer_ns(waiting.request.bytes, self.spec.link_rate);
        self.link_free_ns = self.link_free_ns.max(ready_ns) + link_ns;
        let answer = Answer {
            at_ns: self.link_free_ns,
            id: waiting.request.id,
        };
        self.due.push(answer, waiting.came_ns);
    }

    /// The job that the head reaches first; one that has waited too long goes before.
    fn choose(&mut self, now_ns: u64) -> Option<Choice> {
        let for_the_head =
            |waiting: &Waiting| waiting.request.wanted == Wanted::Read || !self.spec.write_cache;
        let hosts = self.queue.taken().iter().enumerate();
        let hosts = || hosts.clone().filter(|(_, waiting)| for_the_head(waiting));
        let impatient = hosts()
            .filter(|(_, waiting)| self.queue.is_impatient(waiting, now_ns))
            .min_by_key(|(_, waiting)| waiting.came_ns);
        let destages = !self.flushes.is_empty() || self.cache.presses() || hosts().next().is_none();
        let host = hosts().map(|(index, waiting)| {
            let way = self.way(&Job::Host(*waiting), now_ns);
            (way.reach_ns(now_ns), Choice::Host(index))
        });
        let dirty = self.cache.writes().iter().enumerate().filter(|_| destages);
        let dirty = dirty.map(|(index, dirty)| {
            let way = self.way(&Job::Destage(*dirty), now_ns);
            (way.reach_ns(now_ns), Choice::Destage(index))
        });
        let nearest = host.chain(dirty).min_by_key(|(reach_ns, _)| *reach_ns);
        let nearest = nearest.map(|(_, choice)| choice);
        let Some((oldest, _)) = impatient else {
            return nearest;
        };
        self.counters.impatient += 1;
        Some(Choice::Host(oldest))
    }

    fn begin(&mut self, choice: Choice, now_ns: u64) {
        let job = match choice {
            Choice::Host(index) => Job::Host(self.queue.take(index, now_ns)),
            Choice::Destage(index) => Job::Destage(self.cache.take(index)),
        };
        let way = self.way(&job, now_ns);
        self.note_what_was_read_on(way.begin_ns);
        let transfer_ns = self.layout.time_of(way.end) - self.layout.time_of(way.from);
        let counters = &mut self.counters;
        counters.seeks += u64::from(way.distance > 0);
        counters.head_travel_bytes += way.from.abs_diff(self.head.byte);
        counters.head_travel_stroke_ppb += way.distance;
        counters.seek_ns += way.seek_ns;
        counters.rotation_ns += way.wait_ns;
        counters.transfer_ns += transfer_ns;
        let done_ns = way.begin_ns + way.seek_ns + way.wait_ns + transfer_ns;
        self.active = Some(Active { job, done_ns });
    }

    /// How the head would get to a job that it takes on now.
    fn way(&self, job: &Job, now_ns: u64) -> Way {
        let (start, end, is_read) = job.extent();
        let begin_ns = match job {
            Job::Host(waiting) => now_ns.max(waiting.came_ns + self.spec.overhead_ns),
            Job::Destage(_) => now_ns,
        };
        let head = self.head_at(begin_ns);
        let reads_on = is_read && self.buffer.newest_reaches(start);
        let from = if reads_on && (start..end).contains(&head) {
            head
        } else {
            start
        };
        let distance = self.layout.place(head).abs_diff(self.layout.place(from));
        let mut seek_ns = self.spec.seek_ns(distance);
        if distance > 0 && !is_read {
            seek_ns += self.spec.write_settle_ns;
        }
        let wait_ns = self.layout.wait(begin_ns + seek_ns, from);
        Way {
            begin_ns,
            from,
            end,
            distance,
            seek_ns,
            wait_ns,
        }
    }

    fn head_at(&self, now_ns: u64) -> u64 {
        let Head { byte, at_ns, until } = self.head;
        if until == byte {
            return byte;
        }
        let elapsed_ns = now_ns.saturating_sub(at_ns);
        let passed = self.layout.byte_at(self.layout.time_of(byte) + elapsed_ns);
        passed.clamp(byte, until)
    }

    /// While the head is free it reads on, and what passes it is in the buffer.
    fn note_what_was_read_on(&mut self, now_ns: u64) {
        if self.active.is_none() && self.head.until > self.head.byte {
            let head = self.head_at(now_ns);
            self.buffer.grow(head);
        }
    }

    fn stop_reading_on(&mut self, now_ns: u64) {
        let byte = self.head_at(now_ns);
        self.head = Head {
            byte,
            at_ns: now_ns,
            until: byte,
        };
    }
}

impl Way {
    /// How long until the first byte passes the head.
    fn reach_ns(&self, now_ns: u64) -> u64 {
        self.begin_ns - now_ns + self.seek_ns + self.wait_ns
    }
}

impl Job {
    /// First byte, the one behind the last, and whether it is read.
    fn extent(&self) -> (u64, u64, bool) {
        match self {
            Job::Host(Waiting { request, .. }) => (
                request.offset,
                request.end(),
                request.wanted == Wanted::Read,
            ),
            Job::Destage(dirty) => (dirty.offset, dirty.end, false),
        }
    }
}

//! The `sync` write backend: file operations by blocking system calls on a few threads, which
//! belong to one shard and end with its ring.
//! An operation is handed over whole, with the visit's file if it has one, and comes back with its
//! result; between two operations the files of visits lie here. What is queued goes out with the
//! next `flush`, which wakes no more threads than there is work for; a thread that has finished
//! something wakes the ring only where that sleeps. So under load nobody wakes anybody.
//! Invariants: at most `FILE_JOBS_OUT_MAX` operations are with the threads, so neither queue is
//! ever full; a machine is only ever touched by the one that holds its job.
//! When the ring is dropped, what runs ends after its next system call; a thread that a dead disk
//! holds is left behind after a bounded wait.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;

use super::admission::{Admission, Admitted, Holds};
use super::command::Machine;
use super::error::RingError;
use super::execute::{Workbench, carry_out};
use super::operation::{FileError, FileOperation, FileOutcome, FileToken};
use super::wake::Waker;
use super::{DRAIN_TURN, Event, host};
use crate::limits::{DRAIN_TURNS_MAX, FILE_JOBS_OUT_MAX, FILE_THREADS_MAX};

/// An operation on its way to a thread and back.
#[derive(Debug)]
struct Job {
    token: FileToken,
    machine: Box<dyn Machine>,
    holds: Holds,
    workbench: Workbench,
    result: Option<Result<FileOutcome, FileError>>,
}

/// What the shard and its threads share.
#[derive(Debug)]
pub(super) struct Shared {
    jobs: ArrayQueue<Box<Job>>,
    done: ArrayQueue<Box<Job>>,
    /// By thread: it sleeps or is about to, and nobody has set out to wake it.
    idle: Vec<AtomicBool>,
    /// The ring sleeps or is about to, and nobody has set out to wake it.
    ring_asleep: AtomicBool,
    ending: AtomicBool,
    ring: Waker,
}

/// File operations of a ring, on threads.
#[derive(Debug)]
pub(super) struct Threads {
    /// Who may run, who waits.
    pub admission: Admission,
    pub shared: Arc<Shared>,
    handles: Vec<Thread>,
    /// Closed when the last thread has ended.
    ended: Receiver<Infallible>,
    /// By visit: its file, while no operation has it.
    files: Vec<Option<OwnedFd>>,
    /// Admitted, and not handed over yet.
    queued: VecDeque<Box<Job>>,
    /// Handed over, and not taken back yet.
    out: usize,
}

impl Threads {
    /// Starts the threads, of this name. They run with the caller's credentials, and on every processor
    /// that the process may use, even where the caller is pinned.
    pub(super) fn new(
        name: &str,
        visits_max: u32,
        threads: usize,
        ring: Waker,
    ) -> Result<Threads, RingError> {
        assert!(
            threads > 0 && threads <= FILE_THREADS_MAX,
            "{threads} file threads"
        );
        let [.., high, low] = ring.as_fd().as_raw_fd().to_be_bytes();
        let origin = u16::from_be_bytes([high, low]);
        let shared = Arc::new(Shared {
            jobs: ArrayQueue::new(FILE_JOBS_OUT_MAX),
            done: ArrayQueue::new(FILE_JOBS_OUT_MAX),
            idle: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            ring_asleep: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            ring,
        });
        let (alive, ended) = channel();
        let mut started = Threads {
            admission: Admission::new(visits_max, true, origin),
            shared,
            handles: Vec::new(),
            ended,
            files: (0..visits_max).map(|_| None).collect(),
            queued: VecDeque::new(),
            out: 0,
        };
        let mut failure = None;
        for seat in 0..threads {
            let (shared, alive) = (Arc::clone(&started.shared), alive.clone());
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    work(&shared, seat);
                    drop(shared);
                    // Its end is the message, and the last thing that happens here.
                    drop(alive);
                });
            match thread {
                Ok(thread) => started.handles.push(thread.thread().clone()),
                Err(error) => failure = Some(RingError::thread(&error)),
            }
        }
        // The last sender but the threads' own: where there is none, they are not waited for.
        drop(alive);
        failure.map_or(Ok(started), Err)
    }

    /// How many threads there are.
    pub(super) fn count(&self) -> usize {
        self.handles.len()
    }

    /// Begins an operation, or lets it wait for its turn. It goes out with the next `flush`.
    pub(super) fn begin(
        &mut self,
        token: FileToken,
        operation: FileOperation,
        events: &mut VecDeque<Event>,
    ) {
        if let Some(admitted) = self.admission.begin(token, operation, events) {
            self.queue(admitted);
        }
        self.admit(events);
    }

    /// Hands what is queued to the threads and wakes as many as there is work for.
    pub(super) fn flush(&mut self) {
        while self.out < FILE_JOBS_OUT_MAX
            && let Some(job) = self.queued.pop_front()
        {
            let pushed = self.shared.jobs.push(job);
            assert!(pushed.is_ok(), "{} jobs were out", self.out);
            self.out += 1;
        }
        let work = self.shared.jobs.len();
        if work > 0 {
            self.wake(work);
        }
    }

    /// Says that the ring is about to sleep, after a `flush`. False where something is done
    /// already: then it must not. The same dance as between cores: one writes a flag and looks into
    /// the queue, the other fills the queue and looks at the flag, each with a fence between.
    pub(super) fn fall_asleep(&self) -> bool {
        self.shared.ring_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.shared.done.is_empty() {
            return true;
        }
        self.woke_up();
        false
    }

    /// Says that the ring sleeps no longer.
    pub(super) fn woke_up(&self) {
        self.shared.ring_asleep.store(false, Ordering::Relaxed);
    }

    /// Takes back what is done, and lets those run who have waited for it.
    pub(super) fn collect(&mut self, events: &mut VecDeque<Event>) {
        // Bounded by what was out when it began.
        for _ in 0..self.out {
            let Some(job) = self.shared.done.pop() else {
                break;
            };
            self.out -= 1;
            self.finish(*job, events);
        }
        self.admit(events);
    }

    fn finish(&mut self, job: Job, events: &mut VecDeque<Event>) {
        let Some(result) = job.result else {
            unreachable!("{:?} came back without a result", job.token)
        };
        if job.workbench.opened_with_trace {
            self.admission.opened_with_trace();
        }
        let is_stuck = job.machine.is_stuck();
        self.admission.let_go(job.holds, &result, is_stuck);
        if let Holds::Visit(visit) | Holds::Kept(visit) = job.holds {
            self.files[visit.slot as usize] = job.workbench.file;
        } else {
            assert!(
                job.workbench.file.is_none(),
                "{:?} has a file left",
                job.token
            );
        }
        let token = job.token;
        events.push_back(Event::File { token, result });
    }

    fn admit(&mut self, events: &mut VecDeque<Event>) {
        while let Some(admitted) = self.admission.next(events) {
            self.queue(admitted);
        }
    }

    fn queue(&mut self, admitted: Admitted) {
        let Admitted {
            token,
            machine,
            holds,
        } = admitted;
        let file = match holds {
            Holds::Visit(visit) | Holds::Kept(visit) => self.files[visit.slot as usize].take(),
            Holds::Nothing | Holds::Create => None,
        };
        self.queued.push_back(Box::new(Job {
            token,
            machine,
            holds,
            workbench: Workbench {
                file,
                ..Workbench::default()
            },
            result: None,
        }));
    }

    /// Wakes threads that sleep, at most so many.
    fn wake(&self, threads_max: usize) {
        fence(Ordering::SeqCst);
        let sleeping = self
            .shared
            .idle
            .iter()
            .zip(&self.handles)
            .filter(|(idle, _)| {
                idle.load(Ordering::Relaxed) && idle.swap(false, Ordering::Relaxed)
            });
        for (_, thread) in sleeping.take(threads_max) {
            thread.unpark();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        for thread in &self.handles {
            thread.unpark();
        }
        match self.ended.recv_timeout(DRAIN_TURN * DRAIN_TURNS_MAX) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("a file thread hangs in a system call and is left behind");
            }
            Ok(never) => match never {},
        }
    }
}

/// What a thread does until its ring is dropped.
fn work(shared: &Shared, seat: usize) {
    if let Err(error) = host::unpin() {
        tracing::debug!("a file thread stays on its shard's processor: {error}");
    }
    let idle = &shared.idle[seat];
    while !shared.ending.load(Ordering::Relaxed) {
        if let Some(job) = shared.jobs.pop() {
            shared.run(job);
            continue;
        }
        idle.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if shared.jobs.is_empty() && !shared.ending.load(Ordering::Relaxed) {
            std::thread::park();
        }
        idle.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(&self, mut job: Box<Job>) {
        job.result = carry_out(job.machine.as_mut(), &mut job.workbench, &self.ending);
        if job.result.is_none() {
            return;
        }
        let pushed = self.done.push(job);
        assert!(pushed.is_ok(), "more jobs came back than went out");
        fence(Ordering::SeqCst);
        let asleep = &self.ring_asleep;
        if asleep.load(Ordering::Relaxed) && asleep.swap(false, Ordering::Relaxed) {
            self.ring.wake();
        }
    }
}

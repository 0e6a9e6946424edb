//! The thread that lets answers go when the model says: it owns the model and the only clock in it.
//! A request's bytes have been moved when it gets here; its time is that of its arrival, so what the
//! moving took is part of the model's time and not added to it. How late an answer was nevertheless
//! is counted.
//! Holds as many answers as the kernel has requests outstanding. When it is told to let go, it answers
//! everything at once from then on: a disk that is taken away need not be waited for.

use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use benzene_engine::clock;
use fuser::{ReplyData, ReplyEmpty, ReplyWrite};
use hashbrown::HashMap;
use rustix::thread::set_current_timer_slack;

use super::model::counters::Counters;
use super::model::params::Params;
use super::model::{Answer, Model, Request, Wanted};
use super::touched::{Sweep, Touched};

/// How exactly the thread is woken; the kernel's own 50 us would be seen in the model's times.
const TIMER_SLACK_NS: u64 = 1000;
/// Lateness from which an answer counts as late.
const LATE_NS: u64 = 1_000_000;

/// What waits for its time.
#[derive(Debug)]
pub(super) enum Held {
    Read(ReplyData, Vec<u8>),
    Write(ReplyWrite, u32),
    Flush(ReplyEmpty),
}

#[derive(Debug)]
enum Message {
    Request {
        wanted: Wanted,
        offset: u64,
        bytes: u64,
        came: Instant,
        held: Held,
    },
    Counters(Sender<Counters>),
    Sweep(Sender<Sweep>),
    LetGo,
}

/// The way to the thread; it ends when the last of these is gone.
#[derive(Clone, Debug)]
pub(super) struct Delay(Sender<Message>);

impl Delay {
    /// Starts the thread.
    pub(super) fn start(params: &Params) -> Result<Self> {
        let (sender, receiver) = channel();
        let keeper = Keeper {
            model: Model::new(params),
            params: *params,
            touched: Touched::default(),
            begin: clock::now().instant,
            held: HashMap::new(),
            next_id: 0,
            late_answers: 0,
            late_ns: 0,
            answers: Vec::new(),
            lets_go: false,
        };
        thread::Builder::new()
            .name(String::from("model-disk"))
            .spawn(move || keeper.run(&receiver))
            .context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// Hands a request over whose bytes have been moved. After the thread's end, which only a bug
    /// brings about, the answer is dropped, and with it answered by an error.
    pub(super) fn hold(
        &self,
        wanted: Wanted,
        (offset, bytes): (u64, u64),
        came: Instant,
        held: Held,
    ) {
        let message = Message::Request {
            wanted,
            offset,
            bytes,
            came,
            held,
        };
        drop(self.0.send(message));
    }

    /// What has been counted until now.
    pub(super) fn counters(&self) -> Option<Counters> {
        let (sender, receiver) = channel();
        self.0.send(Message::Counters(sender)).ok()?;
        receiver.recv().ok()
    }

    /// What the blocks since the last question take in one sweep.
    pub(super) fn sweep(&self) -> Option<Sweep> {
        let (sender, receiver) = channel();
        self.0.send(Message::Sweep(sender)).ok()?;
        receiver.recv().ok()
    }

    /// No more delays.
    pub(super) fn let_go(&self) {
        drop(self.0.send(Message::LetGo));
    }
}

struct Keeper {
    model: Model,
    params: Params,
    touched: Touched,
    begin: Instant,
    held: HashMap<u64, Held>,
    next_id: u64,
    late_answers: u64,
    late_ns: u64,
    answers: Vec<Answer>,
    lets_go: bool,
}

impl Keeper {
    fn run(mut self, messages: &Receiver<Message>) {
        let exactly = NonZeroU64::new(TIMER_SLACK_NS);
        if let Err(error) = set_current_timer_slack(exactly) {
            eprintln!("benzene-bench: timers stay coarse: {error}");
        }
        loop {
            let message = match self.model.next_ns().filter(|_| !self.lets_go) {
                None => messages.recv().map_err(RecvTimeoutError::from),
                Some(next_ns) => {
                    let wait_ns = next_ns.saturating_sub(self.now_ns());
                    messages.recv_timeout(Duration::from_nanos(wait_ns))
                }
            };
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(message) = messages.try_recv() {
                self.take(message);
            }
            self.answer_what_is_due();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Request { held, .. } if self.lets_go => answer(held),
            Message::Request {
                wanted,
                offset,
                bytes,
                came,
                held,
            } => {
                self.touched.note(wanted, offset, bytes);
                let id = self.next_id;
                self.next_id += 1;
                self.held.insert(id, held);
                let request = Request {
                    id,
                    wanted,
                    offset,
                    bytes,
                };
                self.model.submit(request, nanos(came - self.begin));
            }
            Message::Counters(to) => {
                let counters = Counters {
                    late_answers: self.late_answers,
                    late_ns: self.late_ns,
                    ..*self.model.counters()
                };
                // Whoever asked may have gone.
                let _gone = to.send(counters).is_err();
            }
            Message::Sweep(to) => {
                let _gone = to.send(self.touched.take(&self.params)).is_err();
            }
            Message::LetGo => {
                self.lets_go = true;
                self.held.drain().for_each(|(_, held)| answer(held));
            }
        }
    }

    fn answer_what_is_due(&mut self) {
        if self.lets_go {
            return;
        }
        self.model
            .advance(nanos(self.begin.elapsed()), &mut self.answers);
        let mut answers = std::mem::take(&mut self.answers);
        for due in answers.drain(..) {
            let Some(held) = self.held.remove(&due.id) else {
                unreachable!("the answer to {} was given before", due.id);
            };
            answer(held);
            let late_ns = self.now_ns().saturating_sub(due.at_ns);
            self.late_ns += late_ns;
            self.late_answers += u64::from(late_ns > LATE_NS);
        }
        self.answers = answers;
    }

    fn now_ns(&self) -> u64 {
        nanos(self.begin.elapsed())
    }
}

fn answer(held: Held) {
    match held {
        Held::Read(reply, bytes) => reply.data(&bytes),
        Held::Write(reply, bytes) => reply.written(bytes),
        Held::Flush(reply) => reply.ok(),
    }
}

/// Whole nanoseconds; 500 years of them fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

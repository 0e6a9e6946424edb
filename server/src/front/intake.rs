//! How a received item becomes a point of the shard: its time is settled, and it is taken,
//! refused with its reason, or has to wait. The one place where receivers meet the engine.

#![expect(
    clippy::inline_always,
    reason = "the calls of a known metric's point, left alone, took a tenth of its time"
)]

use std::sync::Arc;

use benzene_engine::clock::Now;
use benzene_engine::point::Point;
use benzene_engine::shard::{Accept, Known, Shard, Trail};
use benzene_engine::stats::Counter;

use super::gate::{Gate, Passage, Unjudged};
use super::refused::Refused;
use crate::lists::Lists;
use crate::wire::{Item, Refusal, Stamp, line, word};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Accepted: cached, or dropped where senders cannot be slowed, and counted.
    Done,
    /// Refused, and counted.
    Refused,
    /// The same, because no metric can have that name.
    BadName,
    /// To be offered again later.
    NoRoom,
    /// To be offered again in a later turn, which judges its name.
    Unjudged,
}

/// The rules that all receivers share.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    /// MIN_TIMESTAMP_RESOLUTION: timestamps are cut down to a multiple of it.
    resolution_s: u32,
    /// USE_FLOW_CONTROL: senders are slowed where there is no room; else points are dropped.
    flow_control: bool,
    /// Asked for names that the shard does not admit; none where every name is received.
    gate: Option<Box<Gate>>,
    unix_now: u32,
}

impl Intake {
    pub(crate) fn new(resolution_s: u32, flow_control: bool, now: Now) -> Self {
        assert!(resolution_s > 0, "a resolution of {resolution_s} s");
        Self {
            resolution_s,
            flow_control,
            gate: None,
            unix_now: now.unix_seconds,
        }
    }

    /// From now on names are asked for in these lists; the shard is to judge anew.
    pub(crate) fn set_lists(&mut self, lists: Arc<Lists>) {
        self.gate = Some(Box::new(Gate::new(lists)));
    }

    pub(super) fn begin_turn(&mut self, now: Now) {
        self.unix_now = now.unix_seconds;
        if let Some(gate) = &mut self.gate {
            gate.begin_turn();
        }
    }

    /// Whether names can still be judged in this turn.
    pub(super) fn has_time_to_judge(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.has_time())
    }

    /// Whether new names of the connections that are worked on from now on may be judged.
    pub(super) fn let_judge(&mut self, is_next: bool) {
        if let Some(gate) = &mut self.gate {
            gate.let_judge(is_next);
        }
    }

    /// A connection is worked on, which has waited with this.
    pub(super) fn begin_work(&mut self, unjudged: Option<Box<Unjudged>>) {
        if let Some(gate) = &mut self.gate {
            gate.begin_work(unjudged);
        }
    }

    /// What it has to wait with, where it has to wait.
    pub(super) fn end_work(&mut self) -> Option<Box<Unjudged>> {
        self.gate.as_mut().and_then(|gate| gate.end_work())
    }

    /// Offers the point of a metric that was foreseen, and was received indeed.
    #[inline(always)]
    pub(super) fn known(
        &self,
        trail: &mut Trail,
        (known, stamp, value): (Known, Stamp, f64),
        shard: &mut Shard,
    ) -> Taken {
        let accept = shard.accept_known(trail, known, self.point(stamp, value));
        self.taken(&accept, shard)
    }

    /// Offers the point of a metric that was guessed, and was received indeed on a line.
    #[inline]
    pub(super) fn guessed(
        &self,
        trail: &mut Trail,
        (known, stamp, value): (Known, Stamp, f64),
        shard: &mut Shard,
    ) -> Taken {
        let accept = shard.accept_guessed(trail, known, self.point(stamp, value));
        self.taken(&accept, shard)
    }

    /// Offers the point of an item, of which there may be a guess.
    pub(super) fn likely(
        &mut self,
        trail: &mut Trail,
        guess: Option<Known>,
        item: &Item<'_>,
        shard: &mut Shard,
    ) -> Taken {
        // A name with whitespace is never learned as a successor.
        if let Some(known) = guess
            && let name = shard.name_of(known)
            && !name.is_empty()
            && word::equal(name, item.name.as_bytes())
            && !item.name.contains(char::is_whitespace)
        {
            return self.guessed(trail, (known, item.stamp, item.value), shard);
        }
        self.item(trail, item, shard)
    }

    /// Offers the point of an item.
    pub(super) fn item(&mut self, trail: &mut Trail, item: &Item<'_>, shard: &mut Shard) -> Taken {
        let foreseen = shard.foresee(*trail);
        if let Some((known, name)) = foreseen
            && word::equal(name, item.name.as_bytes())
        {
            return self.known(trail, (known, item.stamp, item.value), shard);
        }
        let point = self.point(item.stamp, item.value);
        let mut accept = shard.accept(trail, item.name, point);
        if accept == Accept::Unjudged {
            let Some(gate) = &mut self.gate else {
                unreachable!("{} is to be judged, and there are no lists", item.name)
            };
            match gate.ask(item.name, shard) {
                Passage::Open => {}
                Passage::Shut => return Taken::Refused,
                Passage::Later => return Taken::Unjudged,
            }
            accept = shard.accept_admitted(trail, item.name, point);
            if accept == Accept::Full {
                gate.keep_admitted(item.name);
            }
        }
        self.taken(&accept, shard)
    }

    /// Takes lines of a datagram, and says how many bytes of them are done with, and what became of
    /// the line behind: all are, unless a point has to wait for a place on its way, or its name to be
    /// judged. What the cache has no room for is dropped.
    pub(super) fn datagram(
        &mut self,
        trail: &mut Trail,
        bytes: &[u8],
        (shard, refused): (&mut Shard, &mut Refused),
    ) -> (usize, Taken) {
        let mut lines = line::datagram_lines(bytes);
        loop {
            let at = bytes.len() - lines.rest().len();
            let Some(line) = lines.next() else {
                return (bytes.len(), Taken::Done);
            };
            let taken = match line::parse(line) {
                Ok(item) => self.item(trail, &item, shard),
                Err(refusal) => {
                    refused.line(refusal, line);
                    self.refuse(refusal, shard)
                }
            };
            match taken {
                Taken::Done | Taken::Refused => {}
                Taken::BadName => refused.named_badly(line),
                Taken::NoRoom if shard.is_full() => shard.drop_full(),
                Taken::NoRoom | Taken::Unjudged => return (at, taken),
            }
        }
    }

    #[inline(always)]
    fn taken(&self, accept: &Accept, shard: &mut Shard) -> Taken {
        match accept {
            Accept::Taken => Taken::Done,
            // Where it is the journal that is waited for, nothing is dropped.
            Accept::Full if self.flow_control || !shard.is_full() => Taken::NoRoom,
            Accept::Full => {
                shard.drop_full();
                Taken::Done
            }
            Accept::Unjudged => unreachable!("a name was judged and is to be judged"),
            Accept::Refused(_) => {
                shard.count(Counter::RefusedName, 1);
                Taken::BadName
            }
        }
    }

    /// Counts what was refused.
    #[expect(
        clippy::unused_self,
        reason = "the intake decides what becomes of an item"
    )]
    pub(super) fn refuse(&self, refusal: Refusal, shard: &mut Shard) -> Taken {
        shard.count(refusal.counter(), 1);
        Taken::Refused
    }

    #[inline]
    fn point(&self, stamp: Stamp, value: f64) -> Point {
        let timestamp = match stamp {
            Stamp::Now => self.unix_now,
            Stamp::At(timestamp) => timestamp,
        };
        // Usually nothing is cut off, and a division costs as much as half the parsing.
        let cut = match self.resolution_s {
            1 => 0,
            resolution_s => timestamp % resolution_s,
        };
        Point {
            timestamp: timestamp - cut,
            value,
        }
    }
}

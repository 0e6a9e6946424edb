//! Who is let in: the lists, asked once for each raw name that a core receives.
//! A name that may pass is remembered by the shard, with the metric that it stands for; one that may
//! not is remembered here. New lists make both forget (`Front::set_lists`).
//! Asking takes a bounded time of each turn (`limits::TURN_JUDGING_MAX`). A name that is not done with
//! by then is put aside with its connection (`Unjudged`), which offers its point again in a later turn
//! and waits till then; so does a connection that comes to a new name while others wait already.
//! What is refused is counted point by point, and is in no account of received points.

use std::sync::Arc;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::limits::{LIST_PATTERNS_PER_LOOK, METRIC_NAME_BYTES_MAX, TURN_JUDGING_MAX};
use benzene_engine::shard::Shard;
use benzene_engine::stats::Counter;

use crate::lists::{Judged, Judging, Lists, RefusedNames, Verdict};

/// What the gate says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It may pass.
    Open,
    /// It may not, and its point is counted.
    Shut,
    /// Its point is to be offered again in a later turn.
    Later,
}

/// What is known of the name that a connection waits with.
#[derive(Clone, Debug)]
pub(super) struct Unjudged {
    name: Box<str>,
    /// What it is asked for in; whatever is known by older lists is void.
    lists: Arc<Lists>,
    stand: Stand,
}

#[derive(Clone, Debug)]
enum Stand {
    /// So far it has come.
    Asked(Judging),
    /// It may pass, and its point found no room.
    Admitted,
}

/// The lists, and what they have refused.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    lists: Arc<Lists>,
    refused: RefusedNames,
    judging: Judging,
    /// How long names may still be judged in this turn.
    left: Duration,
    /// The connection at work is the next whose name is judged.
    is_next: bool,
    /// What it waits with.
    unjudged: Option<Box<Unjudged>>,
}

impl Gate {
    /// Asks these lists.
    pub(crate) fn new(lists: Arc<Lists>) -> Self {
        Self {
            lists,
            refused: RefusedNames::default(),
            judging: Judging::default(),
            left: TURN_JUDGING_MAX,
            is_next: true,
            unjudged: None,
        }
    }

    pub(super) fn begin_turn(&mut self) {
        self.left = TURN_JUDGING_MAX;
    }

    /// Whether there is time left in this turn.
    pub(super) fn has_time(&self) -> bool {
        !self.left.is_zero()
    }

    /// Whether names of the connections that are worked on from now on may be judged; else they wait
    /// behind others.
    pub(super) fn let_judge(&mut self, is_next: bool) {
        self.is_next = is_next;
    }

    /// A connection is worked on, which has waited with this.
    pub(super) fn begin_work(&mut self, unjudged: Option<Box<Unjudged>>) {
        self.unjudged = unjudged;
    }

    /// What it has to wait with, where it has to wait.
    pub(super) fn end_work(&mut self) -> Option<Box<Unjudged>> {
        self.unjudged.take()
    }

    /// Whether a name that the shard has not admitted may pass.
    pub(super) fn ask(&mut self, name: &str, shard: &mut Shard) -> Passage {
        // The shard refuses it, and a search would take as long as its sender likes.
        if name.len() > METRIC_NAME_BYTES_MAX {
            return Passage::Open;
        }
        let verdict = match self.refused.get(name) {
            Some(verdict) => verdict,
            None => match self.judge(name, shard) {
                Some(verdict) => verdict,
                None => return Passage::Later,
            },
        };
        let counter = match verdict {
            Verdict::Admitted => return Passage::Open,
            Verdict::Blacklisted => Counter::RefusedBlacklist,
            Verdict::NotWhitelisted => Counter::RefusedWhitelist,
        };
        shard.count(counter, 1);
        Passage::Shut
    }

    /// A name that was let in found no room: it is offered again, and need not be judged again.
    pub(super) fn keep_admitted(&mut self, name: &str) {
        self.put_aside(name, Stand::Admitted);
    }

    fn put_aside(&mut self, name: &str, stand: Stand) {
        self.unjudged = Some(Box::new(Unjudged {
            name: name.into(),
            lists: Arc::clone(&self.lists),
            stand,
        }));
    }

    /// Judges a name as far as there is time. `None` where there is too little.
    fn judge(&mut self, name: &str, shard: &mut Shard) -> Option<Verdict> {
        let known = self
            .unjudged
            .take()
            .filter(|known| Arc::ptr_eq(&known.lists, &self.lists) && *known.name == *name);
        if let Some(Stand::Admitted) = known.as_ref().map(|known| &known.stand) {
            return Some(Verdict::Admitted);
        }
        if !self.is_next || self.left.is_zero() {
            self.unjudged = known;
            return None;
        }
        let begin = clock::now().instant;
        match known.map(|known| known.stand) {
            Some(Stand::Asked(judging)) => self.judging = judging,
            Some(Stand::Admitted) | None => self.judging.begin(&self.lists, name),
        }
        let judged = loop {
            let judged = self
                .judging
                .go_on(&self.lists, name, LIST_PATTERNS_PER_LOOK);
            let took = clock::now().instant - begin;
            if judged.is_some() || took >= self.left {
                self.left = self.left.saturating_sub(took);
                break judged;
            }
        };
        let Some(judged) = judged else {
            let so_far = std::mem::take(&mut self.judging);
            self.put_aside(name, Stand::Asked(so_far));
            return None;
        };
        say(name, &judged, shard);
        let verdict = judged.verdict;
        if verdict != Verdict::Admitted {
            self.refused.insert(name, verdict);
        }
        Some(verdict)
    }
}

/// Counts that a pattern was given up on, and says it once.
fn say(name: &str, judged: &Judged<'_>, shard: &mut Shard) {
    let Some((list, entry)) = judged.gave_up else {
        return;
    };
    shard.count(Counter::ListGaveUp, 1);
    if entry.is_to_be_said() {
        tracing::warn!(
            "{} line {}: `{}` backtracks too long on {name:?}, which counts as not matched; \
             write it without repetitions inside of repetitions (said once; the counter is \
             lists.gaveUp)",
            list.file().display(),
            entry.line(),
            entry.text()
        );
    }
}

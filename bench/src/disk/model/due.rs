//! Answers that are known and not given yet, the earliest first, each with the moment at which its
//! request came. Pure; as many as there are requests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Answer;
use super::counters::Counters;

/// Answers by the time at which they are due.
#[derive(Debug, Default)]
pub(super) struct Due {
    answers: BinaryHeap<Reverse<(Answer, u64)>>,
}

impl Due {
    pub(super) fn push(&mut self, answer: Answer, came_ns: u64) {
        self.answers.push(Reverse((answer, came_ns)));
    }

    /// When the next one is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.answers.peek().map(|Reverse((answer, _))| answer.at_ns)
    }

    /// Gives those that are due, and counts their requests as ended.
    pub(super) fn give(&mut self, now_ns: u64, counters: &mut Counters, given: &mut Vec<Answer>) {
        while let Some(Reverse((answer, came_ns))) = self.answers.peek().copied() {
            if answer.at_ns > now_ns {
                return;
            }
            self.answers.pop();
            counters.end(answer.at_ns.saturating_sub(came_ns));
            given.push(answer);
        }
    }
}

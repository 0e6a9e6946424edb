//! Who is let in: the lists, asked once for each raw name that a core receives.
//! A name that may pass is remembered by the shard, with the metric that it stands for; one that may
//! not is remembered here. New lists make both forget (`Front::set_lists`).
//! What is refused is counted point by point, and is in no account of received points.

use std::sync::Arc;

use benzene_engine::shard::Shard;
use benzene_engine::stats::Counter;

use crate::lists::{Lists, RefusedNames, Verdict};

/// The lists, and what they have refused.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    lists: Arc<Lists>,
    refused: RefusedNames,
}

impl Gate {
    /// Asks these lists.
    pub(crate) fn new(lists: Arc<Lists>) -> Self {
        Self {
            lists,
            refused: RefusedNames::default(),
        }
    }

    /// Whether a name that the shard has not admitted may pass; counts its point where not.
    pub(super) fn is_open(&mut self, name: &str, shard: &mut Shard) -> bool {
        let verdict = match self.refused.get(name) {
            Some(verdict) => verdict,
            None => self.judge(name, shard),
        };
        let counter = match verdict {
            Verdict::Admitted => return true,
            Verdict::Blacklisted => Counter::RefusedBlacklist,
            Verdict::NotWhitelisted => Counter::RefusedWhitelist,
        };
        shard.count(counter, 1);
        false
    }

    fn judge(&mut self, name: &str, shard: &mut Shard) -> Verdict {
        let judged = self.lists.judge(name);
        if let Some((list, entry)) = judged.gave_up {
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
        if judged.verdict != Verdict::Admitted {
            self.refused.insert(name, judged.verdict);
        }
        judged.verdict
    }
}

//! The series that wait to be announced: new ones, and those that are announced once more, each
//! name once.
//! Pure; a batch is looked at, and then either taken or failed. Bounded by TAG_QUEUE_SIZE for each
//! sort: new ones are not taken in beyond it, of the others the oldest goes.
//! A batch that fails is tried smaller, down to one series, and each that is taken lets it grow
//! again. A series that is refused by itself goes to the end, and is given up once it was refused
//! three times while others were taken in between: else one bad name would hold up all.

use std::collections::VecDeque;
use std::sync::Arc;

use benzene_engine::limits::TAG_REFUSALS_MAX;
use hashbrown::HashSet;

/// A series that waits.
#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// How often it was refused by itself while others were taken.
    refusals: u8,
    /// How many batches had been taken when it was last refused.
    taken_at_refusal: u64,
}

/// Series in the order in which they came, each once.
#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Entry>,
    names: HashSet<Arc<str>>,
}

impl Waiting {
    fn push(&mut self, name: Box<str>) {
        let name: Arc<str> = name.into();
        if self.names.insert(Arc::clone(&name)) {
            self.order.push_back(Entry {
                name,
                refusals: 0,
                taken_at_refusal: 0,
            });
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.order.pop_front()?;
        self.names.remove(&entry.name);
        Some(entry)
    }

    fn put_back(&mut self, entry: Entry) {
        self.names.insert(Arc::clone(&entry.name));
        self.order.push_back(entry);
    }

    fn first(&self, count: usize) -> impl Iterator<Item = &str> {
        self.order.iter().take(count).map(|entry| &*entry.name)
    }
}

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    news: Waiting,
    repeats: Waiting,
    waiting_max: usize,
    batch_max: usize,
    /// Series in the next batch at most.
    batch: usize,
    /// Batches that were taken.
    taken: u64,
    /// A series was refused by itself: the other sort goes first, once.
    repeats_first: bool,
}

impl Queue {
    pub(super) fn new(waiting_max: usize, batch_max: usize) -> Queue {
        assert!(
            waiting_max > 0 && batch_max > 0,
            "{waiting_max} {batch_max}"
        );
        Queue {
            news: Waiting::default(),
            repeats: Waiting::default(),
            waiting_max,
            batch_max,
            batch: batch_max,
            taken: 0,
            repeats_first: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.news.order.len() + self.repeats.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn has_room_for_new(&self) -> bool {
        self.news.order.len() < self.waiting_max
    }

    /// Takes in a series whose file was made.
    pub(super) fn add_new(&mut self, name: Box<str>) {
        assert!(self.has_room_for_new(), "{} are new", self.news.order.len());
        self.news.push(name);
    }

    /// Takes in a series that was announced before; whether the oldest of its sort went for it.
    pub(super) fn add_repeat(&mut self, name: Box<str>) -> bool {
        if self.news.names.contains(&*name) || self.repeats.names.contains(&*name) {
            return false;
        }
        let is_full = self.repeats.order.len() >= self.waiting_max;
        if is_full {
            self.repeats.pop();
        }
        self.repeats.push(name);
        is_full
    }

    /// How many of each sort are in the next batch: as many new ones as there are, then others.
    fn parts(&self) -> (usize, usize) {
        let (news, repeats) = (self.news.order.len(), self.repeats.order.len());
        if self.repeats_first {
            let repeats = repeats.min(self.batch);
            return (news.min(self.batch - repeats), repeats);
        }
        let news = news.min(self.batch);
        (news, repeats.min(self.batch - news))
    }

    /// How many series the next batch has.
    pub(super) fn batch_len(&self) -> usize {
        let (news, repeats) = self.parts();
        news + repeats
    }

    /// The next batch.
    pub(super) fn batch(&self) -> impl Iterator<Item = &str> {
        let (news, repeats) = self.parts();
        self.news.first(news).chain(self.repeats.first(repeats))
    }

    /// The batch was taken. Says how many series that were.
    pub(super) fn taken(&mut self) -> usize {
        let (news, repeats) = self.parts();
        for _ in 0..news {
            self.news.pop();
        }
        for _ in 0..repeats {
            self.repeats.pop();
        }
        self.taken += 1;
        self.repeats_first = false;
        self.batch = (self.batch * 2).min(self.batch_max);
        news + repeats
    }

    /// The batch was not taken; `refused` where graphite-web answered so. A series that is given up is
    /// handed back.
    pub(super) fn failed(&mut self, refused: bool) -> Option<Arc<str>> {
        let count = self.batch_len();
        if count > 1 {
            self.batch = count / 2;
            return None;
        }
        if !refused {
            return None;
        }
        let is_new = self.parts().0 > 0;
        self.repeats_first = is_new;
        let waiting = if is_new {
            &mut self.news
        } else {
            &mut self.repeats
        };
        let mut entry = waiting.pop()?;
        if entry.refusals == 0 || entry.taken_at_refusal < self.taken {
            entry.refusals += 1;
            entry.taken_at_refusal = self.taken;
        }
        if entry.refusals >= TAG_REFUSALS_MAX {
            return Some(entry.name);
        }
        waiting.put_back(entry);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(news: usize, waiting_max: usize, batch_max: usize) -> Queue {
        let mut queue = Queue::new(waiting_max, batch_max);
        for number in 0..news {
            queue.add_new(format!("m;n={number}").into());
        }
        queue
    }

    fn batch(queue: &Queue) -> Vec<String> {
        queue.batch().map(str::to_owned).collect()
    }

    #[test]
    fn each_name_waits_once_and_new_ones_go_first() {
        let mut queue = queue(2, 10, 3);
        for name in ["r;a=1", "m;n=0", "r;a=1", "r;a=2"] {
            assert!(!queue.add_repeat(name.into()));
        }
        queue.add_new("m;n=1".into());
        assert_eq!(queue.len(), 4);
        assert_eq!(batch(&queue), ["m;n=0", "m;n=1", "r;a=1"]);
        assert_eq!(queue.taken(), 3);
        assert_eq!(batch(&queue), ["r;a=2"]);
        assert_eq!(queue.taken(), 1);
        assert!(queue.is_empty());
        queue.add_new("m;n=0".into());
        assert_eq!(queue.len(), 1, "one that was taken may come again");
    }

    #[test]
    fn beyond_its_bound_the_oldest_repeat_goes_and_no_new_one() {
        let mut queue = queue(2, 2, 10);
        assert!(!queue.has_room_for_new());
        assert!(!queue.add_repeat("r;a=1".into()));
        assert!(!queue.add_repeat("r;a=2".into()));
        assert!(queue.add_repeat("r;a=3".into()));
        assert_eq!(batch(&queue), ["m;n=0", "m;n=1", "r;a=2", "r;a=3"]);
    }

    #[test]
    fn what_nobody_answers_is_kept_whole() {
        let mut queue = queue(8, 100, 8);
        for _ in 0..50 {
            assert_eq!(queue.failed(false), None);
        }
        assert_eq!((queue.len(), queue.batch_len()), (8, 1));
        let mut posts = 0;
        while !queue.is_empty() {
            queue.taken();
            posts += 1;
        }
        assert_eq!(posts, 4, "1, 2, 4 and the last one");
    }

    /// Posts everything to somebody who refuses every batch with this name in it.
    #[test]
    fn one_bad_name_is_found_and_given_up_and_all_others_are_taken() {
        let mut queue = queue(1000, 1000, 100);
        let bad = "m;n=500";
        let (mut given_up, mut posts, mut taken) = (None, 0, 0);
        let mut more = 0;
        while given_up.is_none() {
            posts += 1;
            assert!(posts < 300, "no end");
            if batch(&queue).iter().any(|name| name == bad) {
                given_up = queue.failed(true);
            } else {
                taken += queue.taken();
            }
            // Series go on coming.
            more += 1;
            assert!(!queue.add_repeat(format!("r;n={more}").into()));
        }
        assert_eq!(given_up.as_deref(), Some(bad));
        while !queue.is_empty() {
            taken += queue.taken();
        }
        assert_eq!(taken, 999 + more);
    }

    #[test]
    fn where_everything_is_refused_nothing_is_given_up() {
        let mut queue = queue(10, 100, 4);
        for _ in 0..200 {
            assert_eq!(queue.failed(true), None);
        }
        assert_eq!(queue.len(), 10);
    }
}

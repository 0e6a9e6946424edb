//! Which blocks of a model disk were read and written, and how long the same disk takes for them at
//! least: each block once, in one sweep of the head for the reads and one for the writes.
//! Two bits a block of 4 KiB: a disk of 20 GB needs 1.3 MB.

use serde::{Deserialize, Serialize};

use super::model::params::Params;
use super::model::{Model, Request, Wanted};

const BLOCK: u64 = 4096;
/// Largest request, in blocks: what the kernel asks for at once.
const TOGETHER: u64 = 256;
/// Requests outstanding: what a disk of this kind puts in order.
const OUTSTANDING: u64 = 32;

/// The blocks, and the sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// Blocks of 4 KiB that were read, each counted once.
    pub(crate) read_blocks: u64,
    /// The same of writes.
    pub(crate) written_blocks: u64,
    /// What the sweeps take.
    pub(crate) takes_ns: u64,
}

/// The blocks since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Touched {
    read: Blocks,
    written: Blocks,
}

/// A set of blocks.
#[derive(Debug, Default)]
struct Blocks(Vec<u64>);

impl Touched {
    /// A request has come.
    pub(super) fn note(&mut self, wanted: Wanted, offset: u64, bytes: u64) {
        let blocks = match wanted {
            Wanted::Read => &mut self.read,
            Wanted::Write => &mut self.written,
            Wanted::Flush => return,
        };
        for block in offset / BLOCK..(offset + bytes).div_ceil(BLOCK) {
            blocks.insert(block);
        }
    }

    /// What the blocks until now take at least; they are forgotten.
    pub(super) fn take(&mut self, params: &Params) -> Sweep {
        let Touched { read, written } = std::mem::take(self);
        let mut model = Model::new(&Params {
            write_cache: Some(false),
            ..*params
        });
        let begin_ns = swept(&mut model, &read, Wanted::Read, 0);
        Sweep {
            read_blocks: read.len(),
            written_blocks: written.len(),
            takes_ns: swept(&mut model, &written, Wanted::Write, begin_ns),
        }
    }
}

impl Blocks {
    fn insert(&mut self, block: u64) {
        let Ok(word) = usize::try_from(block / 64) else {
            unreachable!("block {block} is past the end of any disk");
        };
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (block % 64);
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn each(&self) -> impl Iterator<Item = u64> {
        let bits = |(word, bits): (u64, &u64)| {
            let bits = *bits;
            (0..64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| word * 64 + bit)
        };
        (0..).zip(&self.0).flat_map(bits)
    }

    /// Blocks that follow one another, as requests.
    fn requests(&self, wanted: Wanted) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        for block in self.each() {
            let offset = block * BLOCK;
            match requests.last_mut() {
                Some(last) if last.end() == offset && last.bytes < TOGETHER * BLOCK => {
                    last.bytes += BLOCK;
                }
                _ => requests.push(Request {
                    id: requests.len() as u64,
                    wanted,
                    offset,
                    bytes: BLOCK,
                }),
            }
        }
        requests
    }
}

/// When the head has passed over these blocks, the first at the earliest at `begin_ns`.
fn swept(model: &mut Model, blocks: &Blocks, wanted: Wanted, begin_ns: u64) -> u64 {
    let mut waiting = blocks.requests(wanted).into_iter();
    let (mut now_ns, mut outstanding, mut answers) = (begin_ns, 0, Vec::new());
    loop {
        while outstanding < OUTSTANDING
            && let Some(request) = waiting.next()
        {
            model.submit(request, now_ns);
            outstanding += 1;
        }
        if outstanding == 0 {
            return now_ns;
        }
        let Some(next_ns) = model.next_ns() else {
            unreachable!("{outstanding} requests are never answered");
        };
        now_ns = now_ns.max(next_ns);
        model.advance(now_ns, &mut answers);
        outstanding -= answers.drain(..).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::params::ModelName;
    use super::*;

    fn params() -> Params {
        Params {
            model: ModelName::Hdd7200,
            bytes: 20 << 30,
            stroke_percent: 20,
            write_cache: None,
        }
    }

    #[test]
    fn each_block_counts_once_and_what_follows_is_one_request() {
        let mut touched = Touched::default();
        for _ in 0..3 {
            touched.note(Wanted::Read, 4096, 8192);
            touched.note(Wanted::Read, 12_288, 1);
            touched.note(Wanted::Write, 1 << 30, 512);
            touched.note(Wanted::Flush, 0, 0);
        }
        let requests = touched.read.requests(Wanted::Read);
        let extents: Vec<_> = requests.iter().map(|it| (it.offset, it.bytes)).collect();
        assert_eq!(extents, [(4096, 12_288)]);
        let sweep = touched.take(&params());
        assert_eq!((sweep.read_blocks, sweep.written_blocks), (3, 1));
        // A turn or two, and a seek over a twentieth of the stroke.
        assert!(
            (1_000_000..40_000_000).contains(&sweep.takes_ns),
            "{sweep:?}"
        );
        assert_eq!(touched.take(&params()), Sweep::default());
    }

    #[test]
    fn a_sweep_is_far_shorter_than_the_same_blocks_in_any_order() {
        let mut touched = Touched::default();
        let count = 2000;
        for number in 0..count {
            touched.note(Wanted::Read, number * 7919 % count * (40 << 10), 4096);
        }
        let sweep = touched.take(&params());
        assert_eq!(sweep.read_blocks, count);
        // 80 MB pass below the head in half a second; one by one each takes 8 ms.
        assert!(sweep.takes_ns < 2_000_000_000, "{sweep:?}");
    }
}

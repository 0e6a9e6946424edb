//! What is done with a block in each pass: names are numbered, written entries cover points, and in
//! the end what is not covered is given out. Each is a bounded piece that can be left within a block.

use super::batch::{BATCH_POINTS, Batch, Owned, Read};
use super::coverage::{Coverage, FOREIGN};
use super::fetch::Window;
use super::unproven::Recorded;
use super::{Damage, NameIndex, Opened, Owed, OwnedName, Replay, Turn, Wanted};
use crate::journal::block::{HEAD_BYTES, Kind};
use crate::journal::entry::{EntryError, PointDecoder};
use crate::journal::name_entry::NameDecoder;
use crate::journal::walk::Effort;
use crate::names::{NameTable, hash};

impl Replay {
    fn payload(window: &Window, block: &Opened) -> (u64, usize) {
        let begin = block.offset + HEAD_BYTES as u64;
        let have = window.from(begin).len();
        assert!(
            have >= block.payload_bytes,
            "{have} bytes of a payload of {} are held",
            block.payload_bytes
        );
        (begin, block.payload_bytes)
    }

    /// Names of a block.
    pub(super) fn read_names(&mut self, mut block: Opened, effort: &mut Effort) -> Turn {
        let (begin, len) = Self::payload(&self.window, &block);
        let payload = &self.window.from(begin)[..len];
        let stream = (block.head.epoch, block.head.shard);
        let stream = self.streams.entry(stream).or_default();
        let ids = stream.generations.entry(block.head.generation).or_default();
        let mut decoder = NameDecoder::new(&payload[block.names_at..]);
        let mut fault = None;
        while !effort.is_spent() && block.seen < block.head.entries {
            match decoder.next() {
                Some(Ok(entry)) => {
                    effort.spend(Effort::NAME);
                    block.seen += 1;
                    let hash = hash(self.seed, entry.name);
                    let number = if (self.owns)(entry.name, hash) {
                        number(&mut self.names, hash, entry.name)
                    } else {
                        FOREIGN
                    };
                    ids.name(entry.id, number);
                }
                Some(Err(error)) => {
                    fault = Some(Some(error));
                    break;
                }
                None => {
                    fault = Some(None);
                    break;
                }
            }
        }
        block.names_at += decoder.offset();
        if fault.is_none() && block.seen < block.head.entries {
            self.block = Some(block);
            return Turn::On;
        }
        self.report.names = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        if let Some(error) = fault {
            self.fault(&block, error);
        }
        Turn::On
    }

    /// The first pass through a block of points: whose there are, and what is written.
    pub(super) fn read_points(&mut self, mut block: Opened, effort: &mut Effort) -> Turn {
        let Some((stretch, _)) = self.present else {
            unreachable!("a block is of a file")
        };
        let (begin, len) = Self::payload(&self.window, &block);
        let payload = &self.window.from(begin)[..len];
        let head = block.head;
        let is_believed = !self.is_in_doubt && self.mount.is_none_or(|mount| mount == head.mount);
        let stream = self.streams.entry((head.epoch, head.shard)).or_default();
        let (generation, mut coverage) = (head.generation, &mut stream.coverage);
        let mut ids = stream.generations.entry(generation).or_default();
        let mut decoder = match block.place {
            Some(place) => PointDecoder::resume(payload, place),
            None => PointDecoder::new(payload, head.received_ms),
        };
        let mut batch = Batch::new();
        let (mut owned, mut fault, mut ended) = (0, None, false);
        let mut latest = self.latest;
        while !effort.is_spent() {
            let present = head.serial + u64::from(block.seen);
            if let Some(range) = block.covering.take() {
                let next = coverage.cover(ids, range, (present, true), effort);
                block.covering = next.map(|next| (next, range.1));
                continue;
            }
            match batch.read(&mut decoder, head.entries - block.seen, effort) {
                Read::Points => {
                    if block.seen == head.entries {
                        fault = Some(None);
                        break;
                    }
                    block.seen += batch.len();
                    batch.look_up(ids);
                    owned += batch.owned_len() as u64;
                    for (mine, point) in batch.owned() {
                        latest = latest.max(point.timestamp);
                        coverage.saw(mine.number, point.timestamp);
                    }
                    for (_, point) in batch.nameless(ids) {
                        ids.saw_nameless(point.id);
                    }
                }
                Read::Record(record) => {
                    let at = Recorded {
                        generation,
                        serial: present,
                        is_believed,
                    };
                    block.covering = stream.record(record, at);
                    ids = stream.generations.entry(generation).or_default();
                    coverage = &mut stream.coverage;
                }
                Read::Fault(error) => {
                    fault = Some(Some(error));
                    break;
                }
                Read::End => {
                    ended = true;
                    break;
                }
            }
        }
        block.place = Some(decoder.place());
        self.files[stretch.file].points_owned += owned;
        self.latest = latest;
        if fault.is_none() && !ended {
            self.block = Some(block);
        } else if fault.is_some() || block.seen < head.entries {
            self.fault(&block, fault.flatten());
        }
        Turn::On
    }

    /// A sound block with entries that cannot be read.
    fn fault(&mut self, block: &Opened, error: Option<EntryError>) {
        let Some((stretch, _)) = self.present else {
            unreachable!("a block is of a file")
        };
        let entries = u64::from(block.head.entries - block.seen);
        let segment = &mut self.files[stretch.file];
        segment.harm(block.offset, Damage::Entries { entries, error });
        if block.head.kind == Kind::Points {
            segment.lost += entries;
        }
    }

    /// The second pass through a block of points.
    pub(super) fn give_out<F: FnMut(&[Owed]) -> usize>(
        &mut self,
        mut block: Opened,
        effort: &mut Effort,
        sink: &mut F,
    ) -> Turn {
        let (begin, len) = Self::payload(&self.window, &block);
        let payload = &self.window.from(begin)[..len];
        let head = block.head;
        let everything = self.wanted == Wanted::All;
        // What an epoch copied counts once earlier ones owe nothing. Before, these have it too, and
        // what was received after it besides, of which there may be no copy.
        let are_copies_owed = everything || self.is_aside || head.epoch <= self.epochs_done;
        let stream = self.streams.entry((head.epoch, head.shard)).or_default();
        let ids = stream.generations.entry(head.generation).or_default();
        let coverage = Some(&stream.coverage).filter(|it| !everything && it.has_covered());
        let mut decoder = match block.place {
            Some(place) => PointDecoder::resume(payload, place),
            None => PointDecoder::new(payload, head.received_ms),
        };
        let mut batch = Batch::new();
        let mut owed = [Owed::NONE; BATCH_POINTS];
        let mut turn = Turn::On;
        let mut ended = false;
        while !effort.is_spent() {
            match batch.read(&mut decoder, head.entries - block.seen, effort) {
                Read::Points if block.seen < head.entries => {}
                Read::Record(_) => continue,
                // The first pass has counted what cannot be read.
                Read::Points | Read::Fault(_) | Read::End => {
                    ended = true;
                    break;
                }
            }
            let serial = head.serial + u64::from(block.seen);
            block.seen += batch.len();
            if decoder.is_copy() && !are_copies_owed {
                continue;
            }
            batch.look_up(ids);
            for (place, point) in batch.nameless(ids) {
                let serial = serial + u64::from(place);
                let is_owed = everything || !ids.covers_nameless(point.id, serial, point.timestamp);
                self.report.lost_nameless += u64::from(is_owed);
            }
            let age_ms = u64::from(decoder.age_s()) * 1000;
            let received_ms = head.received_ms.saturating_sub(age_ms);
            let mut count = 0;
            for (Owned { number, place }, point) in batch.owned() {
                owed[count] = Owed {
                    name: NameIndex(number),
                    timestamp: point.timestamp,
                    value: point.value,
                    received_ms,
                };
                let serial = serial + u64::from(place);
                let is_covered = |it: &Coverage| it.covers(number, serial, point.timestamp);
                count += usize::from(!coverage.is_some_and(is_covered));
            }
            self.report.written += (batch.owned_len() - count) as u64;
            self.report.owed += count as u64;
            if count > 0 {
                let taken = sink(&owed[..count]);
                self.report.given += taken as u64;
                if taken < count {
                    self.offered.extend_from_slice(&owed[taken..count]);
                    turn = Turn::Full;
                    break;
                }
            }
        }
        block.place = Some(decoder.place());
        if !ended {
            self.block = Some(block);
        }
        turn
    }
}

/// The number of an owned name, which may be new.
fn number(names: &mut NameTable<OwnedName>, hash: u64, name: &str) -> u32 {
    let found = names.find(hash, name);
    found.unwrap_or_else(|| names.add(hash, name, OwnedName::default()))
}

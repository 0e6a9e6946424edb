//! What is done with a block in each pass: names are numbered, written entries cover points, and in
//! the end what is not covered is given out. Each is a bounded piece that can be left within a block.

use super::coverage::{FOREIGN, Whose};
use super::fetch::Window;
use super::unproven::Recorded;
use super::{Damage, NameIndex, Offer, Opened, Owed, OwnedName, Replay, Turn, Wanted};
use crate::journal::block::{HEAD_BYTES, Kind};
use crate::journal::entry::{Entry, EntryError, PointDecoder};
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
                    let number = if (self.owns)(entry.name) {
                        number(&mut self.names, self.seed, entry.name)
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
        let is_believed = self.mount.is_none_or(|mount| mount == head.mount);
        let stream = self.streams.entry((head.epoch, head.shard)).or_default();
        let (generation, mut coverage) = (head.generation, &mut stream.coverage);
        let mut ids = stream.generations.entry(generation).or_default();
        let mut decoder = match block.place {
            Some(place) => PointDecoder::resume(payload, place),
            None => PointDecoder::new(payload, head.received_ms),
        };
        let (mut owned, mut fault, mut ended) = (0, None, false);
        while !effort.is_spent() {
            if let Some(range) = block.covering.take() {
                let present = head.serial + u64::from(block.seen);
                let next = coverage.cover(ids, range, (present, true), effort);
                block.covering = next.map(|next| (next, range.1));
                continue;
            }
            effort.spend(Effort::POINT);
            let present = head.serial + u64::from(block.seen);
            match decoder.next() {
                Some(Ok(Entry::Point { id, timestamp, .. })) => {
                    if block.seen == head.entries {
                        fault = Some(None);
                        break;
                    }
                    block.seen += 1;
                    match ids.whose(id) {
                        Whose::Ours(number) => {
                            owned += 1;
                            coverage.saw(number, timestamp);
                        }
                        Whose::Foreign => {}
                        Whose::Nameless => ids.saw_nameless(id),
                    }
                }
                Some(Ok(record)) => {
                    let at = Recorded {
                        generation,
                        serial: present,
                        is_believed,
                    };
                    block.covering = stream.record(record, at);
                    ids = stream.generations.entry(generation).or_default();
                    coverage = &mut stream.coverage;
                }
                Some(Err(error)) => {
                    fault = Some(Some(error));
                    break;
                }
                None => {
                    ended = true;
                    break;
                }
            }
        }
        block.place = Some(decoder.place());
        self.files[stretch.file].points_owned += owned;
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
    pub(super) fn give_out<F: FnMut(Owed) -> Offer>(
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
        let are_copies_owed = everything || head.epoch <= self.epochs_done;
        let stream = self.streams.entry((head.epoch, head.shard)).or_default();
        let ids = stream.generations.entry(head.generation).or_default();
        let mut decoder = match block.place {
            Some(place) => PointDecoder::resume(payload, place),
            None => PointDecoder::new(payload, head.received_ms),
        };
        let mut turn = Turn::On;
        let mut ended = false;
        while !effort.is_spent() {
            effort.spend(Effort::POINT);
            let (id, timestamp, value, age_s) = match decoder.next() {
                Some(Ok(Entry::Point {
                    id,
                    timestamp,
                    value,
                    age_s,
                })) if block.seen < head.entries => (id, timestamp, value, age_s),
                Some(Ok(
                    Entry::Written { .. }
                    | Entry::WrittenPart { .. }
                    | Entry::Mark(_)
                    | Entry::DataSynced(_),
                )) => continue,
                // The first pass has counted what cannot be read.
                Some(Ok(Entry::Point { .. }) | Err(_)) | None => {
                    ended = true;
                    break;
                }
            };
            let serial = head.serial + u64::from(block.seen);
            block.seen += 1;
            if decoder.is_copy() && !are_copies_owed {
                continue;
            }
            match ids.whose(id) {
                Whose::Foreign => {}
                Whose::Nameless => {
                    let is_owed = everything || !ids.covers_nameless(id, serial, timestamp);
                    self.report.lost_nameless += u64::from(is_owed);
                }
                Whose::Ours(number) => {
                    if !everything && stream.coverage.covers(number, serial, timestamp) {
                        self.report.written += 1;
                        continue;
                    }
                    self.report.owed += 1;
                    let owed = Owed {
                        name: NameIndex(number),
                        timestamp,
                        value,
                        received_ms: head.received_ms.saturating_sub(u64::from(age_s) * 1000),
                    };
                    if sink(owed) == Offer::Full {
                        self.offered = Some(owed);
                        turn = Turn::Full;
                        break;
                    }
                    self.report.given += 1;
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
fn number(names: &mut NameTable<OwnedName>, seed: u64, name: &str) -> u32 {
    let hash = hash(seed, name);
    let found = names.find(hash, name);
    found.unwrap_or_else(|| names.add(hash, name, OwnedName::default()))
}

//! The table against what it promises, with records that hold nothing but their name and a number.

use super::*;
use crate::metric::owner;

const SEED: u64 = 7;

#[derive(Clone, Copy, Debug, Default)]
struct Numbered {
    name: NameRef,
    number: u32,
}

impl Named for Numbered {
    fn name(&self) -> NameRef {
        self.name
    }

    fn set_name(&mut self, name: NameRef) {
        self.name = name;
    }
}

fn name(number: u32) -> String {
    format!("servers.web{number:07}.cpu.user")
}

fn add(table: &mut NameTable<Numbered>, number: u32) -> u32 {
    let name = name(number);
    let record = Numbered {
        number,
        ..Numbered::default()
    };
    table.add(hash(SEED, &name), &name, record)
}

fn find(table: &NameTable<Numbered>, name: &str) -> Option<u32> {
    table.find(hash(SEED, name), name)
}

#[test]
fn records_are_found_after_others_went_and_names_moved() {
    let mut table = NameTable::new(SEED);
    let ids: Vec<u32> = (0..40_000).map(|number| add(&mut table, number)).collect();
    let full = table.used_bytes();
    for number in (0u32..40_000).filter(|number| number % 10 != 3) {
        assert_eq!(table.remove(ids[number as usize]).number, number);
    }
    assert_eq!(table.len(), 4_000);
    let parts = table.by_name.iter().map(HashTable::allocation_size);
    assert_eq!(parts.sum::<usize>(), table.part_bytes);
    assert!(
        table.used_bytes() < full / 3,
        "{} of {full} bytes",
        table.used_bytes()
    );
    let names = table.names.held_bytes();
    assert!(
        names < 2 * (4_000 * 31 + (1 << 16)),
        "{names} bytes of names"
    );
    for number in 0u32..40_000 {
        let (name, id) = (name(number), ids[number as usize]);
        let is_there = number % 10 == 3;
        assert_eq!(find(&table, &name), is_there.then_some(id));
        assert_eq!(
            (table.contains(id), table.is(id, &name)),
            (is_there, is_there)
        );
        let bytes = if is_there { name.as_bytes() } else { b"" };
        assert_eq!(table.name_bytes(id), bytes);
        assert!(!is_there || (table.name(id) == name && table[id].number == number));
    }
}

#[test]
fn a_number_that_is_not_live_has_no_name() {
    let mut table = NameTable::new(SEED);
    assert_eq!(
        (table.name_bytes(0), table.name_bytes(u32::MAX)),
        (&[][..], &[][..])
    );
    let (first, second) = (add(&mut table, 1), add(&mut table, 2));
    table.remove(first);
    assert_eq!(table.name_bytes(first), b"");
    assert!(table.peek(first).is_some_and(|record| record.number == 1));
    assert!(!table.is(first, &name(1)) && table.is(second, &name(2)));
    assert_eq!(add(&mut table, 3), first, "used again");
    assert!(!table.is(first, &name(1)) && table.is(first, &name(3)));
    table.remove(first);
    table.remove(second);
    assert!(table.name_bytes(second).is_empty() && table.len() == 0);
    assert_eq!(find(&table, &name(2)), None);
}

/// The kept bits of names that one of so many shards owns.
fn kept_of_one_owner(shards: u16, count: usize) -> Vec<u32> {
    (0..)
        .map(|number| hash(SEED, &name(number)))
        .filter(|hash| owner(*hash, shards).0 == shards / 2)
        .map(kept)
        .take(count)
        .collect()
}

#[test]
fn names_of_one_shard_spread_over_its_table() {
    const PLACES: usize = 1 << 15;
    for shards in [1, 4, 16] {
        let mut hashes = kept_of_one_owner(shards, PLACES);
        let (mut places, mut tags) = (vec![0u32; PLACES], [0u32; 128]);
        let mut parts = [0u32; PARTS];
        for hash in &hashes {
            parts[part(*hash)] += 1;
            let spread = spread(*hash);
            places[usize::try_from(spread % PLACES as u64).unwrap()] += 1;
            tags[usize::try_from(spread >> 57).unwrap()] += 1;
        }
        // As many names as places, thrown at random: one place in e stays empty.
        let empty = places.iter().filter(|held| **held == 0).count();
        assert!((11_700..12_400).contains(&empty), "{shards}: {empty} empty");
        assert!(places.iter().all(|held| *held < 12), "{shards} shards");
        assert!(
            tags.iter().all(|held| (160..360).contains(held)),
            "{shards}: {tags:?}"
        );
        assert!(
            parts.iter().all(|held| (400..640).contains(held)),
            "{shards}: {parts:?}"
        );
        hashes.sort_unstable();
        hashes.dedup();
        // Two names with the same 32 bits: an eighth of one is to be expected.
        assert!(hashes.len() + 3 >= PLACES, "{shards}: {}", hashes.len());
    }
}

#[test]
#[should_panic(expected = "removed twice")]
fn removing_twice_is_a_bug() {
    let mut table = NameTable::new(SEED);
    let id = add(&mut table, 1);
    add(&mut table, 2);
    table.remove(id);
    table.remove(id);
}

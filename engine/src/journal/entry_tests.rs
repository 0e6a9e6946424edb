//! Entries against any input: what is written is read again, and any bytes at all are entries or an
//! error with its place. Bytes that the format's page names are compared one by one.

use proptest::prelude::*;

use super::block::HEAD_BYTES;
use super::entry::{
    CUT_NONE, ENTRY_BYTES_MAX, Entry, EntryError, Fault, Plain, PointDecoder, PointEncoder,
};
use super::name_entry::{NAME_ENTRY_BYTES_MAX, NameDecoder, NameEncoder, NameEntry};
use crate::limits::METRIC_NAME_BYTES_MAX;
use crate::point::Point;

const RECEIVED_MS: u64 = 1_600_000_000_999;

fn points() -> impl Strategy<Value = Entry> {
    let ids = prop_oneof![0..5_u32, 250..262_u32, 32_700..32_800_u32, any::<u32>()];
    let near = 1_599_999_990..1_600_000_010_u32;
    let far = 1_599_960_000..1_600_040_000_u32;
    let times = prop_oneof![near, far, any::<u32>()];
    let values = prop_oneof![
        any::<i16>().prop_map(f64::from),
        any::<u64>().prop_map(f64::from_bits),
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN)
    ];
    let ages = prop_oneof![8 => Just(0_u32), 1 => 1..3_u32, 1 => any::<u32>()];
    (ids, times, values, ages).prop_map(|(id, timestamp, value, age_s)| Entry::Point {
        id,
        timestamp,
        value,
        age_s,
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let id = || prop_oneof![0..50_u32, any::<u32>()];
    let count = prop_oneof![1..5_u32, 1..=u32::MAX];
    let written = (id(), count).prop_map(|(first, count)| Entry::Written {
        first,
        count: count.min((u32::MAX - first).saturating_add(1)),
    });
    let cut = prop_oneof![Just(CUT_NONE), any::<u32>()];
    let back = prop_oneof![0..200_u64, any::<u64>()];
    let part = (id(), back, cut).prop_map(|(id, back, cut)| Entry::WrittenPart { id, back, cut });
    let mark = any::<u32>().prop_map(Entry::Mark);
    let synced = any::<u32>().prop_map(Entry::DataSynced);
    prop_oneof![12 => points(), 2 => written, 2 => part, 1 => mark, 1 => synced]
}

fn encode(encoder: &mut PointEncoder, entry: &Entry) {
    match *entry {
        Entry::Point {
            id,
            timestamp,
            value,
            age_s,
        } => {
            let point = Point { timestamp, value };
            if age_s == 0 {
                encoder.point(id, point);
            } else {
                encoder.aged_point(id, point, age_s);
            }
        }
        Entry::Written { first, count } => encoder.written(first, count),
        Entry::WrittenPart { id, back, cut } => encoder.written_part(id, back, cut),
        Entry::Mark(mark) => encoder.mark(mark),
        Entry::DataSynced(mark) => encoder.data_synced(mark),
    }
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = PointEncoder::new(Vec::new(), RECEIVED_MS);
    for entry in entries {
        encode(&mut encoder, entry);
    }
    let block = encoder.finish();
    block[HEAD_BYTES..].to_vec()
}

fn decoded(payload: &[u8]) -> Result<Vec<Entry>, EntryError> {
    PointDecoder::new(payload, RECEIVED_MS).collect()
}

/// The same with points taken some at once.
fn decoded_at_once(payload: &[u8], most: usize) -> Vec<Result<Entry, EntryError>> {
    let mut decoder = PointDecoder::new(payload, RECEIVED_MS);
    let mut points = vec![Plain::default(); most];
    let mut found = Vec::new();
    loop {
        let read = decoder.points(&mut points);
        let age_s = decoder.age_s();
        found.extend(points[..read].iter().map(|point| {
            Ok(Entry::Point {
                id: point.id,
                timestamp: point.timestamp,
                value: point.value,
                age_s,
            })
        }));
        if read == 0 {
            let Some(next) = decoder.next() else {
                return found;
            };
            found.push(next);
        }
    }
}

/// Doubles bit for bit: NaN is what it was, and -0 is not 0.
fn bits(entry: &Entry) -> (Entry, u64) {
    let mut plain = *entry;
    let mut bits = 0;
    if let Entry::Point { value, .. } = &mut plain {
        bits = value.to_bits();
        *value = 0.0;
    }
    (plain, bits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn entries_are_read_as_they_were_written(entries in prop::collection::vec(entries(), 0..60)) {
        let payload = encoded(&entries);
        let found = decoded(&payload).unwrap();
        let found: Vec<_> = found.iter().map(bits).collect();
        let expected: Vec<_> = entries.iter().map(bits).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn points_at_once_are_those_one_by_one(
        entries in prop::collection::vec(entries(), 0..60),
        behind in prop::collection::vec(any::<u8>(), 0..60),
        most in 1_usize..20,
    ) {
        let mut payload = encoded(&entries);
        payload.extend_from_slice(&behind);
        let alone: Vec<_> = PointDecoder::new(&payload, RECEIVED_MS).collect();
        let alone: Vec<_> = alone.iter().map(|it| it.as_ref().map(bits)).collect();
        let at_once = decoded_at_once(&payload, most);
        let at_once: Vec<_> = at_once.iter().map(|it| it.as_ref().map(bits)).collect();
        prop_assert_eq!(at_once, alone);
    }

    #[test]
    fn an_entry_has_its_bound(entry in entries()) {
        let mut encoder = PointEncoder::new(Vec::new(), RECEIVED_MS);
        encode(&mut encoder, &entry);
        // An age that changes is an entry of its own.
        prop_assert!(encoder.payload_bytes() <= ENTRY_BYTES_MAX);
        let is_point = u32::from(matches!(entry, Entry::Point { .. }));
        prop_assert_eq!(encoder.points(), is_point);
    }

    #[test]
    fn a_cut_payload_gives_what_is_whole(
        entries in prop::collection::vec(entries(), 1..20),
        kept in any::<prop::sample::Index>(),
    ) {
        let payload = encoded(&entries);
        let kept = kept.index(payload.len());
        let mut decoder = PointDecoder::new(&payload[..kept], RECEIVED_MS);
        let mut whole = 0;
        let mut fault = None;
        for found in &mut decoder {
            match found {
                Ok(entry) => {
                    prop_assert_eq!(bits(&entry), bits(&entries[whole]));
                    whole += 1;
                }
                Err(error) => fault = Some(error.fault),
            }
        }
        prop_assert!(whole < entries.len());
        // Cut within a number of several bytes the zeros behind make a number of it.
        prop_assert!(matches!(fault, None | Some(Fault::Cut | Fault::Ids)), "{:?}", fault);
    }

    #[test]
    fn any_bytes_end_in_order_or_with_an_error(
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut decoder = PointDecoder::new(&payload, RECEIVED_MS);
        let mut failed = None;
        for found in &mut decoder {
            prop_assert_eq!(failed, None, "nothing comes behind an error");
            failed = found.err();
        }
        if let Some(error) = failed {
            prop_assert!(error.offset < payload.len());
        }
        prop_assert_eq!(decoder.offset(), payload.len());
        let mut names = NameDecoder::new(&payload);
        let mut failed = None;
        for found in &mut names {
            prop_assert_eq!(failed, None, "nothing comes behind an error");
            failed = found.err();
        }
        prop_assert_eq!(names.offset(), payload.len());
    }

    #[test]
    fn names_are_read_as_they_were_written(
        names in prop::collection::vec((any::<u32>(), "\\PC{1,200}"), 0..40),
    ) {
        let mut encoder = NameEncoder::new(vec![7; 1000]);
        let mut bytes = 0;
        for (id, name) in &names {
            bytes += encoder.name(*id, name);
        }
        prop_assert_eq!(encoder.payload_bytes(), bytes);
        prop_assert_eq!(encoder.names() as usize, names.len());
        let block = encoder.finish();
        let found: Result<Vec<_>, _> = NameDecoder::new(&block[HEAD_BYTES..]).collect();
        let expected: Vec<_> = names.iter().map(|(id, name)| NameEntry { id: *id, name }).collect();
        prop_assert_eq!(found.unwrap(), expected);
    }
}

fn point(id: u32, timestamp: u32, value: f64) -> Entry {
    Entry::Point {
        id,
        timestamp,
        value,
        age_s: 0,
    }
}

#[test]
fn each_form_has_the_bytes_of_the_page() {
    let rows: &[(&[Entry], &[u8])] = &[
        // The first id and the block's second cost nothing, and 0 has no bytes.
        (&[point(0, 1_600_000_000, 0.0)], &[0x00]),
        // 2.0 is 0x40 and zeros.
        (&[point(0, 1_600_000_000, 2.0)], &[0x01, 0x40]),
        (&[point(1, 1_600_000_000, 2.0)], &[0x11, 1, 0x40]),
        (&[point(256, 1_600_000_000, 0.0)], &[0x20, 0x01, 0x01]),
        (
            &[point(0x0102_0304, 1_600_000_000, 0.0)],
            &[0x30, 4, 3, 2, 1],
        ),
        (&[point(0, 1_599_999_999, 0.0)], &[0x40, 0xff]),
        (&[point(0, 1_600_000_200, 0.0)], &[0x80, 200, 0]),
        (&[point(0, 0x0102_0304, 2.0)], &[0xc1, 4, 3, 2, 1, 0x40]),
        (
            &[point(
                0,
                1_600_000_000,
                f64::from_bits(0x0102_0304_0506_0708),
            )],
            &[0x08, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
        (
            &[
                Entry::Written { first: 1, count: 2 },
                Entry::Written { first: 3, count: 1 },
                Entry::Written {
                    first: 0,
                    count: 300,
                },
            ],
            &[0x0f, 2, 2, 0x0f, 0, 1, 0x0f, 7, 0xac, 2],
        ),
        (
            &[
                Entry::WrittenPart {
                    id: 0,
                    back: 128,
                    cut: CUT_NONE,
                },
                Entry::Written { first: 1, count: 1 },
            ],
            &[0x1f, 0, 0x80, 1, 255, 255, 255, 255, 0x0f, 0, 1],
        ),
    ];
    for (entries, bytes) in rows {
        assert_eq!(encoded(entries), *bytes, "{entries:?}");
    }
    let mut encoder = PointEncoder::new(Vec::new(), RECEIVED_MS);
    let none = Point {
        timestamp: 1_600_000_000,
        value: 0.0,
    };
    encoder.aged_point(0, none, 300);
    encoder.point(1, none);
    assert_eq!(
        encoder.finish()[HEAD_BYTES..],
        [0x2f, 0xac, 2, 0x00, 0x2f, 0, 0x00]
    );
}

#[test]
fn what_no_encoder_writes_is_an_error_with_its_place() {
    let rows: &[(&[u8], usize, Fault)] = &[
        (&[0x00, 0x09], 1, Fault::Tag(0x09)),
        (&[0x6f], 0, Fault::Tag(0x6f)),
        (&[0x3f, 0x80, 0x80, 0x80, 0x80, 0x10], 0, Fault::Mark),
        (&[0x01], 0, Fault::Cut),
        (&[0x00, 0x00, 0x30, 1, 2, 3], 2, Fault::Cut),
        (&[0x0f, 0, 0], 0, Fault::Ids),
        // Id -1.
        (&[0x0f, 1, 1], 0, Fault::Ids),
        // 2^32 + 1 ids.
        (&[0x0f, 0, 0x81, 0x80, 0x80, 0x80, 0x10], 0, Fault::Ids),
        (&[0x2f, 0x80, 0x80, 0x80, 0x80, 0x10], 0, Fault::Age),
        (
            &[0x2f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            0,
            Fault::Number,
        ),
    ];
    for (payload, offset, fault) in rows {
        let error = decoded(payload).unwrap_err();
        let expected = EntryError {
            offset: *offset,
            fault: *fault,
        };
        assert_eq!(error, expected, "{payload:?}");
    }
}

#[test]
fn what_is_no_name_is_an_error_with_its_place() {
    let long = [&[0, 0xf5, 0x17][..], &[b'a'; METRIC_NAME_BYTES_MAX + 1]].concat();
    let rows: &[(&[u8], usize, Fault)] = &[
        (&[5, 1, b'a', 6, 0], 3, Fault::Name),
        (&[5, 2, b'a'], 0, Fault::Cut),
        (&[5, 1, 0xff], 0, Fault::Name),
        (&[0x80, 0x80, 0x80, 0x80, 0x10, 1, b'a'], 0, Fault::Ids),
        (&long, 0, Fault::Name),
    ];
    for (payload, offset, fault) in rows {
        let found: Result<Vec<_>, _> = NameDecoder::new(payload).collect();
        let expected = EntryError {
            offset: *offset,
            fault: *fault,
        };
        assert_eq!(found.unwrap_err(), expected, "{payload:?}");
    }
    let longest = "a".repeat(METRIC_NAME_BYTES_MAX);
    let mut encoder = NameEncoder::new(Vec::new());
    assert!(encoder.name(u32::MAX, &longest) <= NAME_ENTRY_BYTES_MAX);
    let block = encoder.finish();
    let found: Result<Vec<_>, _> = NameDecoder::new(&block[HEAD_BYTES..]).collect();
    let expected = NameEntry {
        id: u32::MAX,
        name: &longest,
    };
    assert_eq!(found, Ok(vec![expected]));
}

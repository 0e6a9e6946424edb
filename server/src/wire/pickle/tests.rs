//! The unpickler and the reading of batches: forms of real pickles, hostile ones, and bounds.

use benzene_engine::limits::PICKLE_OBJECTS_KEPT;
use proptest::prelude::*;

use super::PickleError as E;
use super::*;
use crate::wire::{Item, Refusals, Stamp};

fn decoded(frame: &[u8]) -> Result<Batch, PickleError> {
    let mut machine = Machine::default();
    let mut batch = Batch::default();
    decode(frame, &mut machine, &mut batch).map(|()| batch)
}

/// Names, stamps and values of a frame that decodes without a refusal.
fn items(frame: &[u8]) -> Vec<(String, Stamp, f64)> {
    let batch = decoded(frame).unwrap();
    assert_eq!(batch.refused().total(), 0, "{:?}", batch.refused());
    let owned = |item: Item<'_>| (item.name.to_owned(), item.stamp, item.value);
    batch.iter().map(owned).collect()
}

/// Wraps the opcodes of one item into a list.
fn refused(item: &[u8]) -> (usize, Vec<(Refusal, u64)>) {
    let batch = decoded(&[b"](", item, b"e."].concat()).unwrap();
    (batch.len(), batch.refused().iter().collect())
}

#[test]
fn reads_a_relay_batch_of_protocol_2() {
    let frame = b"\x80\x02]q\x00(X\x09\0\0\0dev.a.reqq\x01GA\xda\xc0\x9d\xc4\xc0\0\0\
        G?\xf8\0\0\0\0\0\0\x86q\x02\x86q\x03X\x01\0\0\0bq\x04J\xff\xff\xff\xffK\x07\x86q\x05\x86q\x06e.";
    let expected = [
        ("dev.a.req".to_owned(), Stamp::At(1_795_323_667), 1.5),
        ("b".to_owned(), Stamp::Now, 7.0),
    ];
    assert_eq!(items(frame), expected);
}

#[test]
fn reads_text_protocols_of_python_2() {
    // pickle.dumps([('a.b', (1422797285, 1.5)), (u'c\xe9', (10L, '2'))], 0) of Python 2.
    let frame = b"(lp0\n(S'a.b'\np1\n(I1422797285\nF1.5\ntp2\ntp3\na(Vc\xe9\np4\n(L10L\nS'2'\np5\ntp6\ntp7\na.";
    let expected = [
        ("a.b".to_owned(), Stamp::At(1_422_797_285), 1.5),
        ("c\u{e9}".to_owned(), Stamp::At(10), 2.0),
    ];
    assert_eq!(items(frame), expected);
    // Escapes of string literals and of raw-unicode-escape.
    let frame = br"(lp0
(S'a\\\'\x41\101\t'
(I1
I01
tta(V\u0041\\u0041\U0001d7da
(I1
I00
tta."
        .as_slice();
    let expected = [
        ("a\\'AA\t".to_owned(), Stamp::At(1), 1.0),
        ("A\\\\u0041\u{1d7da}".to_owned(), Stamp::At(1), 0.0),
    ];
    assert_eq!(items(frame), expected);
}

#[test]
fn takes_lists_sets_dict_keys_and_numeric_texts() {
    let item = b"](X\x01\0\0\0a](X\x04\0\0\0 5.9C\x021.ee".as_slice();
    let expected = [("a".to_owned(), Stamp::At(5), 1.0)];
    for (before, after) in [
        (b"](".as_slice(), b"e.".as_slice()),
        (b"", b"\x85."),
        (b"\x8f(", b"\x90."),
        (b"(", b"\x91."),
        (b"}(", b"Nu."),
    ] {
        assert_eq!(
            items(&[before, item, after].concat()),
            expected,
            "{before:?}"
        );
    }
    let batch = decoded(b"}(K\x01X\x01\0\0\0aK\x01K\x02\x86\x86u.").unwrap();
    assert_eq!((batch.len(), batch.refused().total()), (0, 1));
}

#[test]
fn refuses_items_one_by_one() {
    let good = b"X\x01\0\0\0aK\x01K\x02\x86\x86";
    for (item, refusal) in [
        (b"K\x01".as_slice(), Refusal::Item),
        (b"X\x02\0\0\0ab", Refusal::Item),
        (b"X\x01\0\0\0aK\x01K\x02K\x03\x87\x86", Refusal::Item),
        // go-carbon's form of several points an item.
        (
            b"X\x01\0\0\0aK\x01K\x02\x86K\x01K\x02\x86\x87",
            Refusal::Item,
        ),
        (b"C\x01aK\x01K\x02\x86\x86", Refusal::Item),
        (b"NK\x01K\x02\x86\x86", Refusal::Item),
        (b"X\x01\0\0\0\xffK\x01K\x02\x86\x86", Refusal::Utf8),
        // A lone surrogate, escaped and as Python's surrogatepass has it.
        (b"V\\ud800\nK\x01K\x02\x86\x86", Refusal::Utf8),
        (b"X\x03\0\0\0\xed\xa0\x80K\x01K\x02\x86\x86", Refusal::Utf8),
        (b"X\x01\0\0\0aNK\x02\x86\x86", Refusal::Timestamp),
        (b"X\x01\0\0\0aFnan\nK\x02\x86\x86", Refusal::Timestamp),
        (b"X\x01\0\0\0aFinf\nK\x02\x86\x86", Refusal::Timestamp),
        (
            b"X\x01\0\0\0aJ\xfe\xff\xff\xffK\x02\x86\x86",
            Refusal::Timestamp,
        ),
        (b"X\x01\0\0\0aK\x01N\x86\x86", Refusal::Value),
        (b"X\x01\0\0\0aK\x01X\x01\0\0\0a\x86\x86", Refusal::Value),
        (b"X\x01\0\0\0aK\x01]\x86\x86", Refusal::Value),
        (b"X\x01\0\0\0aK\x01Fnan\n\x86\x86", Refusal::Nan),
    ] {
        assert_eq!(refused(item), (0, vec![(refusal, 1)]), "{item:?}");
        let between = [good, item, good].concat();
        assert_eq!(refused(&between), (2, vec![(refusal, 1)]), "{item:?}");
    }
    let huge = [
        b"X\x01\0\0\0aK\x01\x8a\xc8".as_slice(),
        &[1; 200],
        b"\x86\x86",
    ]
    .concat();
    assert_eq!(refused(&huge), (0, vec![(Refusal::Value, 1)]));
}

/// Frames that are refused as a whole.
const NO_PLAIN_DATA: &[(&[u8], E)] = &[
    (b"", E::Truncated { offset: 0 }),
    (b"]", E::Truncated { offset: 1 }),
    (b"X\xff\xff\xff\xffa", E::Truncated { offset: 5 }),
    (
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa",
        E::Truncated { offset: 9 },
    ),
    (b"I1", E::Truncated { offset: 1 }),
    (
        b"\x80\x04\x95\xff\0\0\0\0\0\0\0].",
        E::Truncated { offset: 11 },
    ),
    (b"\x80\x06].", E::Protocol { found: 6 }),
    (
        b"cos\nsystem\n(S'id'\ntR.",
        E::Forbidden {
            opcode: b'c',
            offset: 0,
        },
    ),
    (
        b"]Pid\n.",
        E::Forbidden {
            opcode: b'P',
            offset: 1,
        },
    ),
    (
        b"X\x01\0\0\0aX\x01\0\0\0b\x93.",
        E::Forbidden {
            opcode: 0x93,
            offset: 12,
        },
    ),
    (
        b"\xff",
        E::Opcode {
            opcode: 0xff,
            offset: 0,
        },
    ),
    (b".", E::StackUnderflow { offset: 0 }),
    (b"](.", E::StackUnderflow { offset: 2 }),
    (b"]K\x01(a.", E::StackUnderflow { offset: 4 }),
    (b"e.", E::StackUnderflow { offset: 0 }),
    (b"(e.", E::StackUnderflow { offset: 1 }),
    (b"N\x86.", E::StackUnderflow { offset: 1 }),
    (b"N(N\x86.", E::StackUnderflow { offset: 3 }),
    (
        b"h\0.",
        E::Memo {
            index: 0,
            offset: 0,
        },
    ),
    (
        b"]r\xff\xff\xff\x7f.",
        E::Memo {
            index: 0x7fff_ffff,
            offset: 1,
        },
    ),
    (
        b")K\x01a.",
        E::Shape {
            opcode: b'a',
            offset: 3,
        },
    ),
    (
        b"}(K\x01u.",
        E::Shape {
            opcode: b'u',
            offset: 4,
        },
    ),
    (
        b"(K\x01d.",
        E::Shape {
            opcode: b'd',
            offset: 3,
        },
    ),
    (
        b"I0x10\n.",
        E::Argument {
            opcode: b'I',
            offset: 0,
        },
    ),
    (
        b"Sa\n.",
        E::Argument {
            opcode: b'S',
            offset: 0,
        },
    ),
    (
        b"S'\\'\n.",
        E::Argument {
            opcode: b'S',
            offset: 0,
        },
    ),
    (
        b"S'\\x4'\n.",
        E::Argument {
            opcode: b'S',
            offset: 0,
        },
    ),
    (
        b"V\\u004\n.",
        E::Argument {
            opcode: b'V',
            offset: 0,
        },
    ),
    (
        b"V\\U00110000\n.",
        E::Argument {
            opcode: b'V',
            offset: 0,
        },
    ),
    (
        b"F1_0\n.",
        E::Argument {
            opcode: b'F',
            offset: 0,
        },
    ),
    (b"K\x01.", E::NoList),
    (b"X\x01\0\0\0a.", E::NoList),
    (b"N.", E::NoList),
];

#[test]
fn refuses_frames_that_are_no_plain_data() {
    for (frame, error) in NO_PLAIN_DATA {
        assert_eq!(decoded(frame).map(drop), Err(*error), "{frame:?}");
    }
}

#[test]
fn marks_pops_and_duplicates_work_as_in_python() {
    let item = b"X\x01\0\0\0aK\x01K\x02\x86\x86";
    for frame in [
        [b"](N(0N20".as_slice(), b"00", item, b"e."].concat(),
        [b"](NN1](".as_slice(), item, b"e."].concat(),
        [b"]N0".as_slice(), item, b"a.rubbish"].concat(),
        [
            b"\x80\x04\x95\x01\0\0\0\0\0\0\0]\x94".as_slice(),
            item,
            b"a0h\0.",
        ]
        .concat(),
    ] {
        assert_eq!(items(&frame).len(), 1, "{frame:?}");
    }
    assert_eq!(items(&[b"](", item.as_slice(), b"2e."].concat()).len(), 2);
}

#[test]
fn integers_of_every_length() {
    for (bytes, value) in [
        (b"".as_slice(), 0),
        (b"\x01", 1),
        (b"\xff", -1),
        (b"\xff\0", 255),
        (b"\0\x80", -32768),
        (b"\xff\xff\xff\xff\0\0\0\0\0\0", 0xffff_ffff),
    ] {
        let node = text::binary(bytes);
        assert!(matches!(node, Node::Int(int) if int == value), "{node:?}");
    }
    for (bytes, value) in [
        (i64::MIN.to_le_bytes().to_vec(), -(2f64.powi(63))),
        ((1i128 << 64).to_le_bytes().to_vec(), 2f64.powi(64)),
        ((-(1i128 << 64)).to_le_bytes().to_vec(), -(2f64.powi(64))),
        // Halfway between two doubles: to the even one; one more: up.
        (
            ((1i128 << 100) + (1 << 47)).to_le_bytes().to_vec(),
            2f64.powi(100),
        ),
        (
            ((1i128 << 100) + (1 << 47) + 1).to_le_bytes().to_vec(),
            2f64.powi(100) + 2f64.powi(48),
        ),
    ] {
        let mut machine = Machine::default();
        let length = u8::try_from(bytes.len()).unwrap();
        let frame = [&[0x8a, length], bytes.as_slice(), b"."].concat();
        let node = machine.run(&frame).unwrap();
        assert_eq!(machine.node(node).number(), Some(value), "{bytes:?}");
    }
    let largest = [[0xff; 128].as_slice(), &[0]].concat();
    assert!(matches!(text::binary(&largest), Node::Huge));
    assert!(matches!(text::binary(&[0x7f; 1000]), Node::Huge));
    assert!(matches!(text::decimal(&[b'9'; 400]), Some(Node::Huge)));
    assert!(text::decimal(b"1e5").is_none() && text::decimal(b"-").is_none());
}

#[test]
fn a_pickle_that_contains_itself_ends() {
    assert_eq!(refused(b"]q\0h\0a"), (0, vec![(Refusal::Item, 1)]));
    // A pair of itself and itself is of the right shape, down to the numbers.
    assert_eq!(refused(b"]q\0(h\0h\0e"), (0, vec![(Refusal::Timestamp, 1)]));
    let batch = decoded(b"]q\0(h\0h\0h\0e.").unwrap();
    assert_eq!(batch.refused().get(Refusal::Item), 3);
    // A million brackets deep.
    let deep = [
        vec![b']'; 1 << 20],
        vec![b'a'; (1 << 20) - 1],
        b".".to_vec(),
    ]
    .concat();
    assert_eq!(decoded(&deep).unwrap().refused().total(), 1);
}

#[test]
fn a_name_that_is_named_often_is_copied_once() {
    let name = "n".repeat(60_000);
    let mut frame = b"](X".to_vec();
    frame.extend_from_slice(&60_000u32.to_le_bytes());
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b"q\0K\x01K\x02\x86q\x01\x86");
    for _ in 0..10_000 {
        frame.extend_from_slice(b"h\0h\x01\x86");
    }
    frame.extend_from_slice(b"e.");
    let batch = decoded(&frame).unwrap();
    assert_eq!(batch.len(), 10_001);
    assert_eq!(batch.names.len(), 60_000);
    assert_eq!(batch.get(10_000).map(|item| item.name.len()), Some(60_000));
}

#[test]
fn a_number_that_is_named_too_often_refuses_the_frame() {
    let mut frame = b"](X\x20\x4e\0\0".to_vec();
    frame.extend_from_slice("1".repeat(20_000).as_bytes());
    frame.extend_from_slice(b"q\x000X\x01\0\0\0aq\x010");
    for _ in 0..1000 {
        frame.extend_from_slice(b"h\x01K\x01h\0\x86\x86");
    }
    frame.extend_from_slice(b"e.");
    assert_eq!(decoded(&frame).map(drop), Err(PickleError::TooMuchText));
}

#[test]
fn a_batch_is_used_again_and_gives_large_memory_back() {
    let (mut machine, mut batch) = (Machine::default(), Batch::default());
    let many = [
        b"](".as_slice(),
        &b"X\x01\0\0\0aK\x01K\x02\x86\x86".repeat(100_000),
        b"e.",
    ];
    decode(&many.concat(), &mut machine, &mut batch).unwrap();
    assert_eq!(batch.len(), 100_000);
    assert_eq!(
        decode(b"]", &mut machine, &mut batch),
        Err(PickleError::Truncated { offset: 1 })
    );
    assert!(batch.is_empty() && batch.get(0).is_none());
    assert!(batch.entries.capacity() <= PICKLE_OBJECTS_KEPT);
    decode(b"].", &mut machine, &mut batch).unwrap();
    assert!(batch.is_empty());
}

/// What a way of reading makes of a frame: names, stamps, values to the bit, and refusals.
type Outcome = (Vec<(String, Stamp, u64)>, Refusals);

/// Both ways of reading: of relays' frames if it is one, and of any.
fn both_ways(frame: &[u8]) -> (Option<Outcome>, Result<Outcome, PickleError>) {
    let outcome = |batch: &Batch| {
        let owned = |item: Item<'_>| (item.name.to_owned(), item.stamp, item.value.to_bits());
        (batch.iter().map(owned).collect(), batch.refused.clone())
    };
    let mut batch = Batch::default();
    let relayed = relay::read(frame, &mut batch).map(|()| outcome(&batch));
    let mut batch = Batch::default();
    let unpickled = unpickle(frame, &mut Machine::default(), &mut batch);
    (relayed, unpickled.map(|()| outcome(&batch)))
}

/// What Python 3.11 makes of [('a.b', (1600000000.0, 1.5)), ('caf\xe9', (1600000060, 2**40))] and
/// of [('x', (5, 300))] with protocols 2 and 4, the latter also with Python 2's opcode for a str, and of an empty list.
const RELAYED: &[&[u8]] = &[
    b"\x80\x02]q\x00(X\x03\0\0\0a.bq\x01GA\xd7\xd7\x84\x00\0\0\0G?\xf8\0\0\0\0\0\0\x86q\x02\x86q\x03\
      X\x05\0\0\0caf\xc3\xa9q\x04J<\x10^_\x8a\x06\0\0\0\0\0\x01\x86q\x05\x86q\x06e.",
    b"\x80\x04\x95:\0\0\0\0\0\0\0]\x94(\x8c\x03a.b\x94GA\xd7\xd7\x84\x00\0\0\0G?\xf8\0\0\0\0\0\0\x86\x94\x86\x94\
      \x8c\x05caf\xc3\xa9\x94J<\x10^_\x8a\x06\0\0\0\0\0\x01\x86\x94\x86\x94e.",
    b"\x80\x02]q\x00X\x01\0\0\0xq\x01K\x05M,\x01\x86q\x02\x86q\x03a.",
    b"\x80\x02]q\x01U\x01xq\x02K\x05M,\x01\x86q\x03\x86q\x04a.",
    b"\x80\x02]q\x00.",
];

#[test]
fn relays_frames_need_no_unpickler() {
    for frame in RELAYED {
        let (relayed, unpickled) = both_ways(frame);
        assert_eq!(relayed.map(Ok), Some(unpickled), "{}", frame.escape_ascii());
    }
    // Refused items stand between others, and names that are one text only together are none.
    let good = b"X\x01\0\0\0aK\x01K\x02\x86\x86".as_slice();
    for (item, refusal) in [
        (
            b"X\x01\0\0\0bK\x01G\x7f\xf8\0\0\0\0\0\0\x86\x86".as_slice(),
            Refusal::Nan,
        ),
        (
            b"X\x01\0\0\0\xffK\x01G\x7f\xf8\0\0\0\0\0\0\x86\x86",
            Refusal::Utf8,
        ),
        (b"U\x01bJ\xfe\xff\xff\xffK\x02\x86\x86", Refusal::Timestamp),
    ] {
        let (relayed, unpickled) = both_ways(&[b"](", good, item, good, b"e."].concat());
        let (items, refusals) = relayed.clone().unwrap();
        assert_eq!((items.len(), refusals.get(refusal)), (2, 1));
        assert_eq!(relayed.map(Ok), Some(unpickled));
    }
    let halves = b"](U\x01\xc3K\x01K\x02\x86\x86U\x01\xa9K\x01K\x02\x86\x86e.";
    let (relayed, unpickled) = both_ways(halves);
    assert_eq!(relayed, None);
    assert_eq!(unpickled.unwrap().1.get(Refusal::Utf8), 2);
    // A number of the memo that no pickler gives is the unpickler's to refuse.
    assert_eq!(both_ways(b"]q\x04.").0, None);
    assert_eq!(both_ways(b"]q\x03.").0, Some(Outcome::default()));
}

/// Items as they stand behind the first hundred of a frame, where memo numbers are long, and as
/// protocol 4 writes them: whatever byte is another one, both ways agree.
#[test]
fn usual_items_are_what_the_unpickler_reads() {
    let double = 1_600_000_000.5_f64.to_be_bytes();
    let mut items = [b"\x80\x02](".to_vec(), b"\x80\x04]\x94(".to_vec()];
    for number in 0u32..3 {
        let memo = |index: u32| [b"r".as_slice(), &(3 * number + index).to_le_bytes()].concat();
        let [long, short] = &mut items;
        long.extend([b"X\x03\0\0\0a.b".as_slice(), &memo(0), b"G", &double].concat());
        long.extend(
            [
                b"G".as_slice(),
                &double,
                b"\x86",
                &memo(1),
                b"\x86",
                &memo(2),
            ]
            .concat(),
        );
        short.extend([b"\x8c\x03a.b\x94G".as_slice(), &double, b"G", &double].concat());
        short.extend(b"\x86\x94\x86\x94");
    }
    for mut frame in items {
        frame.extend(b"e.");
        assert_eq!(both_ways(&frame).0.map(|(items, _)| items.len()), Some(3));
        for place in 0..frame.len() {
            for byte in [
                0, 0x7f, 0x86, 0x8c, 0x94, 0xff, b'G', b'X', b'e', b'r', b'.',
            ] {
                let mut changed = frame.clone();
                changed[place] = byte;
                let (relayed, unpickled) = both_ways(&changed);
                if let Some(relayed) = relayed {
                    assert_eq!(Ok(relayed), unpickled, "{}", changed.escape_ascii());
                }
            }
            let (relayed, _) = both_ways(&frame[..place]);
            assert_eq!(relayed, None, "cut at {place}");
        }
    }
}

/// Frames of relays, and what is left of them after a few bytes were changed, taken out or cut off.
fn relayed() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        "[a-z.]{1,12}".prop_map(String::into_bytes),
        "\\PC{0,4}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    let text = (name, 0u8..4).prop_map(|(name, form)| {
        let length = u8::try_from(name.len()).unwrap();
        let before: &[u8] = match form {
            0 => &[b'X', length, 0, 0, 0],
            1 => &[b'T', length, 0, 0, 0],
            2 => &[b'U', length],
            _ => &[0x8c, length],
        };
        [before, &name].concat()
    });
    let double = prop_oneof![any::<u64>(), (0u32..).prop_map(|s| f64::from(s).to_bits())];
    let number = prop_oneof![
        4 => double.prop_map(|bits| [&b"G"[..], &bits.to_be_bytes()].concat()),
        2 => any::<[u8; 4]>().prop_map(|int| [&b"J"[..], &int].concat()),
        1 => any::<[u8; 2]>().prop_map(|int| [&b"M"[..], &int].concat()),
        1 => any::<u8>().prop_map(|int| vec![b'K', int]),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(|int| {
            [&[0x8a, u8::try_from(int.len()).unwrap()], int.as_slice()].concat()
        }),
    ];
    let put = prop::sample::select(vec![&b""[..], b"\x94", b"q\x05", b"r\x06\0\0\0"]);
    let item = (text, put.clone(), number.clone(), number, put).prop_map(
        |(text, put, seconds, value, other)| {
            [&text, put, &seconds, &value, b"\x86", other, b"\x86", other].concat()
        },
    );
    let some = prop_oneof![
        item.clone()
            .prop_map(|item| [&item, b"a".as_slice()].concat()),
        prop::collection::vec(item, 0..6)
            .prop_map(|items| [b"(", items.concat().as_slice(), b"e"].concat()),
    ];
    let before = prop::sample::select(vec![
        &b"]"[..],
        b"\x80\x02]q\0",
        b"\x80\x05\x95\x05\0\0\0\0\0\0\0]\x94",
    ]);
    let whole = (before, prop::collection::vec(some, 0..4))
        .prop_map(|(before, some)| [before, &some.concat(), b"."].concat());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 0..3);
    (whole, changes).prop_map(|(mut frame, changes)| {
        for (place, change, byte) in changes {
            let place = place.index(frame.len());
            match change {
                0 => frame[place] = byte,
                1 => frame.insert(place, byte),
                2 if frame.len() > 1 => drop(frame.remove(place)),
                _ => frame.truncate(place + 1),
            }
        }
        frame
    })
}

/// Opcodes with arguments that are mostly right, so that random pickles get somewhere.
fn opcodes() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"(",
        b"0",
        b"1",
        b"2",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x90",
        b"\x91",
        b"\x8f",
        b"\x85",
        b"\x86",
        b"\x87",
        b"t",
        b"l",
        b"d",
        b"]",
        b")",
        b"}",
        b"q\0",
        b"q\x01",
        b"h\0",
        b"h\x01",
        b"\x94",
        b"p2\n",
        b"g2\n",
        b"r\x03\0\0\0",
        b"j\x03\0\0\0",
        b"N",
        b"\x88",
        b"K\x05",
        b"M\x05\0",
        b"J\xff\xff\xff\xff",
        b"I5\n",
        b"L5L\n",
        b"F1.5\n",
        b"G?\xf0\0\0\0\0\0\0",
        b"X\x01\0\0\0a",
        b"U\x01b",
        b"S'c\\n'\n",
        b"V\\u00e9\n",
        b"\x8a\x01\x01",
        b"C\x011",
        b"\x80\x02",
    ];
    let one = prop_oneof![
        8 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec),
        3 => Just(b"X\x01\0\0\0aK\x01K\x02\x86\x86".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(one, 0..60).prop_map(|ops| ops.concat())
}

proptest! {
    #[test]
    fn any_bytes_stay_within_bounds(
        frame in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            opcodes().prop_map(|ops| [b"](", ops.as_slice(), b"e."].concat()),
            opcodes().prop_map(|ops| [ops.as_slice(), b"."].concat()),
        ]
    ) {
        let (mut machine, mut batch) = (Machine::default(), Batch::default());
        let first = decode(&frame, &mut machine, &mut batch);
        prop_assert!(batch.len() as u64 + batch.refused().total() <= frame.len() as u64);
        prop_assert!(batch.names.len() <= 2 * frame.len());
        let names: Vec<String> = batch.iter().map(|item| item.name.to_owned()).collect();
        prop_assert_eq!(decode(&frame, &mut machine, &mut batch), first, "a used machine differs");
        prop_assert!(batch.iter().map(|item| item.name).eq(names.iter()));
    }

    /// What the quick way reads is what the unpickler reads; the rest it leaves alone.
    #[test]
    fn both_ways_read_the_same(frame in relayed()) {
        let (relayed, unpickled) = both_ways(&frame);
        if let Some(relayed) = relayed {
            prop_assert_eq!(Ok(relayed), unpickled);
        }
    }
}

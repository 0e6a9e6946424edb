//! Payloads written by an encoder of the test's own, both ways; and all the ways to spoil one.

use proptest::prelude::*;

use super::ProtobufError as E;
use super::*;
use crate::wire::Stamp;

/// A key and a number.
fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

/// A key and a double.
fn double(field: u64, value: f64) -> Vec<u8> {
    [&varint(field << 3 | 1)[..], &value.to_bits().to_le_bytes()].concat()
}

/// A key, a length and as many bytes.
fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
    [
        &varint(field << 3 | 2)[..],
        &varint(bytes.len() as u64),
        bytes,
    ]
    .concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = number.to_be_bytes()[7] & 0x7f;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

type Metric = (String, Vec<(u32, f64)>);

/// As protobuf's own encoders do it: what is 0 is left out.
fn encode(metrics: &[Metric]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, points) in metrics {
        let mut metric = bytes(1, name.as_bytes());
        for (timestamp, value) in points {
            let mut point = Vec::new();
            if *timestamp != 0 {
                point.extend(number(1, u64::from(*timestamp)));
            }
            if value.to_bits() != 0 {
                point.extend(double(2, *value));
            }
            metric.extend(bytes(2, &point));
        }
        payload.extend(bytes(1, &metric));
    }
    payload
}

fn decoded(frame: &[u8]) -> Result<Batch, E> {
    let mut batch = Batch::default();
    let answer = decode(frame, &mut batch);
    assert!(answer.is_ok() || batch.is_empty() && batch.refused().total() == 0);
    answer.map(|()| batch)
}

/// Names, timestamps and values of a frame, and how many points were refused.
fn items(frame: &[u8]) -> (Vec<(String, u32, u64)>, u64) {
    let batch = decoded(frame).unwrap();
    let items = batch.iter().map(|item| {
        let Stamp::At(timestamp) = item.stamp else {
            panic!("{item:?}")
        };
        (item.name.to_owned(), timestamp, item.value.to_bits())
    });
    (items.collect(), batch.refused().total())
}

fn wanted(metrics: &[Metric]) -> Vec<(String, u32, u64)> {
    let points = metrics
        .iter()
        .flat_map(|(name, points)| points.iter().map(move |point| (name, point)));
    points
        .filter(|(_, (_, value))| !value.is_nan())
        .map(|(name, (timestamp, value))| (name.clone(), *timestamp, value.to_bits()))
        .collect()
}

#[test]
fn reads_what_pythons_protobuf_writes() {
    // carbon_pb2.Payload(metrics=[Metric(metric='a.b', points=[Point(timestamp=1422797285,
    // value=1.5), Point(timestamp=1)]), Metric(metric='c', points=[Point()])]).SerializeToString()
    let frame = b"\x0a\x1a\x0a\x03\x61\x2e\x62\x12\x0f\x08\xe5\xd3\xb8\xa6\x05\x11\x00\
        \x00\x00\x00\x00\x00\xf8\x3f\x12\x02\x08\x01\x0a\x05\x0a\x01\x63\x12\x00";
    let a = |timestamp, value: f64| ("a.b".to_owned(), timestamp, value.to_bits());
    let all = vec![
        a(1_422_797_285, 1.5),
        a(1, 0.0),
        ("c".to_owned(), 0, 0.0_f64.to_bits()),
    ];
    assert_eq!(items(frame), (all, 0));
    assert_eq!(items(b""), (vec![], 0));
}

#[test]
fn fields_stand_in_any_order_and_the_last_counts() {
    let point = [number(1, 9), double(2, 8.0), number(1, 7), double(2, 2.5)].concat();
    let metric = [
        bytes(2, &point),
        bytes(1, b"wrong\xff"),
        bytes(2, &double(2, 3.0)),
        bytes(1, b"right"),
    ];
    let (found, refused) = items(&bytes(1, &metric.concat()));
    let right = |timestamp, value: f64| ("right".to_owned(), timestamp, value.to_bits());
    assert_eq!((found, refused), (vec![right(7, 2.5), right(0, 3.0)], 0));
}

#[test]
fn a_timestamp_is_the_low_half_of_what_was_sent() {
    let point = bytes(2, &number(1, u64::MAX));
    let (found, _) = items(&bytes(1, &[bytes(1, b"a"), point].concat()));
    // -1 of an int64; a uint32 has no -1, and Python does not take this for now either.
    assert_eq!(found, [("a".to_owned(), u32::MAX, 0)]);
}

#[test]
fn a_metric_is_refused_by_itself() {
    let point = bytes(2, &number(1, 5));
    let frame = [
        bytes(
            1,
            &[bytes(1, b"\xff"), point.clone(), point.clone()].concat(),
        ),
        bytes(1, &[bytes(1, b"good"), point].concat()),
        encode(&[("nan".to_owned(), vec![(1, f64::NAN), (2, 1.0)])]),
    ];
    let batch = decoded(&frame.concat()).unwrap();
    let names: Vec<&str> = batch.iter().map(|item| item.name).collect();
    assert_eq!(names, ["good", "nan"]);
    let refused: Vec<_> = batch.refused().iter().collect();
    assert_eq!(refused, [(Refusal::Nan, 1), (Refusal::Utf8, 2)]);
}

#[test]
fn what_is_no_protobuf_is_refused_whole() {
    let good = encode(&[("good".to_owned(), vec![(1, 1.0)])]);
    let start = good.len();
    let groups = |depth: usize| [vec![0x1b; depth], vec![0x1c; depth]].concat();
    let deep = PROTOBUF_GROUPS_DEPTH_MAX;
    for (bad, error) in [
        (vec![0x0a], E::Truncated { offset: start + 1 }),
        (vec![0x0a, 5, 0x0a], E::Truncated { offset: start + 2 }),
        (vec![0x09, 0, 0], E::Truncated { offset: start + 1 }),
        (vec![0x0d, 0], E::Truncated { offset: start + 1 }),
        (vec![0x08], E::Truncated { offset: start + 1 }),
        (vec![0x80; 11], E::Varint { offset: start }),
        (vec![0x02, 0], E::Key { offset: start }),
        (vec![0x0e], E::Key { offset: start }),
        (vec![0x0f], E::Key { offset: start }),
        (vec![0x80, 0x80, 0x80, 0x80, 0x10], E::Key { offset: start }),
        (vec![0x0c], E::Group { offset: start }),
        (vec![0x0b, 0x14], E::Group { offset: start + 1 }),
        (vec![0x0b], E::Truncated { offset: start + 1 }),
        (
            groups(deep + 1),
            E::Group {
                offset: start + deep,
            },
        ),
        // A message that ends inside a point.
        (
            bytes(1, &bytes(2, &[0x11, 0])),
            E::Truncated { offset: start + 5 },
        ),
    ] {
        let frame = [good.clone(), bad.clone()].concat();
        assert_eq!(decoded(&frame).unwrap_err(), error, "{bad:02x?}");
        assert_eq!(error.counter(), Counter::RefusedProtobuf);
    }
    assert_eq!(decoded(&groups(deep)).unwrap().len(), 0);
}

/// Fields that no message of ours has, of every type.
fn strange() -> impl Strategy<Value = Vec<u8>> {
    let simple = prop_oneof![
        (3_u64..9, any::<u64>()).prop_map(|(field, value)| number(field, value)),
        (3_u64..9, any::<f64>()).prop_map(|(field, value)| double(field, value)),
        (3_u64..9, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(field, content)| bytes(field, &content)),
        (3_u64..9, any::<[u8; 4]>())
            .prop_map(|(field, four)| [&varint(field << 3 | 5)[..], &four].concat()),
        // A known number of another type.
        any::<u64>().prop_map(|value| number(2, value)),
        any::<f64>().prop_map(|value| double(1, value)),
    ];
    simple.prop_recursive(3, 12, 4, |inner| {
        (3_u64..9, prop::collection::vec(inner, 0..4)).prop_map(|(field, inner)| {
            [
                varint(field << 3 | 3),
                inner.concat(),
                varint(field << 3 | 4),
            ]
            .concat()
        })
    })
}

fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let points = prop::collection::vec((any::<u32>(), any::<f64>()), 0..6);
    prop::collection::vec(("\\PC{0,12}", points), 0..6)
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(metrics in metrics()) {
        let (found, refused) = items(&encode(&metrics));
        let points: usize = metrics.iter().map(|(_, points)| points.len()).sum();
        prop_assert_eq!(found.len() as u64 + refused, points as u64);
        prop_assert_eq!(found, wanted(&metrics));
    }

    #[test]
    fn unknown_fields_change_nothing(metrics in metrics(), strange in prop::collection::vec(strange(), 3)) {
        let mut payload = strange[0].clone();
        for (name, points) in &metrics {
            let mut metric = [bytes(1, name.as_bytes()), strange[1].clone()].concat();
            for (timestamp, value) in points {
                let point = [number(1, u64::from(*timestamp)), strange[2].clone(), double(2, *value)];
                // Where a known number has another type, that is an unknown field too.
                metric.extend(bytes(2, &point.concat()));
            }
            payload.extend(bytes(1, &metric));
        }
        prop_assert_eq!(items(&payload).0, wanted(&metrics));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused_or_a_shorter_one(metrics in metrics(), cut in any::<prop::sample::Index>()) {
        let whole = encode(&metrics);
        let frame = &whole[..cut.index(whole.len() + 1)];
        if let Ok(batch) = decoded(frame) {
            let all = wanted(&metrics);
            let (found, _) = items(frame);
            prop_assert!(batch.len() <= all.len());
            prop_assert_eq!(&found[..], &all[..found.len()]);
        }
    }

    #[test]
    fn any_bytes_are_survived(frame in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(batch) = decoded(&frame) {
            prop_assert!(batch.len() * 2 <= frame.len());
        }
    }

    #[test]
    fn a_spoiled_frame_is_survived(
        metrics in metrics(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut frame = encode(&metrics);
        if !frame.is_empty() {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        drop(decoded(&frame));
    }
}

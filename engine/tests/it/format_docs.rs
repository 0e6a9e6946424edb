//! The byte maps of docs/formats against the constants of the code, so that neither can drift.
//! A map is a table whose columns begin with `byte | bytes | type | field`, below a heading of
//! level two that ends with nothing but text; fields must chain without gap and overlap.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use benzene_engine::whisper::{Aggregation, codec};

const WHISPER: &str = include_str!("../../../docs/formats/whisper.md");

/// A row of a byte map.
#[derive(Debug, PartialEq)]
struct Field {
    at: usize,
    bytes: usize,
    kind: String,
    name: String,
    meaning: String,
}

/// The byte map below a heading that begins with `heading`.
fn byte_map(document: &str, heading: &str) -> Vec<Field> {
    let lines = document.lines();
    let section = lines.skip_while(|line| !line.starts_with(&format!("## {heading}")));
    let table = section
        .skip_while(|line| !line.starts_with("| byte | bytes | type | field |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let fields: Vec<Field> = table.map(field).collect();
    assert!(!fields.is_empty(), "no byte map below {heading:?}");
    fields
}

fn field(row: &str) -> Field {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [at, bytes, kind, name, meaning] = cells[..] else {
        panic!("five columns: {row}")
    };
    Field {
        at: at.parse().unwrap(),
        bytes: bytes.parse().unwrap(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        meaning: meaning.to_owned(),
    }
}

fn assert_map(heading: &str, expected: &[(&str, usize)], length: usize) {
    let map = byte_map(WHISPER, heading);
    let found: Vec<(&str, usize)> = map
        .iter()
        .map(|field| (field.name.as_str(), field.at))
        .collect();
    assert_eq!(found, expected, "{heading}");
    let mut end = 0;
    for field in &map {
        assert_eq!(field.at, end, "{heading}: {field:?} follows without a gap");
        let bits: usize = field.kind[1..].parse().unwrap();
        assert_eq!(field.bytes * 8, bits, "{heading}: {field:?}");
        end += field.bytes;
    }
    assert_eq!(end, length, "{heading}");
    let stated = WHISPER.contains(&format!("## {heading}: {length} bytes"));
    assert!(stated, "the heading of {heading} states {length} bytes");
}

#[test]
fn the_whisper_page_and_the_codec_agree() {
    assert_map(
        "Metadata",
        &[
            ("aggregationType", codec::AGGREGATION_AT),
            ("maxRetention", codec::MAX_RETENTION_AT),
            ("xFilesFactor", codec::X_FILES_FACTOR_AT),
            ("archiveCount", codec::ARCHIVE_COUNT_AT),
        ],
        codec::METADATA_BYTES,
    );
    assert_map(
        "Archive info",
        &[
            ("offset", codec::OFFSET_AT),
            ("secondsPerPoint", codec::STEP_AT),
            ("points", codec::POINTS_AT),
        ],
        codec::ARCHIVE_INFO_BYTES,
    );
    assert_map(
        "Point",
        &[
            ("timestamp", codec::TIMESTAMP_AT),
            ("value", codec::VALUE_AT),
        ],
        codec::POINT_BYTES,
    );
}

#[test]
fn the_whisper_page_lists_every_aggregation() {
    let map = byte_map(WHISPER, "Metadata");
    let listed = Aggregation::ALL.map(|method| format!("{} {}", method.id(), method.name()));
    assert_eq!(map[0].meaning, listed.join(", "));
}

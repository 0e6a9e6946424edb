//! The byte maps of docs/formats against the constants of the code, so that neither can drift.
//! A map is a table whose columns begin with `byte | bytes | type | field`, below a heading of
//! level two that ends with nothing but text; fields must chain without gap and overlap.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use benzene_engine::journal::{block, entry};
use benzene_engine::limits::JOURNAL_PAYLOAD_BYTES_MAX;
use benzene_engine::whisper::{Aggregation, codec};

const JOURNAL: &str = include_str!("../../../docs/formats/journal.md");
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

/// The rows of the first table of the journal's page that begins with this heading, cell by cell.
fn journal_table(heading: &str) -> Vec<Vec<&'static str>> {
    let table = JOURNAL.lines().skip_while(|line| *line != heading);
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    let rows: Vec<Vec<&str>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

#[test]
fn the_journal_page_and_its_heads_agree() {
    let fields = [
        ("magic", block::MAGIC_AT),
        ("checksum", block::CHECKSUM_AT),
        ("payload_bytes", block::PAYLOAD_BYTES_AT),
        ("version", block::VERSION_AT),
        ("kind", block::KIND_AT),
        ("shard", block::SHARD_AT),
        ("epoch", block::EPOCH_AT),
        ("segment", block::SEGMENT_AT),
        ("block", block::BLOCK_AT),
        ("generation", block::GENERATION_AT),
        ("serial", block::SERIAL_AT),
        ("received_ms", block::RECEIVED_MS_AT),
        ("entries", block::ENTRIES_AT),
        ("retired", block::RETIRED_AT),
        ("epochs_done", block::EPOCHS_DONE_AT),
        ("mount", block::MOUNT_AT),
    ];
    let rows = journal_table("| offset | bytes | field | meaning |");
    let mut end = 0;
    for (row, (name, at)) in rows.iter().zip(fields) {
        assert_eq!((row[2], end), (name, at), "{row:?}");
        assert_eq!(row[0].parse(), Ok(at), "{row:?}");
        end += row[1].parse::<usize>().unwrap();
    }
    assert_eq!((rows.len(), end), (fields.len(), block::HEAD_BYTES));
    let meaning = |field: &str| rows.iter().find(|row| row[2] == field).unwrap()[3];
    let magic = str::from_utf8(&block::MAGIC).unwrap();
    assert_eq!(meaning("magic"), format!("`{magic}`"));
    assert_eq!(meaning("version"), block::VERSION.to_string());
    let [points, names] = block::Kind::ALL.map(block::Kind::number);
    assert_eq!(meaning("kind"), format!("{points} points, {names} names"));
    let longest = format!(
        "at most {} MiB in any version",
        JOURNAL_PAYLOAD_BYTES_MAX >> 20
    );
    assert!(meaning("payload_bytes").ends_with(&longest), "{longest}");
    for stated in [
        format!("each at a multiple of {} bytes", block::ALIGNMENT),
        format!("everything from offset {}", block::PAYLOAD_BYTES_AT),
    ] {
        assert!(JOURNAL.contains(&stated), "{stated}");
    }
}

#[test]
fn the_journal_page_and_its_entries_agree() {
    let bits: Vec<_> = journal_table("| bits of the tag | meaning |")
        .iter()
        .map(|row| row[0])
        .collect();
    assert_eq!(
        bits,
        [
            format!("{} to {}", entry::VALUE_BITS.0, entry::VALUE_BITS.1),
            format!("{} and {}", entry::ID_BITS.0, entry::ID_BITS.1),
            format!(
                "{} and {}",
                entry::TIMESTAMP_BITS.0,
                entry::TIMESTAMP_BITS.1
            ),
        ]
    );
    let tags = [
        (entry::WRITTEN, "Z, V", "*written*:"),
        (entry::WRITTEN_PART, "Z, V, `u32`", "*written in part*:"),
        (entry::AGE, "V", "*age*:"),
        (entry::MARK, "V", "*mark*:"),
        (entry::DATA_SYNCED, "V", "*data synced*:"),
        (entry::COPY, "V", "*copy*:"),
    ];
    let rows = journal_table("| tag | fields | meaning |");
    assert_eq!(rows.len(), tags.len());
    for (row, (tag, fields, meaning)) in rows.iter().zip(tags) {
        assert_eq!((row[0], row[1]), (&*format!("0x{tag:02X}"), fields));
        assert!(row[2].starts_with(meaning), "{row:?}");
        assert_eq!(tag & 0xf, entry::CONTROL, "{row:?}");
    }
}

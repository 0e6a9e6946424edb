//! Streams of the test's own packing, with and without flushes, cut and spoiled anywhere; how they are
//! split never changes what they say, and a bomb costs no more than it is allowed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;

/// A member around deflated data.
fn member(flags: u8, optional: &[u8], deflated: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut check = Hasher::new();
    check.update(plain);
    let length = u32::try_from(plain.len()).unwrap();
    [
        &[0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3],
        optional,
        deflated,
        &check.finalize().to_le_bytes(),
        &length.to_le_bytes(),
    ]
    .concat()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    member(0, &[], &compress_to_vec(plain, 6), plain)
}

/// What comes out of a stream that comes in pieces of these lengths, again and again, and how the
/// stream stands.
fn unpacked(bytes: &[u8], pieces: &[usize], allowance: usize) -> (Vec<u8>, Gunzip) {
    let (mut gunzip, mut out, mut rest) = (Gunzip::default(), Vec::new(), bytes);
    for piece in pieces.iter().cycle() {
        let (input, more) = rest.split_at((*piece).min(rest.len()));
        let mut at = 0;
        while gunzip.error().is_none() && (at < input.len() || gunzip.has_more()) {
            let before = (at, out.len());
            let cost = gunzip.read(input, &mut at, allowance);
            let most = allowance + GZIP_PIECE_BYTES * GZIP_INPUT_COST + GZIP_MEMBER_COST;
            assert!(cost <= most, "{cost} of {allowance}");
            assert!(gunzip.plain().len() <= allowance);
            out.extend_from_slice(gunzip.plain());
            // What was full may turn out to need input, too.
            let over = at == input.len() && !gunzip.has_more();
            let moved = (at, out.len()) != before || over || gunzip.error().is_some();
            assert!(moved, "it stands still at {before:?}");
        }
        rest = more;
        if rest.is_empty() || gunzip.error().is_some() {
            break;
        }
    }
    (out, gunzip)
}

#[test]
fn every_form_of_header_is_passed_over() {
    let plain = b"a.b 1 2\n";
    let deflated = compress_to_vec(plain, 6);
    let forms: [(u8, &[u8]); 6] = [
        (0, b""),
        (1, b""),
        (FLAG_NAME, b"name\0"),
        (FLAG_EXTRA, b"\x03\0abc"),
        (FLAG_CRC, b"\x12\x34"),
        (
            FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT | FLAG_CRC,
            b"\0\0n\0comment\0\0\0",
        ),
    ];
    let mut all = Vec::new();
    for (flags, optional) in forms {
        let stream = member(flags, optional, &deflated, plain);
        for cut in 2..10 + optional.len() {
            let (_, gunzip) = unpacked(&stream[..cut], &[1], 100);
            assert!(gunzip.is_in_header(), "{cut} bytes of {flags}");
        }
        let (found, gunzip) = unpacked(&stream, &[1], 100);
        assert_eq!(
            (found.as_slice(), gunzip.error()),
            (&plain[..], None),
            "{flags}"
        );
        assert!(!gunzip.is_in_header());
        all.extend(stream);
    }
    let (found, gunzip) = unpacked(&all, &[7], 100);
    assert_eq!((found, gunzip.error()), (plain.repeat(6), None));
}

#[test]
fn what_is_broken_is_told_and_what_came_before_is_kept() {
    let plain = b"a.b 1 2\n".repeat(50);
    let (stream, deflated) = (gzip(&plain), compress_to_vec(&plain, 6));
    let spoiled = |at: usize| {
        let mut stream = stream.clone();
        stream[at] ^= 0x55;
        unpacked(&stream, &[64], 1000)
    };
    for (at, error) in [
        (0, GzipError::Header),
        (1, GzipError::Header),
        (2, GzipError::Header),
        (stream.len() - 8, GzipError::Check),
        (stream.len() - 1, GzipError::Check),
    ] {
        let (found, gunzip) = spoiled(at);
        assert_eq!(gunzip.error(), Some(error), "byte {at}");
        assert_eq!(error.counter(), Counter::RefusedGzip);
        let kept = if error == GzipError::Header {
            0
        } else {
            plain.len()
        };
        assert_eq!(found.len(), kept, "byte {at}");
    }
    let mut reserved = stream.clone();
    reserved[3] = 0x20;
    let (_, gunzip) = unpacked(&reserved, &[64], 1000);
    assert_eq!(gunzip.error(), Some(GzipError::Header));
    // Whole blocks, then one of a type that there is not.
    let blocks = [
        &member(0, &[], &flushed(&[&plain]), &plain)[..10],
        &flushed(&[&plain]),
        &[0xff; 20],
    ];
    let (found, gunzip) = unpacked(&blocks.concat(), &[10_000], 10_000);
    assert_eq!(
        (found, gunzip.error()),
        (plain.clone(), Some(GzipError::Data))
    );
    // Behind a member comes what is none.
    let more = [stream.clone(), b"a.b 1 2\n".to_vec()].concat();
    let (found, gunzip) = unpacked(&more, &[10_000], 10_000);
    assert_eq!((found, gunzip.error()), (plain, Some(GzipError::Header)));
    assert!(deflated.len() < stream.len());
}

/// Deflated pieces without an end, each flushed.
fn flushed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        let length = u16::try_from(piece.len()).unwrap();
        // A stored block, which begins and ends with a byte.
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// Python's zlib packs lines and flushes behind each, in every way that there is: each line is there
/// once its bytes are. carbon-c-relay flushes with Z_PARTIAL_FLUSH.
#[test]
fn what_was_flushed_is_there_at_once() {
    const SCRIPT: &str = "
import sys, zlib
for flush in (zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH):
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    out = b''
    for index in range(500):
        out += packer.compress(b'flush.metric%d %d 1700000000\\n' % (index * 7 % 13, index))
        part = packer.flush(flush)
        print((out + part).hex())
        out = b''
    print(packer.flush().hex())
";
    let python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdout(Stdio::piped())
        .output()
        .expect("this test needs python3 on the PATH");
    assert!(python.status.success(), "python3 failed");
    let text = String::from_utf8(python.stdout).unwrap();
    let packed: Vec<Vec<u8>> = text.lines().map(unhex).collect();
    assert_eq!(packed.len(), 3 * 501);
    for stream in packed.chunks(501) {
        let mut gunzip = Gunzip::default();
        for (index, part) in stream.iter().enumerate() {
            let (mut at, mut found) = (0, Vec::new());
            while at < part.len() || gunzip.has_more() {
                gunzip.read(part, &mut at, 20);
                found.extend_from_slice(gunzip.plain());
            }
            let mut wanted = Vec::new();
            if index < 500 {
                writeln!(wanted, "flush.metric{} {index} 1700000000", index * 7 % 13).unwrap();
            }
            assert_eq!(found, wanted, "part {index}");
        }
        assert_eq!((gunzip.error(), gunzip.is_in_header()), (None, false));
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn a_bomb_comes_in_small_pieces() {
    let plain = vec![b'a'; 10 << 20];
    let bomb = gzip(&plain);
    assert!(bomb.len() * 500 < plain.len());
    let (found, gunzip) = unpacked(&bomb, &[usize::MAX / 2], 4096);
    assert!(found == plain);
    assert_eq!(gunzip.error(), None);
    // Ten thousand members of nothing: paid for, one by one.
    let members = gzip(b"").repeat(10_000);
    let (mut gunzip, mut at, mut reads) = (Gunzip::default(), 0, 0);
    while at < members.len() {
        gunzip.read(&members, &mut at, 4096);
        reads += 1;
    }
    assert!(reads > 2000, "{reads} reads");
}

#[test]
fn a_stream_takes_what_it_is_said_to() {
    let bytes = size_of::<Gunzip>() + size_of::<DecompressorOxide>() + GZIP_WINDOW_BYTES;
    assert!(
        bytes <= benzene_engine::limits::GZIP_STREAM_BYTES,
        "{bytes}"
    );
    assert!(
        bytes * 5 > benzene_engine::limits::GZIP_STREAM_BYTES * 4,
        "{bytes}"
    );
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(
            "[a-c]{1,3}\\.[a-z]{1,9} [0-9]{1,4} 17000000[0-9]{2}\n",
            0..300
        )
        .prop_map(|lines| lines.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..3000),
    ]
}

proptest! {
    #[test]
    fn splitting_changes_nothing(
        members in prop::collection::vec((texts(), 0_u8..10), 1..4),
        pieces in prop::collection::vec(1_usize..500, 1..5),
        allowance in 1_usize..5000,
    ) {
        let mut stream = Vec::new();
        let mut wanted = Vec::new();
        for (plain, level) in members {
            stream.extend(member(0, &[], &compress_to_vec(&plain, level), &plain));
            wanted.extend(plain);
        }
        let (found, gunzip) = unpacked(&stream, &pieces, allowance);
        prop_assert_eq!(gunzip.error(), None);
        prop_assert!(found == wanted);
    }

    #[test]
    fn a_cut_or_spoiled_stream_is_survived(
        plain in texts(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
        pieces in prop::collection::vec(1_usize..500, 1..5),
    ) {
        let mut stream = gzip(&plain);
        let whole = &stream[..cut.index(stream.len() + 1)];
        let (found, gunzip) = unpacked(whole, &pieces, 100);
        prop_assert_eq!(gunzip.error(), None);
        prop_assert!(plain.starts_with(&found));
        let at = at.index(stream.len());
        stream[at] = byte;
        unpacked(&stream, &pieces, 100);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let stream = [&gzip(b"")[..10], &bytes].concat();
        unpacked(&stream, &[100], 64);
    }
}

//! What clients send that compress their lines: good members by hand, and parts to build bad ones of.

use std::io::Write;
use std::sync::OnceLock;

use crc32fast::Hasher;
use miniz_oxide::deflate::compress_to_vec;

use super::{Client, Goodbye, Ports, connect, expect_end, leave};

impl Client {
    /// Compressed lines, some of them wrong, in members one behind the other, and in a stream that only
    /// flushes and never ends.
    pub(super) fn packed_lines(&mut self, ports: Ports) {
        let mut bytes = Vec::new();
        for round in 0..5 {
            let mut text = self.good_lines(&format!("packed{round}"), 20).into_bytes();
            text.extend(b"no three\n\xff\n\n");
            bytes.extend(gzip(&text));
        }
        let text = self.good_lines("flushed", 20);
        bytes.extend(HEADER);
        // A line lies in two blocks.
        let (first, second) = text.as_bytes().split_at(100);
        bytes.extend([block(first), block(second)].concat());
        self.expected.refuse("refused.fields", 5);
        self.expected.refuse("refused.utf8", 5);
        let mut socket = connect(ports.line);
        self.send(&mut socket, &bytes, 1 + self.number % 3 * 40);
        leave(socket, Goodbye::HalfClose);
    }

    /// Good compressed lines, and behind them what breaks the stream.
    pub(super) fn broken_packed(&mut self, ports: Ports) {
        let text = self.good_lines("before", 20);
        let whole = gzip(text.as_bytes());
        let open = [&HEADER[..], &block(text.as_bytes())].concat();
        let bytes = match self.number / 26 % 4 {
            // A block of a type that there is not.
            0 => [&open[..], &[0xff; 9]].concat(),
            // A wrong check.
            1 => [&whole[..whole.len() - 1], &[9]].concat(),
            // Lines where a member should begin.
            2 => [&whole[..], b"hostile.never 1 1\n"].concat(),
            // Bytes that are neither header nor line, at once.
            _ => [&whole[..], &[0x1f, 0x8b, 9], &[0; 50]].concat(),
        };
        self.expected.refuse("refused.gzip", 1);
        let mut socket = connect(ports.line);
        // At once: it may be closed before the last byte is read.
        socket.write_all(&bytes).unwrap();
        expect_end(socket);
    }

    /// Few bytes that unpack to many: one endless line, then very many empty ones.
    pub(super) fn packed_bomb(&mut self, ports: Ports) {
        static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
        let bomb = BOMB.get_or_init(|| {
            let (endless, empty) = (gzip(&vec![b'x'; 2 << 20]), gzip(&vec![b'\n'; 2 << 20]));
            [endless, empty, gzip(b"").repeat(5000)].concat()
        });
        let bytes = [
            gzip(self.good_lines("before", 2).as_bytes()),
            bomb.clone(),
            gzip(self.good_lines("after", 2).as_bytes()),
        ];
        self.expected.refuse("refused.lineLength", 1);
        let mut socket = connect(ports.line);
        self.send(&mut socket, &bytes.concat(), 5000);
        leave(socket, Goodbye::HalfClose);
    }

    /// Cut inside a header, or inside a line; and plain lines whose first byte is that of a header.
    pub(super) fn almost_packed(&mut self, ports: Ports) {
        let text = self.good_lines("almost", 3);
        let bytes = match self.number / 26 % 4 {
            0 => HEADER[..7].to_vec(),
            1 => [&HEADER[..], &block(b"hostile.never 1")].concat(),
            2 => vec![0x1f],
            // Python takes 0x1f for white space.
            _ => [b"\x1f", text.as_bytes(), b"\x1fhostile.never"].concat(),
        };
        if self.number / 26 % 4 != 3 {
            self.expected.points.clear();
        }
        self.expected.refuse("refused.unfinished", 1);
        let mut socket = connect(ports.line);
        self.send(&mut socket, &bytes, 1);
        leave(socket, Goodbye::HalfClose);
    }
}

/// The header that every member begins with.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// A whole member.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut check = Hasher::new();
    check.update(plain);
    let length = u32::try_from(plain.len()).unwrap();
    let trailer = (u64::from(length) << 32 | u64::from(check.finalize())).to_be_bytes();
    let trailer = trailer.iter().rev().copied().collect();
    [HEADER.to_vec(), compress_to_vec(plain, 6), trailer].concat()
}

/// A block that stands as it is, ends with a byte, and is not the last: as after a flush.
pub(crate) fn block(plain: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(plain.len()).unwrap().to_be_bytes();
    [&[0, low, high, !low, !high], plain].concat()
}

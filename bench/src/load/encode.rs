//! Bytes on the wire, as senders make them: lines, and pickle frames as Python's pickler writes
//! them at protocol 2, which is what carbon's own client sends.
//! Points are appended one after the other to the caller's buffer; no allocation per point.
//! Invariant: where `is_whole`, everything in the buffer can be sent as it stands.

/// Items between MARK and APPENDS in Python's pickler; a longer list is several such groups.
const PICKLE_GROUP: usize = 1000;

/// One point as text and number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: u32,
    pub(crate) timestamp: u32,
}

/// Appends points in one of the two forms.
#[derive(Debug)]
pub(crate) enum Encoder {
    Line(Line),
    Pickle(Pickle),
}

impl Encoder {
    pub(crate) fn line() -> Self {
        Self::Line(Line::default())
    }

    /// Frames of `batch` points each.
    pub(crate) fn pickle(batch: usize) -> Self {
        assert!(batch > 0, "a frame of no points");
        Self::Pickle(Pickle {
            batch,
            ..Pickle::default()
        })
    }

    /// Appends one point.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, sample: Sample<'_>) {
        match self {
            Self::Line(line) => line.push(out, sample),
            Self::Pickle(pickle) => pickle.push(out, sample),
        }
    }

    /// Ends what is begun: the last frame may have fewer points.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Line(_) => {}
            Self::Pickle(pickle) => pickle.close_frame(out),
        }
    }

    /// Whether no frame is open.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Line(_) => true,
            Self::Pickle(pickle) => pickle.points == 0,
        }
    }
}

/// `name value timestamp`, ended by a newline. Keeps the last timestamp's text: it changes once
/// a round.
#[derive(Debug, Default)]
pub(crate) struct Line {
    tail: Vec<u8>,
    tail_timestamp: u32,
}

impl Line {
    fn push(&mut self, out: &mut Vec<u8>, sample: Sample<'_>) {
        if self.tail.is_empty() || self.tail_timestamp != sample.timestamp {
            self.tail = format!(" {}\n", sample.timestamp).into_bytes();
            self.tail_timestamp = sample.timestamp;
        }
        out.extend_from_slice(sample.name);
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(sample.value).as_bytes());
        out.extend_from_slice(&self.tail);
    }
}

/// `pickle.dumps([(name, (timestamp, value)), ...], 2)` behind its length as four bytes,
/// big-endian. Timestamp and value are floats, as carbon's relay sends them.
#[derive(Debug, Default)]
pub(crate) struct Pickle {
    batch: usize,
    points: usize,
    /// Offset of the open frame's length in the buffer.
    frame_at: usize,
    /// Offset of the open group's MARK.
    mark_at: usize,
    group: usize,
    /// The pickler remembers every object it writes under the next number.
    memo: u32,
}

impl Pickle {
    fn push(&mut self, out: &mut Vec<u8>, sample: Sample<'_>) {
        if self.points == 0 {
            self.frame_at = out.len();
            self.memo = 0;
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(b"\x80\x02]");
            self.remember(out);
        }
        if self.group == 0 {
            self.mark_at = out.len();
            out.push(b'(');
        }
        self.item(out, sample);
        self.group += 1;
        self.points += 1;
        if self.group == PICKLE_GROUP {
            self.close_group(out);
        }
        if self.points == self.batch {
            self.close_frame(out);
        }
    }

    fn item(&mut self, out: &mut Vec<u8>, sample: Sample<'_>) {
        let name_bytes = u32::try_from(sample.name.len())
            .unwrap_or_else(|_| unreachable!("names are shorter than a prefix and 40 bytes"));
        out.push(b'X');
        out.extend_from_slice(&name_bytes.to_le_bytes());
        out.extend_from_slice(sample.name);
        self.remember(out);
        for number in [sample.timestamp, sample.value] {
            out.push(b'G');
            out.extend_from_slice(&f64::from(number).to_be_bytes());
        }
        out.push(0x86);
        self.remember(out);
        out.push(0x86);
        self.remember(out);
    }

    /// BINPUT, or LONG_BINPUT from 256 on.
    fn remember(&mut self, out: &mut Vec<u8>) {
        if let Ok(short) = u8::try_from(self.memo) {
            out.extend_from_slice(&[b'q', short]);
        } else {
            out.push(b'r');
            out.extend_from_slice(&self.memo.to_le_bytes());
        }
        self.memo += 1;
    }

    /// APPENDS; a list of one has APPEND and no MARK.
    fn close_group(&mut self, out: &mut Vec<u8>) {
        if self.group == 0 {
            return;
        }
        if self.points == 1 {
            out.remove(self.mark_at);
            out.push(b'a');
        } else {
            out.push(b'e');
        }
        self.group = 0;
    }

    fn close_frame(&mut self, out: &mut Vec<u8>) {
        if self.points == 0 {
            return;
        }
        self.close_group(out);
        out.push(b'.');
        let body_at = self.frame_at + 4;
        let body_bytes = u32::try_from(out.len() - body_at)
            .unwrap_or_else(|_| unreachable!("a frame of {} points passes 4 GiB", self.points));
        out[self.frame_at..body_at].copy_from_slice(&body_bytes.to_be_bytes());
        self.points = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn sample(name: &str, value: u32, timestamp: u32) -> Sample<'_> {
        Sample {
            name: name.as_bytes(),
            value,
            timestamp,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn lines_carry_the_timestamp_of_their_own_point() {
        let mut out = Vec::new();
        let mut encoder = Encoder::line();
        for (value, timestamp) in [(0, 10), (999_999, 10), (5, 20)] {
            encoder.push(&mut out, sample("a.b", value, timestamp));
            assert!(encoder.is_whole());
        }
        encoder.finish(&mut out);
        assert_eq!(out, b"a.b 0 10\na.b 999999 10\na.b 5 20\n");
    }

    /// Expected bytes, Python 3.11: the length of, and
    /// `pickle.dumps([("a.b", (10.0, 1.0)), ("a.c", (10.0, 2.0))], 2)`.
    #[test]
    fn a_frame_is_what_python_writes() {
        let mut out = Vec::new();
        let mut encoder = Encoder::pickle(2);
        encoder.push(&mut out, sample("a.b", 1, 10));
        assert!(!encoder.is_whole());
        encoder.push(&mut out, sample("a.c", 2, 10));
        assert!(encoder.is_whole());
        encoder.finish(&mut out);
        assert_eq!(
            hex(&out),
            "0000004c80025d7100285803000000612e627101474024000000000000473ff0000000000000867102\
             8671035803000000612e637104474024000000000000474000000000000000867105867106652e"
        );
    }

    #[test]
    fn a_list_is_cut_into_groups_as_python_cuts_it() {
        let mut out = Vec::new();
        let mut encoder = Encoder::pickle(PICKLE_GROUP + 1);
        for _ in 0..=PICKLE_GROUP {
            encoder.push(&mut out, sample("a.b", 1, 10));
        }
        assert!(encoder.is_whole());
        let item_bytes = 8 + 2 * 9 + 2 + 3 * 5;
        let last_group = &out[out.len() - (1 + item_bytes + 2)..];
        assert!(last_group.starts_with(b"(X\x03\0\0\0a.b") && last_group.ends_with(b"e."));
    }

    /// Expected bytes, Python 3.11: the length of, and `pickle.dumps([("a.b", (10.0, 1.0))], 2)`.
    #[test]
    fn the_last_frame_may_be_short_and_a_single_item_has_no_mark() {
        let mut out = Vec::new();
        let mut encoder = Encoder::pickle(500);
        encoder.push(&mut out, sample("a.b", 1, 10));
        encoder.finish(&mut out);
        assert!(encoder.is_whole());
        assert_eq!(
            hex(&out),
            "0000002980025d71005803000000612e627101474024000000000000473ff0000000000000867102\
             867103612e"
        );
    }
}

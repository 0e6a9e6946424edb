//! The line protocol: `metric value timestamp`, one point a line, as carbon reads it.
//! `Splitter` cuts a TCP stream into lines and reads them, `datagram_lines` cuts a UDP datagram,
//! `parse` reads a line. The usual line is cut and read in one pass (`usual`), every other one is
//! cut first and then read by Python's rules (`exact`).
//! A line that lies whole in the receive buffer is never copied; only the unfinished tail of a
//! buffer is kept, at most `LINE_BYTES_MAX`.
//! Python closes the connection for a line that is too long, not UTF-8, or whose timestamp is not
//! finite; here each costs its own line and no other. Empty lines (also of a lone carriage
//! return) are passed over in silence: senders write them as keep-alives, and they hold no point
//! that could be refused. Lines of other whitespace are refused like any line without three fields.

use std::num::NonZero;

use benzene_engine::limits::{LINE_BYTES_MAX, LINE_PENDING_BYTES_KEPT};
use memchr::memchr;

use super::window::Window;
use super::{Item, Refusal, Stamp, number, word};

/// Reads one line, given without its newline; a carriage return at its end is whitespace.
pub fn parse(line: &[u8]) -> Result<Item<'_>, Refusal> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Refusal::LineLength);
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(Refusal::Utf8);
    };
    match usual(text) {
        Some((item, length)) if length == text.len() => Ok(item),
        Some(_) | None => exact(text),
    }
}

/// Lines of a datagram, cut wherever Python's str.splitlines() cuts. The last line needs no
/// newline. Python refuses a datagram that is not UTF-8; here only the lines that are not.
pub fn datagram_lines(datagram: &[u8]) -> DatagramLines<'_> {
    DatagramLines { rest: datagram }
}

/// Cuts a byte stream into lines, one buffer after the other.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The start of a line whose end has not come, or the line last handed out if it began there.
    pending: Vec<u8>,
    /// The line under way was refused for its length: pass over what is left of it.
    skipping: bool,
    last: Last,
}

/// Where the line lies that was handed out last.
#[derive(Debug, Default)]
enum Last {
    #[default]
    Nowhere,
    Input {
        start: usize,
    },
    Pending,
    /// In `pending`, and to be handed out again.
    PutBack,
}

impl Splitter {
    /// True where the next byte of input begins a line, so that a caller who knows what it will be
    /// may read it by himself (`known`).
    #[inline]
    pub fn is_between_lines(&self) -> bool {
        self.pending.is_empty() && !self.skipping
    }

    /// The point of the next complete line of `input`; otherwise as `next`.
    #[inline]
    pub fn next_item<'a, 'i: 'a>(
        &'a mut self,
        input: &mut Window<'i>,
        at: &mut usize,
    ) -> Option<Result<Item<'a>, Refusal>> {
        if self.pending.is_empty()
            && !self.skipping
            && let text = input.text_from(*at)
            && let Some((item, length)) = usual(text)
            && text.as_bytes()[length - 1] == b'\n'
        {
            self.last = Last::Input { start: *at };
            *at += length;
            return Some(Ok(item));
        }
        Some(self.next(input.bytes(), at)?.and_then(parse))
    }

    /// The next complete line of `input` from `at` on, without its newline; moves `at` past it.
    /// `None` when there is none: then all of `input` is used up and its unfinished tail is kept
    /// here. The caller may stop after any line, keep `input` and `at`, and go on later.
    /// A line that is too long is reported once, as soon as that is known.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Option<Result<&'a [u8], Refusal>> {
        assert!(*at <= input.len(), "at {at} of {} bytes", input.len());
        match std::mem::take(&mut self.last) {
            Last::PutBack => {
                self.last = Last::Pending;
                return Some(Ok(&self.pending));
            }
            Last::Pending => self.forget_pending(),
            Last::Nowhere | Last::Input { .. } => {}
        }
        loop {
            let start = *at;
            let rest = &input[start..];
            let Some(length) = memchr(b'\n', rest) else {
                *at = input.len();
                return self.keep(rest).err().map(Err);
            };
            *at += length + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let line = &rest[..length];
            if self.pending.len() + line.len() > LINE_BYTES_MAX {
                self.forget_pending();
                return Some(Err(Refusal::LineLength));
            }
            if self.pending.is_empty() {
                if is_empty(line) {
                    continue;
                }
                self.last = Last::Input { start };
                return Some(Ok(line));
            }
            self.pending.extend_from_slice(line);
            if is_empty(&self.pending) {
                self.forget_pending();
                continue;
            }
            self.last = Last::Pending;
            return Some(Ok(&self.pending));
        }
    }

    /// The line that was read or refused last, of the `input` that `next` was given; empty where it was
    /// too long to be kept.
    pub fn last_line<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self.last {
            Last::Input { start } => {
                let rest = &input[start..];
                &rest[..memchr(b'\n', rest).unwrap_or(rest.len())]
            }
            Last::Pending | Last::PutBack => &self.pending,
            Last::Nowhere => b"",
        }
    }

    /// Takes back the line that `next` handed out last, for a caller that has no room for its
    /// point: the next call, with the same `input` and `at`, hands it out again.
    pub fn put_back(&mut self, at: &mut usize) {
        match std::mem::take(&mut self.last) {
            Last::Input { start } => *at = start,
            Last::Pending => self.last = Last::PutBack,
            Last::Nowhere | Last::PutBack => panic!("no line was handed out since the last one"),
        }
    }

    /// True where the next call hands the last line out again, whatever its input.
    pub fn has_put_back(&self) -> bool {
        matches!(self.last, Last::PutBack)
    }

    /// Ends the stream. Carbon drops a last line without a newline; here that is said.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let unfinished = match std::mem::take(&mut self.last) {
            Last::Pending => false,
            Last::Nowhere | Last::Input { .. } | Last::PutBack => !is_empty(&self.pending),
        };
        *self = Self::default();
        if unfinished {
            return Err(Refusal::Unfinished);
        }
        Ok(())
    }

    /// Bytes of memory held for an unfinished line; what is kept between lines is not counted.
    pub fn pending_bytes(&self) -> usize {
        if self.pending.is_empty() {
            return 0;
        }
        self.pending.capacity()
    }

    /// Keeps the tail of a buffer, unless its line is too long already.
    fn keep(&mut self, tail: &[u8]) -> Result<(), Refusal> {
        if self.skipping {
            return Ok(());
        }
        if self.pending.len() + tail.len() > LINE_BYTES_MAX {
            self.skipping = true;
            self.forget_pending();
            return Err(Refusal::LineLength);
        }
        self.pending.extend_from_slice(tail);
        Ok(())
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        if self.pending.capacity() > LINE_PENDING_BYTES_KEPT {
            self.pending = Vec::new();
        }
    }
}

/// The lines of one datagram; see `datagram_lines`.
#[derive(Clone, Debug)]
pub struct DatagramLines<'a> {
    rest: &'a [u8],
}

impl<'a> DatagramLines<'a> {
    /// What no line was cut from yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for DatagramLines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (end, next) = line_end(self.rest);
            let line = &self.rest[..end];
            self.rest = &self.rest[next..];
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

/// Where the first line of a datagram ends, and where the next begins.
fn line_end(bytes: &[u8]) -> (usize, usize) {
    let mut from = 0;
    while let Some(skip) = bytes[from..].iter().position(|b| *b < 0x20 || *b >= 0x80) {
        let at = from + skip;
        let width = match &bytes[at..] {
            [b'\n' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1e, ..] => 1,
            [0xc2, 0x85, ..] => 2,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            _ => 0,
        };
        if width > 0 {
            return (at, at + width);
        }
        from = at + 1;
    }
    (bytes.len(), bytes.len())
}

fn is_empty(line: &[u8]) -> bool {
    matches!(line, [] | [b'\r'])
}

/// The usual line: a visible ASCII name, single spaces, a plain number, whole seconds, and a line
/// end or the end of the text, which counts into the length. `None` for every other line, right or
/// wrong.
#[inline]
fn usual(text: &str) -> Option<(Item<'_>, usize)> {
    let bytes = text.as_bytes();
    let name_end = visible(bytes)?;
    // A clock made for one line would cost more than it saves: reading back what was just written
    // in another width waits until all earlier writes have left the processor.
    let (value, seconds, length) = numbers(&bytes[name_end + 1..], number::ten_digits)?;
    let item = Item {
        name: &text[..name_end],
        stamp: Stamp::At(seconds),
        value,
    };
    Some((item, name_end + 1 + length))
}

/// The seconds of the line before, as text and as number: most lines have the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    text: [u8; 10],
    seconds: u32,
}

impl Default for Clock {
    /// As behind a line of the second 0: text and number are those of one time always.
    fn default() -> Self {
        Self {
            text: *b"0000000000",
            seconds: 0,
        }
    }
}

impl Clock {
    #[inline]
    fn read(&mut self, rest: &[u8]) -> Option<u32> {
        let text = rest.first_chunk()?;
        if *text != self.text {
            let seconds = number::ten_digits(text)?;
            *self = Self {
                text: *text,
                seconds,
            };
        }
        Some(self.seconds)
    }
}

/// Value, seconds and length of the usual line at the start of `bytes`, if its name is `name`,
/// which must be one that a line can have. `None` also for some lines that have that name.
#[inline]
pub fn known(bytes: &[u8], name: &[u8], clock: &mut Clock) -> Option<(f64, u32, usize)> {
    if !word::begins_with(bytes, name) {
        return None;
    }
    let [b' ', rest @ ..] = &bytes[name.len()..] else {
        return None;
    };
    let (value, seconds, length) = numbers(rest, |rest| clock.read(rest))?;
    let length = name.len() + 1 + length;
    let is_line = bytes[length - 1] == b'\n' && length <= LINE_BYTES_MAX;
    is_line.then_some((value, seconds, length))
}

/// The names of the lines of `bytes`, of each what stands before its first space, and where the
/// line ends; for those who want to know what is coming. Nothing is checked.
pub fn names(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &bytes[at..];
        let name = &rest[..memchr(b' ', rest)?];
        at += name.len() + memchr(b'\n', &rest[name.len()..])? + 1;
        Some((name, at))
    })
}

/// What follows the name and a space in the usual line: a plain number, a space, whole seconds,
/// and a line end or the end of the text, which counts into the length. `ten_digits` reads seconds
/// of ten digits, as all are from 2001 to 2286.
#[inline]
fn numbers(
    rest: &[u8],
    ten_digits: impl FnOnce(&[u8]) -> Option<u32>,
) -> Option<(f64, u32, usize)> {
    let all = rest.len();
    let (value, value_length) = number::short(rest).or_else(|| any_value(rest))?;
    let rest = &rest[value_length.get() + 1..];
    let (seconds, rest) = match ten_digits(rest) {
        Some(seconds) => (seconds, &rest[10..]),
        None => any_digits(rest)?,
    };
    let rest = match rest {
        [] | [b'\r'] => &[],
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
        _ => return None,
    };
    Some((value, seconds, all - rest.len()))
}

/// The length of a name of visible ASCII characters with a space behind it.
#[inline]
fn visible(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        match word::visible(word::load(&bytes[length..])?) {
            Some(more) => {
                length += more;
                return (length > 0 && bytes[length] == b' ').then_some(length);
            }
            None => length += 8,
        }
    }
}

/// A value of any plain form in front of a space, and its length.
#[cold]
fn any_value(rest: &[u8]) -> Option<(f64, NonZero<usize>)> {
    let length = NonZero::new(rest.iter().position(|byte| *byte == b' ')?)?;
    let value: f64 = fast_float2::parse(&rest[..length.get()]).ok()?;
    (!value.is_nan()).then_some((value, length))
}

/// Whole seconds of any number of digits, and what follows them.
#[cold]
fn any_digits(rest: &[u8]) -> Option<(u32, &[u8])> {
    let length = rest.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = rest.split_at(length.unwrap_or(rest.len()));
    Some((number::digits(digits)?, rest))
}

/// Any line, by Python's rules: `line.strip().split()`, then float() of both numbers.
fn exact(line: &str) -> Result<Item<'_>, Refusal> {
    let mut fields = line
        .split(number::is_space)
        .filter(|field| !field.is_empty());
    let (Some(name), Some(value), Some(seconds), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Refusal::Fields);
    };
    let value = number::float(value).ok_or(Refusal::Value)?;
    let seconds = number::float(seconds).ok_or(Refusal::Timestamp)?;
    if value.is_nan() {
        return Err(Refusal::Nan);
    }
    let stamp = Stamp::from_seconds(seconds).ok_or(Refusal::Timestamp)?;
    Ok(Item { name, stamp, value })
}
